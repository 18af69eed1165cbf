"""pull and push: bodies, bars, errors and the address of a model."""

import re

import pytest

from gateway.cli.transfer import public_address
from tests.gateway.cli.conftest import Cli, ScriptedServer

LAYER = "sha256:0123456789abcdef"


def layer(completed: int, total: int = 2000) -> dict[str, object]:
    counts = {"total": total, **({"completed": completed} if completed else {})}
    return {"status": "pulling 0123456789ab", "digest": LAYER, **counts}


def test_a_pull_shows_its_steps_on_standard_error(cli: Cli, server: ScriptedServer) -> None:
    server.stream(
        "/api/pull",
        {"status": "pulling manifest"},
        layer(0),
        layer(1000),
        layer(2000),
        {"status": "verifying sha256 digest"},
        {"status": "success"},
    )
    outcome = cli("pull", "m")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == (
        "pulling manifest\npulling 0123456789ab: 100% 2 KB\nverifying sha256 digest\nsuccess\n"
    )
    assert server.last("/api/pull") == {"model": "m"}
    assert server.calls() == ["POST /api/pull"]


def test_a_layer_shows_when_bytes_of_it_have_moved(cli: Cli, server: ScriptedServer) -> None:
    server.stream("/api/pull", {"status": "pulling manifest"}, layer(0))
    assert cli("pull", "m").err == "pulling manifest\n"
    assert "0123456789ab" not in cli("pull", "m", screen=True).err
    server.stream("/api/pull", layer(1000))
    drawn = re.sub(r"\x1b\[[0-9;]*m", "", cli("pull", "m", screen=True).err)
    assert "pulling 0123456789ab:  50%" in drawn


@pytest.mark.parametrize("command", ["pull", "push"])
def test_insecure_travels_with_the_request(cli: Cli, server: ScriptedServer, command: str) -> None:
    server.stream(f"/api/{command}", {"status": "success"})
    assert cli(command, "--insecure", "h/n/m").code == 0
    assert server.last(f"/api/{command}") == {"model": "h/n/m", "insecure": True}


def test_an_error_ends_it(cli: Cli, server: ScriptedServer) -> None:
    server.stream(
        "/api/pull",
        {"status": "pulling manifest"},
        {"error": "pull model manifest: file does not exist"},
    )
    outcome = cli("pull", "m")
    assert outcome.code == 1
    assert outcome.err == ("pulling manifest\nError: pull model manifest: file does not exist\n")


def test_a_push_says_where_the_model_is(cli: Cli, server: ScriptedServer) -> None:
    server.stream("/api/push", {"status": "retrieving manifest"}, {"status": "success"})
    outcome = cli("push", "me/m")
    assert outcome.code == 0
    assert outcome.out == "\nYou can find your model at:\n\n\thttps://ollama.com/me/m\n"
    assert outcome.err == "retrieving manifest\nsuccess\n"


@pytest.mark.parametrize("text", ["401: no", "403: denied", "unauthorized: access denied"])
def test_a_push_to_others_is_explained(cli: Cli, server: ScriptedServer, text: str) -> None:
    server.stream("/api/push", {"status": "retrieving manifest"}, {"error": text})
    outcome = cli("push", "other/m")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.endswith(
        f"Error: {text}\n"
        "you are not authorized to push to this namespace, "
        "create the model under a namespace you own\n"
    )


@pytest.mark.parametrize(
    ("model", "where"),
    [
        ("me/m", "https://ollama.com/me/m"),
        ("me/m:7b", "https://ollama.com/me/m:7b"),
        ("ollama.com/me/m", "https://ollama.com/me/m"),
        ("h:5000/me/m", "h:5000/me/m:latest"),
        ("notollama.com/me/m", "notollama.com/me/m:latest"),
        ("a b", "a b"),
    ],
)
def test_ollamas_models_have_a_page(model: str, where: str) -> None:
    assert public_address(model) == where
