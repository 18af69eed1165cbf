"""A request's whole life: the client's leaving, the slot's return, heads and lengths."""

import json
import logging
import re
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest
from starlette.types import Message, Scope

from tests.fakes.server import (
    ONE_SLOT,
    STREAMS,
    Gateway,
    open_gateway,
    running_gateway,
    whole,
)

pytestmark = pytest.mark.anyio

PATHS = list(STREAMS)
# What stands in the first chunk of text.
FIRST = b"Hello "


def reported(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The facts of every finished request."""
    return [vars(line)["fields"] for line in caplog.records if line.name == "paddock"]


async def nobody_is_left(gateway: Gateway) -> None:
    await gateway.until(lambda: gateway.leases() == gateway.waiting() == 0)


# ---- clients that leave


@pytest.mark.parametrize("path", PATHS)
async def test_a_client_that_leaves_the_queue_is_forgotten(path: str) -> None:
    async with running_gateway("--stall-after", "1", defaults=ONE_SLOT) as gateway:
        gateway.add()
        async with gateway.connect() as first, gateway.connect() as second:
            await first.post(path, STREAMS[path])
            await first.until(FIRST)
            await second.post(path, STREAMS[path])
            await gateway.until(lambda: gateway.waiting() == 1)
            await second.leave()
            await gateway.until(lambda: gateway.waiting() == 0)
            assert gateway.leases() == 1
            seen = await gateway.engine()
            assert (seen["active"], seen["cancelled"], seen["waiting"]) == (1, 0, 0)
        await gateway.engine_when(cancelled=1, active=0)
        await nobody_is_left(gateway)


@pytest.mark.parametrize("path", PATHS)
async def test_a_client_that_leaves_during_a_load_ends_the_load(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "paddock")
    async with running_gateway("--load", "60") as gateway:
        gateway.add()
        async with gateway.connect() as client:
            await client.post(path, STREAMS[path])
            await gateway.until(lambda: len(gateway.scheduler.snapshot().runners) == 1)
            assert gateway.waiting() == 1
        await nobody_is_left(gateway)
        await gateway.until(lambda: not gateway.scheduler.snapshot().runners)
    assert [facts["status"] for facts in reported(caplog)] == [499]


@pytest.mark.parametrize("path", PATHS)
async def test_a_client_that_leaves_during_prefill_frees_its_slot(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "paddock")
    async with running_gateway("--prefill", "60") as gateway:
        gateway.add()
        async with gateway.connect() as client:
            await client.post(path, STREAMS[path])
            await gateway.until(lambda: gateway.leases() == 1)
            await gateway.engine_when(active=1)
        await gateway.engine_when(active=0, cancelled=1, finished=0)
        await nobody_is_left(gateway)
    assert [facts["status"] for facts in reported(caplog)] == [499]


@pytest.mark.parametrize("path", PATHS)
async def test_a_client_that_leaves_a_stream_frees_its_slot(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "paddock")
    async with running_gateway("--stall-after", "1") as gateway:
        gateway.add()
        async with gateway.connect() as client:
            await client.post(path, STREAMS[path])
            await client.until(FIRST)
            assert gateway.leases() == 1
        await gateway.engine_when(active=0, cancelled=1, finished=0)
        await nobody_is_left(gateway)
    assert [facts["status"] for facts in reported(caplog)] == [200]


@pytest.mark.parametrize("path", PATHS)
async def test_a_client_that_does_not_wait_for_a_whole_reply_frees_its_slot(path: str) -> None:
    async with running_gateway("--tokens", "100000", "--interval", "0.005") as gateway:
        gateway.add()
        async with gateway.connect() as client:
            await client.post(path, whole(path))
            await gateway.until(lambda: gateway.leases() == 1)
            await gateway.engine_when(active=1)
        await gateway.engine_when(active=0, cancelled=1, finished=0)
        await nobody_is_left(gateway)


async def test_the_slot_of_a_client_that_left_goes_to_the_next() -> None:
    async with running_gateway("--stall-after", "1", defaults=ONE_SLOT) as gateway:
        gateway.add()
        async with gateway.connect() as second:
            async with gateway.connect() as first:
                await first.post("/api/chat", STREAMS["/api/chat"])
                await first.until(FIRST)
                await second.post("/v1/chat/completions", STREAMS["/v1/chat/completions"])
                await gateway.until(lambda: gateway.waiting() == 1)
                assert second.received == b""
            await second.until(FIRST)
        await gateway.engine_when(active=0, cancelled=2)


async def test_many_clients_that_leave_at_once_leave_nothing_behind() -> None:
    async with running_gateway("--stall-after", "1") as gateway:
        gateway.add()
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(gateway.connect()) for _ in range(12)]
            for number, client in enumerate(clients):
                path = PATHS[number % len(PATHS)]
                await client.post(path, STREAMS[path])
            await gateway.until(lambda: (gateway.leases(), gateway.waiting()) == (2, 10))
        await nobody_is_left(gateway)
        assert (await gateway.engine_when(active=0))["finished"] == 0


# ---- replies that come to their end


@pytest.mark.parametrize("path", PATHS)
async def test_the_slot_is_somebody_elses_before_the_last_bytes_are_written(path: str) -> None:
    leases: list[tuple[int, bool]] = []
    async with open_gateway() as gateway:
        gateway.add()
        body = json.dumps(STREAMS[path]).encode()
        # An empty piece after the last one does not mean that nobody is there any more.
        more: Message = {"type": "http.request", "body": b"", "more_body": False}
        messages: list[Message] = [more, {**more, "body": body}]

        async def receive() -> Message:
            if not messages:
                await anyio.sleep_forever()
            return messages.pop()

        async def send(message: Message) -> None:
            leases.append((gateway.leases(), message.get("more_body", True)))

        scope: Scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "headers": [(b"host", b"localhost")],
            "query_string": b"",
        }
        await gateway.app(scope, receive, send)
        assert leases[0] == (1, True)
        assert leases[-1] == (0, False)


@pytest.mark.parametrize("path", PATHS)
async def test_a_whole_reply_has_its_length_and_a_stream_has_none(path: str) -> None:
    async with running_gateway() as gateway:
        gateway.add()
        reply = await gateway.client.post(path, json=whole(path))
        assert reply.headers["content-length"] == str(len(reply.content))
        assert reply.headers["content-type"].startswith("application/json")
        assert "Hello from the fake engine." in reply.text
        stream = await gateway.client.post(path, json=STREAMS[path])
        assert "content-length" not in stream.headers
        assert stream.headers["transfer-encoding"] == "chunked"
        kind = "application/x-ndjson" if path.startswith("/api") else "text/event-stream"
        assert stream.headers["content-type"] == kind
        assert stream.headers.get("cache-control") == (None if kind[0] == "a" else "no-cache")
        assert (gateway.leases(), gateway.waiting()) == (0, 0)


@pytest.mark.parametrize("path", PATHS)
async def test_the_model_has_the_name_the_client_gave_it(path: str) -> None:
    async with open_gateway() as gateway:
        gateway.add("Mixed")
        body = {**STREAMS[path], "model": "mIXED:Latest"}
        text = (await gateway.client.post(path, json=body)).text
        lines = [line.removeprefix("data: ") for line in text.splitlines() if "{" in line]
        assert {json.loads(line)["model"] for line in lines} == {"mIXED:Latest"}
        assert "paddock-runner" not in text


async def test_tokens_are_passed_on_as_they_come() -> None:
    async with running_gateway("--tokens", "3", "--stall-after", "2") as gateway:
        gateway.add()
        async with gateway.connect() as client:
            await client.post("/api/chat", STREAMS["/api/chat"])
            received = await client.until(b'"from "')
            assert received.count(b'"done":false') == 2
            assert gateway.leases() == 1


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
async def test_a_client_that_reads_late_misses_nothing(path: str) -> None:
    # More than the sockets between them hold, all of it said before most of it is read.
    async with running_gateway("--tokens", "10000", "--interval", "0") as gateway:
        gateway.add()
        async with gateway.connect(buffer=65536) as client:
            await client.post(path, STREAMS[path])
            await client.until(FIRST)
            await gateway.engine_when(active=0)
            assert gateway.leases() == 1
            received = await client.until(b"\r\n0\r\n\r\n")
        output = b"".join(re.findall(rb'"content":"([^"]*)"', received))
        assert output == b"Hello from the fake engine." * 2000
        await nobody_is_left(gateway)


async def test_a_connection_serves_one_request_after_another() -> None:
    async with running_gateway() as gateway:
        gateway.add()
        async with gateway.connect() as client:
            for path in PATHS:
                await client.post(path, STREAMS[path])
                received = await client.until(b"\r\n0\r\n\r\n")
                assert received.startswith(b"HTTP/1.1 200 ")
                client.received = b""


async def test_a_request_wishes_how_long_its_runner_stays() -> None:
    async with open_gateway() as gateway:
        gateway.add()
        for wish, seconds in ((None, 300.0), ("5m30s", 330.0), (7, 7.0), (None, 7.0)):
            for path in ("/api/chat", "/v1/completions"):
                body = {**whole(path), "keep_alive": wish}
                assert (await gateway.client.post(path, json=body)).status_code == 200
                [runner] = gateway.scheduler.snapshot().runners
                assert runner.keep_alive == seconds


async def test_a_runner_that_shall_not_stay_goes_after_the_reply() -> None:
    async with open_gateway() as gateway:
        gateway.add()
        body = {**whole("/api/generate"), "keep_alive": 0}
        reply = await gateway.client.post("/api/generate", json=body)
        assert reply.json()["response"] == "Hello from the fake engine."
        await gateway.until(lambda: not gateway.scheduler.snapshot().runners)


async def test_the_line_of_a_request_tells_what_it_took(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "paddock")
    async with open_gateway("--load", "0.05", "--interval", "0.01") as gateway:
        gateway.add()
        await gateway.client.post("/api/chat", json=STREAMS["/api/chat"])
        await gateway.client.post("/v1/chat/completions", json=whole("/v1/chat/completions"))
    loading, warm = reported(caplog)
    assert (loading["model"], loading["tokens"], loading["status"]) == ("m", 6, 200)
    assert loading["load_ms"] >= 50
    assert loading["total_ms"] >= loading["first_ms"] >= loading["load_ms"] > 0
    assert 0 < loading["tokens_per_s"] <= 6 / 0.05
    assert (warm["load_ms"], "first_ms" in warm, warm["tokens"]) == (0.0, False, 6)
