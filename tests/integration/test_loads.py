"""Loads that are slow, shared, abandoned, or go wrong."""

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.caller import Caller
from tests.fakes.process import Gateway, eventually
from tests.fakes.scripts import PLAIN, create
from tests.integration.conftest import Model, Start

HI = [{"role": "user", "content": "hi"}]
SAID = "Hello from the fake engine."
FAILED = "llama-server process has terminated: "
KINDS = ("/api/chat", "/v1/chat/completions")


def body(name: str, **more: Any) -> dict[str, Any]:
    return {"model": name, "messages": HI, "stream": False, **more}


def ask(client: httpx.Client, name: str) -> httpx.Response:
    return client.post("/api/chat", json=body(name))


def text(reply: httpx.Response | bytes) -> str:
    value = json.loads(reply if isinstance(reply, bytes) else reply.content)
    return str(value["message"]["content"])


def starts(gateway: Gateway) -> int:
    return gateway.log_text().count("start runner")


# Shared


def test_requests_share_a_load_and_its_slots(served: Gateway, model: Model) -> None:
    name, before = model("--load", "0.4"), starts(served)
    with contextlib.ExitStack() as stack:
        callers = [
            stack.enter_context(Caller(served.url, "/api/chat", body(name))) for _ in range(5)
        ]
        assert {text(caller.end()) for caller in callers} == {SAID}
    assert starts(served) == before + 1


def test_a_load_survives_its_first_requester(
    served: Gateway, client: httpx.Client, model: Model
) -> None:
    name, before = model("--load", "0.5"), starts(served)
    with Caller(served.url, "/api/chat", body(name)) as first:
        eventually(lambda: starts(served) > before)
        with Caller(served.url, "/v1/chat/completions", body(name)) as second:
            client.get("/api/ps").raise_for_status()  # by now the second waits as well
            first.leave()
            assert SAID in second.end().decode()
    assert starts(served) == before + 1


@pytest.mark.parametrize("path", KINDS)
def test_a_load_that_nobody_waits_for_is_stopped(
    served: Gateway, client: httpx.Client, model: Model, path: str
) -> None:
    name, before = model("--load", "30"), starts(served)
    known = {child.pid for child in served.children()}
    with Caller(served.url, path, body(name)) as caller:
        eventually(lambda: starts(served) > before)
        eventually(lambda: {child.pid for child in served.children()} - known)
        began = caller.leave()
        stop = "nobody waits for it any more"
        eventually(lambda: served.log_text().rpartition("start runner")[2].count(stop), 1.0)
        sys.stdout.write(f"load given up after {(time.perf_counter() - began) * 1e3:.1f} ms\n")
    eventually(lambda: not {child.pid for child in served.children()} - known, 2.0)
    assert all(m["name"] != f"{name}:latest" for m in client.get("/api/ps").json()["models"])


def test_another_model_does_not_wait_for_a_slow_load(
    served: Gateway, client: httpx.Client, model: Model
) -> None:
    slow, quick = model("--load", "30"), model()
    before = starts(served)
    with Caller(served.url, "/api/chat", body(slow)) as caller:
        eventually(lambda: starts(served) > before)
        assert text(ask(client, quick)) == SAID
        assert caller.silent()


# Failing


def test_a_load_that_fails_once_is_tried_again_by_the_next_request(
    client: httpx.Client, model: Model, tmp_path: Path
) -> None:
    name = model("--fail-first", str(tmp_path / "failed"), "--say", "error: out of luck")
    reply = ask(client, name)
    assert (reply.status_code, reply.json()["error"]) == (
        500,
        FAILED + "exit status 1: error: out of luck",
    )
    assert text(ask(client, name)) == SAID


def test_all_who_wait_for_a_load_hear_that_it_failed(served: Gateway, model: Model) -> None:
    name = model("--load", "0.3", "--exit-on-load", "3", "--say", "error: no")
    before = starts(served)
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(Caller(served.url, path, body(name))) for path in KINDS * 2]
        answers = [caller.end().decode() for caller in callers]
    assert all(FAILED + "exit status 3: error: no" in answer for answer in answers)
    assert {caller.status for caller in callers} == {500}
    assert starts(served) == before + 1


def test_a_model_that_keeps_failing_is_left_alone_for_a_while(
    served: Gateway, client: httpx.Client, model: Model
) -> None:
    name, before = model("--exit-on-load", "1", "--say", "error: never"), starts(served)
    assert [ask(client, name).status_code for _ in range(5)] == [500, 500, 503, 503, 503]
    assert starts(served) == before + 2
    reply = client.post("/v1/chat/completions", json=body(name))
    assert reply.status_code == 503
    assert reply.headers["retry-after"] == "1"
    assert "error: never" in reply.json()["error"]["message"]
    # Then it is tried once more, and left alone for longer.
    eventually(lambda: ask(client, name).status_code == 500, 5.0)
    reply = ask(client, name)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "2")
    assert starts(served) == before + 3


def test_an_illegal_instruction_is_called_by_its_name(client: httpx.Client, model: Model) -> None:
    reply = ask(client, model("--illegal"))
    assert reply.status_code == 500
    assert reply.json()["error"].startswith(FAILED + "signal SIGILL")


def test_a_load_without_progress_is_given_up(start: Start, tmp_path: Path) -> None:
    gateway = start("--never-ready", load_timeout="300ms")
    with gateway.client() as client:
        create(client, "stuck", PLAIN, tmp_path)
        reply = ask(client, "stuck")
    assert reply.status_code == 500
    assert "no progress for 0.3 s" in reply.json()["error"]
    eventually(lambda: not gateway.children(), 2.0)


# Odd


def test_an_engine_that_chatters_is_listened_to(client: httpx.Client, model: Model) -> None:
    """60,000 lines would fill any pipe that nobody reads."""
    assert text(ask(client, model("--chatty", "60000"))) == SAID


def test_an_engine_that_announces_nothing_is_asked(client: httpx.Client, model: Model) -> None:
    assert text(ask(client, model("--no-protocol", "--load", "0.2"))) == SAID
