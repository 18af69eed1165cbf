"""Replies that go wrong on the way, and clients that do."""

import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.caller import Caller
from tests.fakes.process import Gateway, eventually
from tests.fakes.record import record
from tests.integration.conftest import Model

# What a machine with other things to do may need; 0.15 s is what a quiet one does.
AT_ONCE = 1.0
HI = [{"role": "user", "content": "hi"}]
SAID = "Hello from the fake engine."
OLLAMA, OPENAI = "/api/chat", "/v1/chat/completions"
KINDS = [
    pytest.param(OLLAMA, True, id="ollama-streamed"),
    pytest.param(OLLAMA, False, id="ollama-whole"),
    pytest.param(OPENAI, True, id="openai-streamed"),
    pytest.param(OPENAI, False, id="openai-whole"),
]


def body(name: str, **more: Any) -> dict[str, Any]:
    return {"model": name, "messages": HI, **more}


def events(data: bytes) -> list[dict[str, Any]]:
    """The lines of either dialect as objects."""
    lines = [line.removeprefix(b"data: ") for line in data.split(b"\n") if line]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def message(error: Any) -> str:
    """The text of an error in either dialect."""
    return str(error["message"] if isinstance(error, dict) else error)


def output(value: dict[str, Any]) -> str:
    if "choices" in value:
        return "".join(choice["delta"].get("content") or "" for choice in value["choices"])
    return str(value["message"]["content"])


# Engines


@pytest.mark.parametrize("path", [OLLAMA, OPENAI])
def test_a_crash_in_mid_stream_ends_the_stream_with_the_last_words(
    served: Gateway, client: httpx.Client, model: Model, path: str
) -> None:
    other = model()
    name = model("--crash-after", "3", "--crash-signal", "SIGABRT", "--say", "GGML_ASSERT failed")
    with Caller(served.url, path, body(name, stream=True)) as caller:
        *texts, last = events(caller.end())
    assert caller.status == 200
    assert "".join(output(value) for value in texts) == "Hello from the "
    assert message(last["error"]).endswith("signal SIGABRT: GGML_ASSERT failed")
    assert [*last] == ["error"]
    loaded = client.get("/api/ps").json()["models"]
    assert all(entry["name"] != f"{name}:latest" for entry in loaded)
    assert client.post(OLLAMA, json=body(other, stream=False)).status_code == 200


@pytest.mark.parametrize("path", [OLLAMA, OPENAI])
def test_an_error_in_mid_stream_ends_the_stream_and_not_the_engine(
    served: Gateway, model: Model, path: str
) -> None:
    name = model("--error-after", "2")
    pids = []
    for _ in range(2):
        with Caller(served.url, path, body(name, stream=True)) as caller:
            *texts, last = events(caller.end())
        assert "".join(output(value) for value in texts) == "Hello from "
        assert message(last["error"]) == "Compute error."
        pids.append(record(served)["pid"])
    assert pids[0] == pids[1]


@pytest.mark.parametrize(("path", "streamed"), KINDS)
def test_an_error_before_the_first_word_has_its_status(
    served: Gateway, model: Model, path: str, streamed: bool
) -> None:
    with Caller(served.url, path, body(model("--error-after", "0"), stream=streamed)) as caller:
        assert message(json.loads(caller.end())["error"]) == "Compute error."
    assert caller.status == 500


def test_a_crash_of_an_idle_engine_is_seen_at_once(
    client: httpx.Client, model: Model, tmp_path: Path
) -> None:
    trigger = tmp_path / "crash"
    name = model("--crash-when-idle", "--trigger", str(trigger), "--say", "fell over")
    short = body(name, stream=False)

    def listed() -> bool:
        return f"{name}:latest" in client.get("/api/ps").text

    client.post(OLLAMA, json=short).raise_for_status()
    assert listed()
    trigger.touch()
    eventually(lambda: not listed(), AT_ONCE)
    assert client.post(OLLAMA, json=short).status_code == 200


# Clients


def freed(gateway: Gateway, began: float, what: str) -> None:
    """The engine has noticed that its client left, and soon."""
    eventually(lambda: record(gateway)["active"] == 0, AT_ONCE)
    sys.stdout.write(f"{what}: {(time.perf_counter() - began) * 1e3:.1f} ms\n")
    assert record(gateway)["cancelled"] == 1


@pytest.mark.parametrize(("path", "streamed"), KINDS)
def test_a_client_that_leaves_a_reply_frees_its_slot(
    served: Gateway, model: Model, path: str, streamed: bool
) -> None:
    name = model("--tokens", "100000", "--interval", "0.01")
    with Caller(served.url, path, body(name, stream=streamed)) as caller:
        eventually(lambda: served.sockets() and record(served)["active"] == 1)
        freed(served, caller.leave(), f"reply, {path}")


@pytest.mark.parametrize(("path", "streamed"), KINDS)
def test_a_client_that_leaves_a_prompt_frees_its_slot(
    served: Gateway, model: Model, path: str, streamed: bool
) -> None:
    name = model("--prefill", "60")
    with Caller(served.url, path, body(name, stream=streamed)) as caller:
        eventually(lambda: served.sockets() and record(served)["active"] == 1)
        assert caller.silent()
        freed(served, caller.leave(), f"prompt, {path}")


def test_a_stalled_reply_can_be_left(served: Gateway, model: Model) -> None:
    with Caller(served.url, OLLAMA, body(model("--stall-after", "2"))) as caller:
        caller.until(b"from ")
        freed(served, caller.leave(), "stalled")


def test_a_client_that_does_not_read_holds_up_nobody(
    served: Gateway, client: httpx.Client, model: Model
) -> None:
    """Its reply is larger than what sockets hold; the other slot of the same engine is free."""
    name = model("--tokens", "60000", context=32768)
    large = {"options": {"num_ctx": 32768}}
    with Caller(served.url, OLLAMA, body(name, **large)) as caller:
        eventually(lambda: served.sockets() and record(served)["finished"] == 1, 20.0)
        small = {"options": {"num_ctx": 32768, "num_predict": 2}, "stream": False}
        reply = client.post(OLLAMA, json=body(name, **small))
        assert reply.json()["message"]["content"] == "Hello from "
        last = json.loads(caller.end().splitlines()[-1])
    assert (last["done_reason"], last["eval_count"]) == ("stop", 60001)


def test_an_upload_that_is_cut_leaves_nothing(served: Gateway, folder: Path) -> None:
    blobs = folder / "models" / "blobs"
    before = {path.name for path in blobs.iterdir()}
    digest = "sha256:" + "ab" * 32
    host, _, port = served.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as caller:
        head = f"POST /api/blobs/{digest} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9999999\r\n"
        caller.sendall(f"{head}\r\n".encode() + b"x" * 3_000_000)
        eventually(lambda: {path.name for path in blobs.iterdir()} != before)
    eventually(lambda: {path.name for path in blobs.iterdir()} == before)
    eventually(lambda: f"/api/blobs/{digest} status=499" in served.log_text())
