"""Telling the server to stop: running replies end first, engines last, and nothing stays."""

import json
import signal
import socket
import time
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import Start
from tests.fakes.caller import Caller
from tests.fakes.process import Gateway, eventually

pytestmark = pytest.mark.engine

HI = [{"role": "user", "content": "hi"}]
STOPPING = "the server is stopping"
BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


def body(**more: Any) -> dict[str, Any]:
    return {"model": "endless", "messages": HI, **more}


def tell(gateway: Gateway, number: signal.Signals) -> list[psutil.Process]:
    """Send a signal; its children."""
    children = gateway.children()
    gateway.process.send_signal(number)
    return children


def assert_clean(gateway: Gateway, children: list[psutil.Process]) -> None:
    assert children
    assert psutil.wait_procs(children, 0)[1] == []
    assert "Traceback" not in gateway.log_text()
    assert [*gateway.runtime.glob("*/*")] == []


@BOTH
def test_a_reply_on_its_way_is_finished(start: Start, number: signal.Signals) -> None:
    gateway = start(drain=30)
    options = {"num_predict": 400}
    with Caller(gateway.url, "/api/chat", body(options=options)) as caller:
        caller.first()
        children = tell(gateway, number)
        last = json.loads(caller.end().splitlines()[-1])
    assert (last["done_reason"], last["eval_count"]) == ("length", 400)
    assert gateway.wait() == 0
    assert_clean(gateway, children)


@BOTH
def test_replies_that_take_too_long_are_ended_in_their_dialects(
    start: Start, number: signal.Signals
) -> None:
    gateway = start(drain="500ms", num_parallel=2)
    with (
        Caller(gateway.url, "/api/chat", body()) as native,
        Caller(gateway.url, "/v1/chat/completions", body(stream=True)) as openai,
    ):
        native.first()
        openai.first()
        with Caller(gateway.url, "/api/chat", body()) as waiting:
            eventually(lambda: len(gateway.children()) == 1)
            assert waiting.silent()
            began = time.monotonic()
            children = tell(gateway, number)
            assert json.loads(native.end().splitlines()[-1]) == {"error": STOPPING}
            event = openai.end().rstrip().splitlines()[-1].removeprefix(b"data: ")
            assert json.loads(event)["error"]["message"] == STOPPING
            assert json.loads(waiting.end()) == {"error": STOPPING}
            assert waiting.status == 503
    assert gateway.wait() == 0
    assert 0.5 <= time.monotonic() - began < 4.0
    assert_clean(gateway, children)


def test_a_client_that_never_finishes_its_request_holds_nothing_up(start: Start) -> None:
    gateway = start(drain="100ms")
    address = ("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    with socket.create_connection(address) as slow, gateway.client() as client:
        slow.sendall(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        client.post("/api/chat", json=body(options={"num_predict": 1})).raise_for_status()
        children = tell(gateway, signal.SIGTERM)
        assert gateway.wait(8.0) == 0
    assert_clean(gateway, children)


def test_nobody_new_is_let_in(start: Start) -> None:
    gateway = start(drain=30)
    with Caller(gateway.url, "/api/chat", body()) as caller:
        caller.first()
        children = tell(gateway, signal.SIGTERM)
        port = int(gateway.url.rpartition(":")[2])
        eventually(lambda: refuses(port))
        caller.leave()
        assert gateway.wait() == 0
    assert_clean(gateway, children)


def refuses(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) != 0


def test_an_idle_server_with_a_model_and_an_open_connection_ends_at_once(start: Start) -> None:
    gateway = start(drain=30)
    with gateway.client() as client:
        client.post("/api/chat", json=body(options={"num_predict": 1}))
        began = time.monotonic()
        children = tell(gateway, signal.SIGTERM)
        assert gateway.wait() == 0
        assert time.monotonic() - began < 3.0
    assert_clean(gateway, children)


def test_a_second_signal_does_not_wait(start: Start) -> None:
    gateway = start(drain=60)
    with Caller(gateway.url, "/api/chat", body()) as caller:
        caller.first()
        children = tell(gateway, signal.SIGINT)
        eventually(lambda: "stopping: SIGINT" in gateway.log_text())
        gateway.process.send_signal(signal.SIGINT)
        assert gateway.wait(5.0) == 128 + signal.SIGINT
    assert psutil.wait_procs(children, 5.0)[1] == []
