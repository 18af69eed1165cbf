"""Many requests later everything is as it was after the first."""

import statistics
import time
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import Start
from tests.fakes.caller import Caller
from tests.fakes.process import Gateway, eventually
from tests.fakes.scripts import PLAIN

pytestmark = pytest.mark.engine

HI = [{"role": "user", "content": "hi"}]
REQUESTS = 300


def ask(gateway: Gateway, count: int) -> list[float]:
    """So many requests of every kind, one after the other; how long each took."""
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("/api/chat", {"messages": HI}),
        ("/api/generate", {"prompt": "hi", "stream": False}),
        ("/v1/chat/completions", {"messages": HI, "stream": True}),
        ("/v1/chat/completions", {"messages": HI}),
    ]
    seconds = []
    with gateway.client() as client:
        for number in range(count):
            path, body = kinds[number % len(kinds)]
            began = time.perf_counter()
            reply = client.post(path, json={"model": "plain", **body})
            seconds.append(time.perf_counter() - began)
            assert reply.status_code == 200
            assert PLAIN.pieces[-1] in reply.text
    return seconds


def test_requests_leave_nothing_behind(start: Start) -> None:
    gateway = start()
    process = psutil.Process(gateway.pid)
    early = ask(gateway, 40)
    (child,) = gateway.children()
    fds, threads = process.num_fds(), process.num_threads()
    fds_of_child, memory = child.num_fds(), process.memory_info().rss
    late = ask(gateway, REQUESTS)[-40:]
    assert gateway.children() == [child]
    assert eventually(lambda: process.num_fds() <= fds)
    assert eventually(lambda: child.num_fds() <= fds_of_child)
    assert process.num_threads() <= threads
    assert process.memory_info().rss - memory < 8 << 20
    assert statistics.median(late) < 2 * statistics.median(early) + 0.01


def test_clients_that_leave_leave_nothing_behind(start: Start) -> None:
    gateway = start()
    process = psutil.Process(gateway.pid)
    body = {"model": "endless", "messages": HI}
    with gateway.client() as client:
        client.post("/api/chat", json={**body, "options": {"num_predict": 1}}).raise_for_status()
        (child,) = gateway.children()
        fds, fds_of_child = process.num_fds(), child.num_fds()
        for _ in range(50):
            with Caller(gateway.url, "/api/chat", body) as caller:
                caller.first()
        assert eventually(lambda: process.num_fds() <= fds)
        assert eventually(lambda: child.num_fds() <= fds_of_child)
    assert gateway.children() == [child]
