"""Connections: sockets around HTTP/1.1 and Hypercorn's ASGI stream, until it is time to stop.

Hypercorn's own `serve` does not let go: the socket of a client that has left stays open for the
keep-alive time, a body that nobody reads holds its connection for ever, and from Python 3.12 on
the end waits for the last client, however long it stays.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.protocol.events import Body, EndBody, Event, Response, StreamClosed
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.typing import ASGIReceiveEvent

from gateway.http.http1 import (
    CONTINUE,
    PASS_ON,
    STREAM,
    Asked,
    Head,
    Nonsense,
    Reply,
    Requests,
    refusal,
)

log = logging.getLogger(__name__)

_READ = 1 << 16
_MOST_UNREAD = 4
"""Pieces of a body that wait for the app; then the client waits."""
_LONGEST_STALL = 600.0
"""Seconds, as llama-server has it."""
_MOST_DROPPED = 1 << 18
"""Bytes of a body read past when the app has answered without it, before the connection ends."""


class Inbox:
    """What the app has still to receive. Whoever brings it more waits until there is room."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[ASGIReceiveEvent] = asyncio.Queue()
        self._room = asyncio.Event()
        self._over = False

    async def put(self, event: ASGIReceiveEvent) -> None:
        self._events.put_nowait(event)
        while self._events.qsize() > _MOST_UNREAD and not self._over:
            self._room.clear()
            await self._room.wait()

    async def get(self) -> ASGIReceiveEvent:
        event = await self._events.get()
        self._room.set()
        return event

    def close(self) -> None:
        """Nobody will read any more."""
        self._over = True
        self._room.set()


class Connection:
    """One client's: its requests one after the other, each with a task of the app's."""

    def __init__(
        self,
        app: Any,
        config: Config,
        context: WorkerContext,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        stall: float,
    ) -> None:
        self._app, self._config, self._context = app, config, context
        self._reader, self._writer = reader, writer
        self._stall = stall
        self._peer = _address(writer.get_extra_info("peername"))
        self._own = _address(writer.get_extra_info("sockname"))
        self._requests = Requests()
        self._asking = False
        """The client is in the middle of a request."""
        self._dropped = 0
        self._stream: HTTPStream | None = None
        self._inbox = Inbox()
        self._reply = Reply("", "", last=False)
        self._free = asyncio.Event()
        """No reply is under way."""
        self._free.set()
        self._last = False
        """No further request is wanted."""
        self._gone = False
        self._timer: asyncio.TimerHandle | None = None

    async def serve(self) -> None:
        """Until one side has had enough."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._rest()
                await self._read()
                self._gone = True
                if self._stream is not None:
                    self._inbox.close()
                    await self._stream.handle(StreamClosed(STREAM))
                self._close()
            with suppress(OSError):
                async with asyncio.timeout(self._stall):
                    await self._writer.wait_closed()
        finally:
            self._busy()
            self._writer.transport.abort()

    def stop(self) -> None:
        """End it now if it idles, else with the reply that is under way."""
        self._last = True
        if self._stream is None:
            self._close()

    # What the client says

    async def _read(self) -> None:
        while data := await self._received():
            for asked in self._requests.feed(data):
                if not await self._handle(asked):
                    return

    async def _received(self) -> bytes:
        with suppress(OSError):
            return await self._reader.read(_READ)
        return b""

    async def _handle(self, asked: Asked) -> bool:
        """Whether there may be more to read."""
        match asked:
            case Head():
                await self._free.wait()
                if self._last:
                    return False
                await self._begin(asked)
            case Body() if self._stream is not None:
                await self._stream.handle(asked)
            case Body(data=data):
                self._dropped += len(data)
                return self._dropped <= _MOST_DROPPED
            case EndBody():
                self._asking = False
                if self._stream is None:
                    return self._rest()
                await self._stream.handle(asked)
            case Nonsense(status):
                await self._refuse(status)
                return False
        return True

    async def _begin(self, head: Head) -> None:
        self._busy()
        self._free.clear()
        self._asking, self._dropped = True, 0
        if head.expects:
            self._writer.write(CONTINUE)
        request = head.request
        self._reply = Reply(request.method, request.http_version, last=head.last)
        self._stream = self._opened()
        await self._stream.handle(request)

    def _opened(self) -> HTTPStream:
        starter: Any = self  # of the app's tasks, by `spawn_app`
        ends = self._peer, self._own
        return HTTPStream(
            self._app, self._config, self._context, starter, False, *ends, self._send, STREAM
        )

    async def _refuse(self, status: int) -> None:
        if not self._asking:
            await self._free.wait()  # a whole request before it is answered all the same
        if not self._last and not (self._stream and self._reply.begun):
            self._writer.write(refusal(status))

    # What the app says

    async def spawn_app(
        self, app: Any, config: Config, scope: Any, send: Any
    ) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        """HTTPStream's way to begin the task of a request."""
        scope["extensions"][PASS_ON] = self._pass_on
        self._inbox = Inbox()
        self._tasks.create_task(self._run(scope, self._inbox, send))
        return self._inbox.put

    async def _run(self, scope: Any, inbox: Inbox, send: Any) -> None:
        try:
            await self._app(scope, inbox.get, send)
        except Exception:
            log.exception("a request failed")  # and no other shall fail with it
        await send(None)

    async def _send(self, event: Event) -> None:
        """HTTPStream's way to the client."""
        if self._gone:
            return
        match event:
            case Body(data=data):
                await self._write(self._reply.body(data))
            case Response():
                own = self._config.response_headers("h1")
                self._reply.begin(event.status_code, (*event.headers, *own))
            case EndBody():
                await self._write(self._reply.end())
            case StreamClosed():
                await self._over()

    def _pass_on(self, data: bytes) -> bool:
        """The path of a token: a PassOn, lent to the app."""
        if self._gone:
            return True
        self._writer.write(self._reply.body(data))
        return self._writer.transport.get_write_buffer_size() == 0

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        if self._writer.transport.get_write_buffer_size():
            try:
                async with asyncio.timeout(self._stall):
                    await self._writer.drain()
            except ConnectionError:
                pass  # the reader notices it as well
            except TimeoutError:
                self._writer.transport.abort()

    async def _over(self) -> None:
        """The reply has come to its end, be it too early."""
        assert self._stream is not None
        self._inbox.close()
        await self._stream.handle(StreamClosed(STREAM))
        self._stream = None
        self._last = self._last or self._reply.last or not self._reply.ended
        self._free.set()
        if not self._asking:
            self._rest()
            return
        self._be_patient()
        if self._last:
            self._writer.write_eof()  # to close now would take the reply from under the client

    # Between requests

    def _rest(self) -> bool:
        """Whether another request may come."""
        if self._last:
            self._close()
            return False
        self._be_patient()
        return True

    def _be_patient(self) -> None:
        self._busy()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._config.keep_alive_timeout, self._close)

    def _busy(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _close(self) -> None:
        self._writer.close()


def _address(name: Any) -> tuple[str, int] | None:
    """Host and port, without what IPv6 adds to them."""
    return name[:2] if name else None


async def listen(
    app: Any, config: Config, stop: anyio.Event, *, stall: float = _LONGEST_STALL
) -> None:
    """Serve on the socket that `config` names until `stop`; then finish what was begun.

    After `stop` no new connection is taken, idle ones are closed at once, and requests have
    `config.graceful_timeout` seconds. A client that takes nothing of a reply for `stall` seconds
    loses it, for it holds a slot of a runner.
    """
    (listener,) = config.create_sockets().insecure_sockets
    context = WorkerContext(None)
    live: set[Connection] = set()

    async def serve(connection: Connection) -> None:
        live.add(connection)
        try:
            await connection.serve()
        except Exception:
            log.exception("a connection failed")  # and no other shall fail with it
        finally:
            live.discard(connection)

    async with anyio.create_task_group() as connections:

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.start_soon(serve, Connection(app, config, context, reader, writer, stall))

        server = await asyncio.start_server(connected, sock=listener, backlog=config.backlog)
        try:
            await stop.wait()
        finally:
            server.close()
            for connection in list(live):
                connection.stop()
        connections.cancel_scope.deadline = anyio.current_time() + config.graceful_timeout
