"""Clients that leave: the slot they had, or waited for, is somebody else's at once."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from runners import Engine
from tests.fakes.caller import Caller
from tests.fakes.process import Gateway, eventually, gateway

pytestmark = pytest.mark.engine

# What a machine with other things to do may need; 0.15 s is what a quiet one does.
AT_ONCE = 1.0
HI = [{"role": "user", "content": "hi"}]
# Some seconds of reading, and more with each token read.
LONG = {"role": "user", "content": "read all of this " * 700}
KINDS = [
    pytest.param("/api/chat", True, id="ollama-streamed"),
    pytest.param("/api/chat", False, id="ollama-whole"),
    pytest.param("/v1/chat/completions", True, id="openai-streamed"),
    pytest.param("/v1/chat/completions", False, id="openai-whole"),
]


@pytest.fixture(scope="module")
def narrow(
    served: Gateway, engine: Engine, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway with one slot for each model, and two places in the waiting line."""
    with gateway(
        tmp_path_factory.mktemp("narrow"),
        engine=engine.server,
        models=folder / "models",
        num_parallel=1,
        max_queue=2,
        context_length=16384,
    ) as running:
        yield running


@pytest.fixture
def line(narrow: Gateway) -> Iterator[httpx.Client]:
    """Asks for what takes no slot, and so tells that earlier requests have arrived."""
    with narrow.client() as client:
        yield client


def call(gateway: Gateway, path: str, **body: Any) -> Caller:
    return Caller(gateway.url, path, {"model": "endless", "messages": HI, **body})


def arrived(line: httpx.Client) -> None:
    """Whatever was sent before has reached the scheduler."""
    for _ in range(2):
        line.get("/api/ps").raise_for_status()


def at_once(what: str, began: float, ended: float) -> None:
    sys.stdout.write(f"{what}: {(ended - began) * 1e3:.1f} ms\n")
    assert ended - began < AT_ONCE


@pytest.mark.parametrize(("path", "streamed"), KINDS)
def test_gone_in_the_middle_of_a_reply(
    narrow: Gateway, line: httpx.Client, path: str, streamed: bool
) -> None:
    with call(narrow, path, stream=streamed) as leaver:
        if streamed:
            leaver.first()
        else:
            eventually(lambda: line.get("/api/ps").json()["models"])
        with call(narrow, "/api/chat") as waiting:
            arrived(line)
            assert waiting.silent()
            began = leaver.leave()
            at_once(f"streaming, {path}", began, waiting.first())


@pytest.mark.parametrize(("path", "streamed"), KINDS)
def test_gone_while_the_prompt_is_read(
    narrow: Gateway, line: httpx.Client, path: str, streamed: bool
) -> None:
    with call(narrow, "/api/chat", model="long") as first:
        first.first()  # it is loaded
    with (
        call(narrow, path, model="long", stream=streamed, messages=[LONG]) as leaver,
        call(narrow, "/api/chat", model="long") as waiting,
    ):
        arrived(line)
        assert waiting.silent()
        assert leaver.silent()
        began = leaver.leave()
        at_once(f"prefill, {path}", began, waiting.first())


@pytest.mark.parametrize(("path", "streamed"), KINDS)
def test_gone_from_the_waiting_line(
    narrow: Gateway, line: httpx.Client, path: str, streamed: bool
) -> None:
    with call(narrow, "/api/chat") as busy:
        busy.first()
        with call(narrow, path, stream=streamed) as leaver, call(narrow, "/api/chat") as waiting:
            arrived(line)
            with call(narrow, "/api/chat") as refused:
                refused.first()
                assert refused.status == 503
            leaver.leave()
            assert eventually(lambda: has_room(narrow, line), AT_ONCE)
            began = busy.leave()
            at_once(f"queued, {path}", began, waiting.first())


def has_room(gateway: Gateway, line: httpx.Client) -> bool:
    """Whether one more request may wait."""
    with call(gateway, "/api/chat") as caller:
        arrived(line)
        return caller.silent()


def test_many_leave_and_nothing_is_left_behind(narrow: Gateway, line: httpx.Client) -> None:
    """All at once, some with a slot and some without; the next one is served."""
    for _ in range(10):
        callers = [call(narrow, "/api/chat") for _ in range(3)]
        for caller in reversed(callers):
            caller.leave()
    short = {"model": "endless", "messages": HI, "options": {"num_predict": 1}, "stream": False}
    reply = eventually(lambda: answer(line, short), AT_ONCE)
    assert reply["message"]["content"] == "tick "


def answer(line: httpx.Client, body: Any) -> dict[str, Any]:
    """Empty if the waiting line is full."""
    reply = line.post("/api/chat", json=body)
    return reply.json() if reply.status_code == 200 else {}
