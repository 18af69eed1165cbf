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

from gateway.http.http1 import SEND_NOW, SendNow
from gateway.http.listener import listen
from gateway.serve import server_config

pytestmark = pytest.mark.anyio

GET = b"GET /%b HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /%b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
PATIENCE = 10.0


@dataclass
class App:
    """Answers /quick at once, /slow once it may, /broken never; /body with what was sent.

    /stream begins and then waits for the client to leave, /torn and /flood begin and fail, the
    latter after thirty megabytes. /lent uses what the server lends.
    """

    requested: anyio.Event = field(default_factory=anyio.Event)
    may: anyio.Event = field(default_factory=anyio.Event)
    cancelled: anyio.Event = field(default_factory=anyio.Event)
    left: anyio.Event = field(default_factory=anyio.Event)
    passed: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/broken":
            raise ValueError("no such luck")
        if scope["path"] == "/slow":
            self.requested.set()
            try:
                await self.may.wait()
            except anyio.get_cancelled_exc_class():
                self.cancelled.set()
                raise
        if scope["path"] == "/flood":
            await self._flood(receive, send)
        if scope["path"] in ("/stream", "/torn"):
            await self._stream(receive, send)
            raise ValueError("no such luck")
        if scope["path"] == "/lent":
            await self._lent(scope["extensions"][SEND_NOW], receive, send)
            return
        body = await whole(receive) if scope["path"] == "/body" else b"done"
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _stream(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        if not self.may.is_set():
            while (await receive())["type"] != "http.disconnect":
                pass
            self.left.set()
            # Whoever does not notice goes on for a while, and nobody minds.
            await send({"type": "http.response.body", "body": b"more", "more_body": True})

    async def _lent(self, pass_on: SendNow, receive: Receive, send: Send) -> None:
        """Filled until there is no room, and a little more after the client has left."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while pass_on(b"lent" * 16384):
            self.passed += 1
        while (await receive())["type"] != "http.disconnect":
            pass
        assert pass_on(b"into the void")
        self.left.set()

    async def _flood(self, receive: Receive, send: Send) -> None:
        """More than anybody's buffers hold."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(500):
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        self.left.set()
        raise ValueError("no such luck")


async def whole(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


@dataclass
class Server:
    app: App
    port: int
    stop: anyio.Event
    ended: anyio.Event

    async def connect(self) -> SocketStream:
        return await anyio.connect_tcp("127.0.0.1", self.port)


@asynccontextmanager
async def running(
    drain: float = PATIENCE, keep_alive: float = 75.0, stall: float = PATIENCE
) -> AsyncIterator[Server]:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = Server(App(), port, anyio.Event(), anyio.Event())
    config = server_config(listener.detach(), drain)
    config.keep_alive_timeout = keep_alive

    async def serve() -> None:
        await listen(server.app, config, server.stop, stall=stall)
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


async def test_requests_sent_at_once_are_answered_in_turn() -> None:
    async with running() as server, await server.connect() as client:
        await client.send(
            POST % (b"body", 3) + b"one" + POST % (b"body", 3) + b"two" + GET % b"quick"
        )
        replies = await until(client, b"done")
        assert [replies.index(body) for body in (b"one", b"two", b"done")] == sorted(
            replies.index(body) for body in (b"one", b"two", b"done")
        )
        assert replies.count(b"HTTP/1.1 200 OK") == 3


async def test_a_long_body_arrives_whole() -> None:
    body = bytes(range(256)) * 20_000
    async with running() as server, await server.connect() as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.send, POST % (b"body", len(body)) + body)
            reply = await until(client, b"\r\n\r\n")
            while len(reply.partition(b"\r\n\r\n")[2]) < len(body):
                reply += await client.receive()
        assert reply.endswith(body)


async def test_a_short_body_that_nobody_reads_is_read_past() -> None:
    async with running() as server, await server.connect() as client:
        await client.send(POST % (b"quick", 100_000))
        await until(client, b"done")
        await client.send(b"x" * 100_000 + GET % b"quick")
        assert (await until(client, b"done")).startswith(b"HTTP/1.1 200")


async def test_a_long_body_that_nobody_reads_ends_the_connection() -> None:
    async with running() as server, await server.connect() as client:
        await client.send(POST % (b"quick", 1 << 40))
        await until(client, b"done")
        with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
            while True:
                await client.send(b"x" * 65536)


async def test_a_client_that_waits_to_be_told_is_told_to_continue() -> None:
    async with running() as server, await server.connect() as client:
        head = POST % (b"body", 4)
        await client.send(head.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        assert await until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"done")
        assert (await until(client, b"done")).startswith(b"HTTP/1.1 200")


async def test_nonsense_in_a_body_is_refused() -> None:
    async with running() as server, await server.connect() as client:
        head = b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        await client.send(head + b"2\r\nhi\r\nzz\r\n")
        assert (await until(client, b"\r\n\r\n")).startswith(b"HTTP/1.1 400")
        assert await closed(client)


async def test_nonsense_after_a_request_waits_for_its_reply() -> None:
    async with running() as server, await server.connect() as client:
        await client.send(GET % b"slow" + b"\x16\x03\x01")
        await server.app.requested.wait()
        server.app.may.set()
        replies = await until(client, b"400 Bad Request\r\n")
        assert replies.startswith(b"HTTP/1.1 200")
        assert replies.index(b"done") < replies.index(b"HTTP/1.1 400")


async def test_an_old_client_is_let_go_after_its_reply() -> None:
    async with running() as server, await server.connect() as client:
        await client.send(b"GET /quick HTTP/1.0\r\n\r\n")
        assert b"connection: close" in await until(client, b"done")
        assert await closed(client)


async def test_who_asks_for_the_end_gets_it() -> None:
    async with running() as server, await server.connect() as client:
        await client.send(b"GET /quick HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"connection: close" in await until(client, b"done")
        assert await closed(client)


async def test_the_app_hears_when_a_client_leaves_in_a_stream() -> None:
    async with running() as server:
        async with await server.connect() as client:
            await client.send(GET % b"stream")
            await until(client, b"begun")
        await server.app.left.wait()


async def test_what_is_passed_on_goes_out_in_order_until_there_is_no_room() -> None:
    async with running() as server:
        async with await server.connect() as client:
            await client.send(GET % b"lent")
            received = await until(client, b"\r\n5\r\nbegun\r\n")
            whole_pieces = server.app.passed + 1
            piece = b"10000\r\n" + b"lent" * 16384 + b"\r\n"
            body = received.partition(b"begun\r\n")[2]
            while len(body) < whole_pieces * len(piece):
                body += await client.receive()
            assert server.app.passed > 0
            assert body == piece * whole_pieces
        await server.app.left.wait()


async def test_a_stream_that_fails_ends_without_its_end() -> None:
    async with running() as server, await server.connect() as client:
        server.app.may.set()
        await client.send(GET % b"torn")
        received = await until(client, b"5\r\nbegun\r\n")
        assert received.endswith(b"5\r\nbegun\r\n")
        assert await closed(client)


async def test_idle_connections_are_let_go_in_time() -> None:
    async with running(keep_alive=0.01) as server:
        async with await server.connect() as silent:
            assert await closed(silent)
        async with await server.connect() as client:
            await client.send(GET % b"quick")
            await until(client, b"done")
            assert await closed(client)


async def test_a_request_may_take_longer_than_that() -> None:
    async with running(keep_alive=0.01) as server, await server.connect() as client:
        async with await server.connect() as silent:
            await client.send(GET % b"slow")
            await server.app.requested.wait()
            assert await closed(silent)
        server.app.may.set()
        await until(client, b"done")


async def test_a_client_that_takes_nothing_loses_the_reply() -> None:
    async with running(stall=0.05) as server, await server.connect() as client:
        await client.send(GET % b"flood")
        await server.app.left.wait()
        with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
            while True:
                await client.receive()


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
        await server.app.requested.wait()
        server.stop.set()
        server.app.may.set()
        assert (await until(client, b"done")).startswith(b"HTTP/1.1 200")
        assert await closed(client)
        await server.ended.wait()
        assert not server.app.cancelled.is_set()


async def test_a_request_that_does_not_finish_in_time_is_cut() -> None:
    async with running(drain=0.05) as server, await server.connect() as client:
        await client.send(GET % b"slow")
        await server.app.requested.wait()
        server.stop.set()
        await server.ended.wait()
        assert server.app.cancelled.is_set()
