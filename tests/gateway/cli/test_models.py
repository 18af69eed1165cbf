"""list, ps, stop, cp, rm against a scripted server."""

import json

import pytest

from gateway.cli.formats import moment
from gateway.cli.models import list_row, running_row
from tests.gateway.cli.conftest import Cli, Exchange, ScriptedServer, finish

NOW = moment("2026-11-21T12:00:00Z")
DIGEST = "2f58747119018317d26885b2d1fb233a70f4805e3e27d51f44002abd0ae7b638"


def model(name: str, **fields: object) -> dict[str, object]:
    return {"name": name, "model": name, "digest": DIGEST, "size": 1_900_180, **fields}


def test_a_model_is_one_row() -> None:
    assert NOW is not None
    item = model("base:latest", modified_at="2026-11-21T10:00:00.123Z")
    assert list_row(item, NOW) == ["base:latest", "2f5874711901", "1.9 MB", "2 hours ago"]


def test_a_remote_model_has_no_size_and_a_short_digest_is_kept() -> None:
    assert NOW is not None
    item = model("r:latest", digest="abc", remote_model="x", modified_at="0001-01-01T00:00:00Z")
    assert list_row(item, NOW) == ["r:latest", "abc", "-", "Never"]


@pytest.mark.parametrize(
    ("expires", "until"),
    [
        ("2026-11-21T12:04:30Z", "4 minutes from now"),
        ("2026-11-21T11:59:59Z", "Stopping..."),
        ("2318-11-21T12:00:00Z", "Forever"),
        ("0001-01-01T00:00:00Z", "Never"),
    ],
)
def test_a_running_model_is_one_row(expires: str, until: str) -> None:
    assert NOW is not None
    item = model("base:latest", size_vram=950_090, context_length=4096, expires_at=expires)
    expected = ["base:latest", "2f5874711901", "1.9 MB", "50%/50% CPU/GPU", "4096", until]
    assert running_row(item, NOW) == expected


def test_the_library_is_listed_in_the_servers_order(cli: Cli, server: ScriptedServer) -> None:
    time = "0001-01-01T00:00:00Z"
    models = [model("zeta:latest", modified_at=time), model("Alpha:1b", modified_at=time)]
    server.reply("GET", "/api/tags", {"models": models})
    outcome = cli("list")
    assert outcome.code == 0
    assert outcome.out == (
        "NAME           ID              SIZE      MODIFIED \n"
        "zeta:latest    2f5874711901    1.9 MB    Never       \n"
        "Alpha:1b       2f5874711901    1.9 MB    Never       \n"
    )
    assert [line.split()[0] for line in cli("ls", "AL", "zeta").out.splitlines()] == [
        "NAME",
        "Alpha:1b",
    ]


def test_an_empty_library_is_a_header(cli: Cli, server: ScriptedServer) -> None:
    server.reply("GET", "/api/tags", {"models": None})
    assert cli("list").out == "NAME    ID    SIZE    MODIFIED \n"


def test_what_runs_is_listed_by_an_exact_prefix(cli: Cli, server: ScriptedServer) -> None:
    models = [
        model(name, size_vram=0, context_length=2048, expires_at="2318-11-21T12:00:00Z")
        for name in ("Base:latest", "base:latest")
    ]
    server.reply("GET", "/api/ps", {"models": models})
    assert cli("ps", "ba").out == (
        "NAME           ID              SIZE      PROCESSOR    CONTEXT    UNTIL   \n"
        "base:latest    2f5874711901    1.9 MB    100% CPU     2048       Forever    \n"
    )


def test_stop_unloads_and_says_nothing(cli: Cli, server: ScriptedServer) -> None:
    server.reply("POST", "/api/generate", {"done": True})
    outcome = cli("stop", "base")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert server.last("/api/generate") == {"model": "base", "prompt": "", "keep_alive": 0}


def test_stop_does_not_know_the_model(cli: Cli, server: ScriptedServer) -> None:
    server.reply("POST", "/api/generate", {"error": "model 'x' not found"}, status=404)
    outcome = cli("stop", "x")
    assert (outcome.code, outcome.err) == (1, 'Error: couldn\'t find model "x" to stop\n')


def test_stop_passes_other_errors_on(cli: Cli, server: ScriptedServer) -> None:
    server.reply("POST", "/api/generate", {"error": "boom"}, status=500)
    assert cli("stop", "x").err == "Error: boom\n"


def test_cp_says_what_it_copied(cli: Cli, server: ScriptedServer) -> None:
    server.reply("POST", "/api/copy")
    outcome = cli("cp", "a", "b:1")
    assert (outcome.code, outcome.out) == (0, "copied 'a' to 'b:1'\n")
    assert server.last("/api/copy") == {"source": "a", "destination": "b:1"}


def test_rm_unloads_and_deletes_in_order_until_one_fails(cli: Cli, server: ScriptedServer) -> None:
    missing = {"error": "model 'b' not found"}

    def answer(exchange: Exchange) -> None:
        if exchange.request.json["model"] == "a":
            finish(exchange, 200, b"")
        else:
            finish(exchange, 404, json.dumps(missing).encode())

    server.on("DELETE", "/api/delete", answer)
    server.reply("POST", "/api/generate", missing, status=404)
    outcome = cli("rm", "a", "b", "c")
    assert outcome.code == 1
    assert outcome.out == "deleted 'a'\n"
    assert outcome.err == "Error: model 'b' not found\n"
    assert server.calls() == ["POST /api/generate", "DELETE /api/delete"] * 2


def test_rm_goes_on_when_a_model_will_not_stop(cli: Cli, server: ScriptedServer) -> None:
    server.reply("POST", "/api/generate", {"error": "busy"}, status=500)
    server.reply("DELETE", "/api/delete")
    outcome = cli("rm", "a")
    assert (outcome.code, outcome.out) == (0, "deleted 'a'\n")
    assert outcome.err == "Warning: unable to stop model 'a'\n"
