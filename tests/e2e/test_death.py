"""Engines that are killed, and a gateway that is killed: who notices, and what remains."""

import itertools
import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from runners import Engine
from tests.e2e.conftest import Start
from tests.fakes.caller import Caller
from tests.fakes.process import Gateway, eventually, gateway, runtime_folder
from tests.fakes.scripts import OTHER, PLAIN, Scripted, create

pytestmark = pytest.mark.engine

_NUMBERS = itertools.count(1)
HI = [{"role": "user", "content": "hi"}]
# With nothing after the signal: the engine wrote no line of its own in its life.
KILLED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an "
    "internal error: signal SIGKILL"
)


def body(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": HI, **more}


def text(client: httpx.Client, model: str) -> str:
    reply = client.post("/api/chat", json=body(model, stream=False))
    assert reply.status_code == 200, reply.text
    return str(reply.json()["message"]["content"])


def loaded(client: httpx.Client) -> list[str]:
    return [model["name"] for model in client.get("/api/ps").json()["models"]]


def child(gateway: Gateway) -> psutil.Process:
    (result,) = gateway.children()
    return result


def error_of(line: bytes) -> Any:
    return json.loads(line)["error"]


# Engines


@pytest.fixture
def mortal(client: httpx.Client, folder: Path) -> str:
    """An endless model of its own for each test: one that died twice is not started for a while."""
    name = f"mortal{next(_NUMBERS)}"
    create(client, name, Scripted((f"{name} ", "tick ", "tock "), more={"loop": True}), folder)
    return name


def test_an_idle_engine_that_dies_is_missed_at_once(
    fresh: Gateway, client: httpx.Client, mortal: str
) -> None:
    short = body(mortal, options={"num_predict": 1}, stream=False)
    client.post("/api/chat", json=short).raise_for_status()
    began = time.perf_counter()
    child(fresh).kill()
    eventually(lambda: not loaded(client), 1.0)
    sys.stdout.write(f"missed after {(time.perf_counter() - began) * 1e3:.1f} ms\n")
    assert client.post("/api/chat", json=short).json()["message"]["content"] == f"{mortal} "


@pytest.mark.parametrize(
    ("path", "prefix"), [("/api/chat", b""), ("/v1/chat/completions", b"data: ")]
)
def test_a_stream_whose_engine_dies_ends_with_an_error(
    fresh: Gateway, client: httpx.Client, mortal: str, path: str, prefix: bytes
) -> None:
    with Caller(fresh.url, path, body(mortal, stream=True)) as caller:
        caller.first()
        child(fresh).kill()
        last = caller.end().rstrip().split(b"\n")[-1]
    assert caller.status == 200
    assert last.startswith(prefix)
    error = error_of(last.removeprefix(prefix))
    if prefix:
        assert error == {"message": KILLED, "type": "api_error", "param": None, "code": None}
    else:
        assert error == KILLED
    reply = client.post(path, json=body(mortal, options={"num_predict": 1}, max_tokens=1))
    assert reply.status_code == 200
    assert mortal in reply.text


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_a_whole_reply_whose_engine_dies_has_its_status(
    fresh: Gateway, client: httpx.Client, mortal: str, path: str
) -> None:
    with Caller(fresh.url, path, body(mortal, stream=False)) as caller:
        eventually(lambda: loaded(client))
        child(fresh).kill()
        output = error_of(caller.end())
    assert caller.status == 500
    assert (output if isinstance(output, str) else output["message"]) == KILLED


def test_streams_of_other_models_go_on(fresh: Gateway, client: httpx.Client, mortal: str) -> None:
    short = body(mortal, options={"num_predict": 1}, stream=False)
    client.post("/api/chat", json=short).raise_for_status()
    dying = child(fresh)
    with Caller(fresh.url, "/api/chat", body("endless")) as caller:
        caller.first()
        dying.kill()
        eventually(lambda: loaded(client) == ["endless:latest"], 1.0)
        for _ in range(5):
            caller.more()
        assert client.post("/api/chat", json=short).status_code == 200
        caller.more()
        assert b"error" not in caller.body()


# The gateway


@pytest.fixture
def place() -> Iterator[Path]:
    with runtime_folder() as folder:
        yield folder


@pytest.mark.parametrize("streaming", [True, False])
def test_no_engine_outlives_a_killed_gateway(start: Start, streaming: bool) -> None:
    killed = start()
    with killed.client() as client:
        assert text(client, "other") == OTHER.text
        with Caller(killed.url, "/api/chat", body("endless")) as caller:
            caller.first()
            if not streaming:
                caller.leave()
            children = killed.children()
            assert len(children) == 2
            killed.process.send_signal(signal.SIGKILL)
            assert killed.wait() == -signal.SIGKILL
    assert psutil.wait_procs(children, 5.0)[1] == []


def test_the_next_gateway_sweeps_after_a_killed_one(
    engine: Engine, served: Gateway, folder: Path, place: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"engine": engine.server, "models": folder / "models"}
    with gateway(tmp_path / "one", place, **settings) as killed, killed.client() as client:
        assert text(client, "plain") == PLAIN.text
        killed.process.kill()
        killed.wait()
    (home,) = place.iterdir()
    (left,) = home.iterdir()
    assert left.name.startswith(f"{killed.pid}-")
    with gateway(tmp_path / "two", place, **settings) as running, running.client() as client:
        (there,) = home.iterdir()
        assert there.name.startswith(f"{running.pid}-")
        assert text(client, "plain") == PLAIN.text
        running.process.terminate()
        assert running.wait() == 0
    assert [*home.iterdir()] == []
