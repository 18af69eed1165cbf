"""Connections are let go when their client leaves, and when the server stops."""

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import pytest
from anyio.abc import SocketStream
from starlette.types import Receive, Scope, Send

from gateway.listen import listen
from gateway.serve import server_config

pytestmark = pytest.mark.anyio

GET = b"GET /%b HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATIENCE = 10.0


@dataclass
class App:
    """Answers /quick at once, /slow once it may, /broken never."""

    asked: anyio.Event = field(default_factory=anyio.Event)
    may: anyio.Event = field(default_factory=anyio.Event)
    cancelled: anyio.Event = field(default_factory=anyio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/broken":
            raise ValueError("no such luck")
        if scope["path"] == "/slow":
            self.asked.set()
            try:
                await self.may.wait()
            except anyio.get_cancelled_exc_class():
                self.cancelled.set()
                raise
        headers = [(b"content-length", b"4")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"done"})


@dataclass
class Server:
    app: App
    port: int
    stop: anyio.Event
    ended: anyio.Event

    async def connect(self) -> SocketStream:
        return await anyio.connect_tcp("127.0.0.1", self.port)


@asynccontextmanager
async def running(drain: float = PATIENCE) -> AsyncIterator[Server]:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = Server(App(), port, anyio.Event(), anyio.Event())
    config = server_config(listener.detach(), drain)

    async def serve() -> None:
        await listen(server.app, config, server.stop)
        server.ended.set()

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve)
            yield server
            server.stop.set()


async def until(stream: SocketStream, mark: bytes) -> bytes:
    received = b""
    while mark not in received:
        received += await stream.receive()
    return received


async def closed(stream: SocketStream) -> bool:
    """Whether nothing more comes, which is waited for."""
    with pytest.raises(anyio.EndOfStream):
        await stream.receive()
    return True


async def test_requests_are_answered_one_after_the_other_on_a_connection() -> None:
    async with running() as server, await server.connect() as client:
        for _ in range(3):
            await client.send(GET % b"quick")
            assert (await until(client, b"done")).startswith(b"HTTP/1.1 200")


async def test_a_client_that_has_left_is_let_go_at_once() -> None:
    async with running() as server, await server.connect() as client:
        await client.send(GET % b"quick")
        await until(client, b"done")
        await client.send_eof()
        assert await closed(client)


async def test_a_client_that_asks_nothing_and_leaves_is_let_go_at_once() -> None:
    async with running() as server, await server.connect() as client:
        await client.send_eof()
        assert await closed(client)


async def test_a_defect_of_the_app_ends_one_request_only() -> None:
    async with running() as server:
        async with await server.connect() as client:
            await client.send(GET % b"broken")
            assert (await until(client, b"\r\n\r\n")).startswith(b"HTTP/1.1 500")
        async with await server.connect() as client:
            await client.send(GET % b"quick")
            await until(client, b"done")


async def test_nonsense_ends_one_connection_only() -> None:
    async with running() as server:
        async with await server.connect() as client:
            await client.send(b"\x16\x03\x01 is no HTTP\r\n\r\n")
            assert (await until(client, b"\r\n\r\n")).startswith(b"HTTP/1.1 400")
        async with await server.connect() as client:
            await client.send(GET % b"quick")
            await until(client, b"done")


async def test_stopping_closes_idle_connections_and_takes_no_new_ones() -> None:
    async with running() as server, await server.connect() as idle:
        await idle.send(GET % b"quick")
        await until(idle, b"done")
        server.stop.set()
        assert await closed(idle)
        await server.ended.wait()
        with socket.socket() as late:
            assert late.connect_ex(("127.0.0.1", server.port)) == errno.ECONNREFUSED


async def test_stopping_lets_a_request_finish() -> None:
    async with running() as server, await server.connect() as client:
        await client.send(GET % b"slow")
        await server.app.asked.wait()
        server.stop.set()
        server.app.may.set()
        assert (await until(client, b"done")).startswith(b"HTTP/1.1 200")
        assert await closed(client)
        await server.ended.wait()
        assert not server.app.cancelled.is_set()


async def test_a_request_that_does_not_finish_in_time_is_cut() -> None:
    async with running(drain=0.05) as server, await server.connect() as client:
        await client.send(GET % b"slow")
        await server.app.asked.wait()
        server.stop.set()
        await server.ended.wait()
        assert server.app.cancelled.is_set()
