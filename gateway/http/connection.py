"""One client's connection: its requests one after the other, each with a task of the app's."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any

from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.protocol.events import Body, EndBody, Event, Response, StreamClosed
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.typing import ASGIReceiveEvent, ASGISendEvent

from gateway.http.http1 import (
    CONTINUE,
    SEND_NOW,
    STREAM,
    BadRequest,
    Head,
    HttpEvent,
    RequestParser,
    ResponseWriter,
    refusal,
)

log = logging.getLogger(__name__)

HttpApp = Callable[..., Awaitable[None]]
"""An ASGI application; Hypercorn and Starlette type its messages each in their own way."""
_READ_SIZE = 1 << 16
_MOST_UNREAD = 4
"""Pieces of a body that wait for the app; then the client waits."""
# A client that is still sending may only read a reply once it has sent all; one that is cut off
# earlier reports a broken connection instead of what the reply says.
_MOST_DRAINED = 1 << 18
"""Bytes of a body read past when the app has answered without it, before the connection ends."""


class ConnectionState(Enum):
    """Where a connection is between its client, who sends, and the app, which replies."""

    IDLE = "idle"
    """Between requests."""
    READING = "reading"
    """The request's body is still coming; the app is at work on it."""
    RESPONDING = "responding"
    """The whole request has been read; the reply is under way."""
    DRAINING = "draining"
    """The reply is complete, the request's body is not."""
    CLOSED = "closed"


class ConnectionEvent(Enum):
    HEAD = "head"
    BODY_END = "body end"
    RESPONSE_END = "response end"
    CLOSE = "close"


_S, _E = ConnectionState, ConnectionEvent
CONNECTION_STEPS: Mapping[tuple[ConnectionState, ConnectionEvent], ConnectionState] = {
    (_S.IDLE, _E.HEAD): _S.READING,
    (_S.READING, _E.BODY_END): _S.RESPONDING,
    (_S.READING, _E.RESPONSE_END): _S.DRAINING,
    (_S.RESPONDING, _E.RESPONSE_END): _S.IDLE,
    (_S.DRAINING, _E.BODY_END): _S.IDLE,
    # The client may leave at any time, and the app's task then ends a little later.
    **{(state, _E.CLOSE): _S.CLOSED for state in _S},
    (_S.CLOSED, _E.RESPONSE_END): _S.CLOSED,
}


class ReceiveQueue:
    """What the app has still to receive. Whoever puts more into it waits until there is room."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[ASGIReceiveEvent] = asyncio.Queue()
        self._room = asyncio.Event()
        self._over = False

    async def put(self, event: ASGIReceiveEvent) -> None:
        # Not a queue with a bound: its `put` would wait for ever once nobody reads.
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
    """`stall`: seconds after which a client that takes nothing of its reply loses it."""

    def __init__(
        self,
        app: HttpApp,
        config: Config,
        context: WorkerContext,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        stall: float,
    ) -> None:
        self._app, self._config, self._context = app, config, context
        self._reader, self._writer = reader, writer
        self._stall = stall
        self._client = _address(writer.get_extra_info("peername"))
        self._server = _address(writer.get_extra_info("sockname"))
        self.state = _S.IDLE
        self._parser = RequestParser()
        self._drained = 0
        self._stream: HTTPStream | None = None
        self._received = ReceiveQueue()
        self._response = ResponseWriter("", "", last=False)
        self._no_response = asyncio.Event()
        """Set while no reply is under way: a request that came early waits for it."""
        self._no_response.set()
        self._last = False
        """Whether no further request is wanted."""
        self._timer: asyncio.TimerHandle | None = None

    async def serve(self) -> None:
        """Serve until one side has had enough."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._await_request()
                await self._read()
                self._close()
                if self._stream is not None:
                    # Closed first: the app may be reading no more, and the event by which it learns
                    # that the client has left is put into the same queue.
                    self._received.close()
                    await self._stream.handle(StreamClosed(STREAM))
            with suppress(OSError):  # the client may have reset it; a TimeoutError is one as well
                async with asyncio.timeout(self._stall):
                    await self._writer.wait_closed()
        finally:
            self._stop_timer()
            self._writer.transport.abort()

    def stop(self) -> None:
        """End it now if it is idle, else with the reply that is under way."""
        self._last = True
        if self.state is _S.IDLE:
            self._close()

    def _step(self, event: ConnectionEvent) -> None:
        """KeyError for a step that the table does not have: a defect of ours."""
        self.state = CONNECTION_STEPS[self.state, event]

    def _close(self) -> None:
        """What was written still goes out."""
        self._step(_E.CLOSE)
        self._writer.close()

    # What the client sends

    async def _read(self) -> None:
        while True:
            try:
                data = await self._reader.read(_READ_SIZE)
            except OSError:
                return  # a connection that breaks is one that ends: the client has left
            if not data:
                return
            for event in self._parser.feed(data):
                if not await self._handle(event):
                    return

    async def _handle(self, event: HttpEvent) -> bool:
        """Whether there may be more to read."""
        match event:
            case Head():
                # A client may send its next request early, but replies go out in their order.
                await self._no_response.wait()
                if self.state is not _S.IDLE:
                    return False
                await self._begin(event)
            case _ if self.state is _S.CLOSED:
                return False
            case Body(data=data) if self._stream is None:
                self._drained += len(data)
                return self._drained <= _MOST_DRAINED
            case Body() | EndBody() if self._stream is not None:
                if isinstance(event, EndBody):
                    self._step(_E.BODY_END)
                await self._stream.handle(event)
            case EndBody():
                self._step(_E.BODY_END)
                return self._await_request()
            case BadRequest(status):
                if self.state is _S.RESPONDING:
                    await self._no_response.wait()  # the request before it is answered all the same
                # Within a reply that has begun a second head would be read as part of its body.
                if not self._last and not (self._stream and self._response.begun):
                    self._writer.write(refusal(status))
                return False
        return True

    async def _begin(self, head: Head) -> None:
        self._stop_timer()
        self._step(_E.HEAD)
        self._no_response.clear()
        self._drained = 0
        if head.expects:
            self._writer.write(CONTINUE)
        request = head.request
        self._response = ResponseWriter(request.method, request.http_version, last=head.last)
        app: Any = self._app  # which is called by `spawn_app` alone, and not as Hypercorn does
        tasks: Any = self  # of what it takes for a task group, Hypercorn calls `spawn_app` alone
        self._stream = HTTPStream(
            app,
            self._config,
            self._context,
            tasks,
            False,
            self._client,
            self._server,
            self._send,
            STREAM,
        )
        await self._stream.handle(request)

    # What the app sends

    async def spawn_app(
        self,
        app: HttpApp,
        config: Config,
        scope: dict[str, Any],
        send: Callable[[ASGISendEvent | None], Awaitable[None]],
    ) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        """HTTPStream's way to begin the task of a request."""
        scope["extensions"][SEND_NOW] = self._send_now
        # Each request has a queue of its own, which its task keeps: an app that goes on after its
        # reply must not take what the next request receives.
        received = self._received = ReceiveQueue()

        async def run() -> None:
            try:
                await self._app(scope, received.get, send)
            except Exception:
                log.exception("a request failed")  # and no other may fail with it
            await send(None)

        self._tasks.create_task(run())
        return received.put

    async def _send(self, event: Event) -> None:
        """HTTPStream's way to the client."""
        # An app that has not noticed yet that its client has left goes on writing for a while.
        if self.state is _S.CLOSED and not isinstance(event, StreamClosed):
            return
        match event:
            case Body(data=data):
                await self._write(self._response.body(data))
            case Response():
                own = self._config.response_headers("h1")
                self._response.begin(event.status_code, (*event.headers, *own))
            case EndBody():
                await self._write(self._response.end())
            case StreamClosed():
                await self._end_response()

    def _send_now(self, data: bytes) -> bool:
        """The path of a token: a SendNow, lent to the app."""
        if self.state is _S.CLOSED:
            return True  # else the app would take the long way, to wait for nobody
        self._writer.write(self._response.body(data))
        return self._writer.transport.get_write_buffer_size() == 0

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        # A `drain` that has nothing to wait for costs a coroutine and a timer all the same.
        if self._writer.transport.get_write_buffer_size():
            try:
                async with asyncio.timeout(self._stall):
                    await self._writer.drain()
            except ConnectionError:
                pass  # the reader notices it as well
            except TimeoutError:
                self._writer.transport.abort()

    async def _end_response(self) -> None:
        """The reply has come to its end, be it too early."""
        if self.state is _S.CLOSED:
            return
        assert self._stream is not None
        self._received.close()
        await self._stream.handle(StreamClosed(STREAM))
        self._stream = None
        self._last = self._last or self._response.last or not self._response.ended
        self._step(_E.RESPONSE_END)
        if self.state is _S.IDLE:
            self._await_request()
        else:
            self._start_timer()
            if self._last:
                # To close now would reset the connection under a client that is still sending,
                # and take the reply from it.
                self._writer.write_eof()
        self._no_response.set()

    # Between requests

    def _await_request(self) -> bool:
        """Whether another request may come."""
        if self._last:
            self._close()
            return False
        self._start_timer()
        return True

    def _start_timer(self) -> None:
        self._stop_timer()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._config.keep_alive_timeout, self._close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _address(name: tuple[Any, ...] | None) -> tuple[str, int] | None:
    """Host and port, without what IPv6 adds to them."""
    return name[:2] if name else None
