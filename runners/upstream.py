"""HTTP to one runner over its UNIX socket: the path of every token.

A connection carries one call, because the engine closes it after a streamed reply without a
`Connection: close` in the reply: a pool would send its next request into a dead connection.
Opening a UNIX socket costs less than a tenth of a millisecond.

httptools, a C parser, reads HTTP; asyncio hands each read of the socket to `data_received`, and
while `flow` runs, that hands the body on in the same call: no task is woken for a token, and no
event object is made for it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import Enum
from pathlib import Path

import httptools
import orjson

from runners.errors import Refused
from runners.states import IllegalStep

TakeBody = Callable[[bytes], bool]
"""Takes a piece of a body; returns whether it wants another."""

_MAX_ERROR_BODY = 1 << 20
"""Bytes of an error's body that are read: the engine quotes the request in some of its errors."""
_MAX_UNREAD = 64 << 20
"""Bytes kept for a client that does not read. The engine never waits for a reader: it goes on
generating, and what nobody reads would pile up here without end."""


class UpstreamState(Enum):
    """How far a reply has come."""

    CONNECTING = "connecting"
    HEAD = "head"
    """Connected; the status line and the headers are not complete."""
    BODY = "body"
    COMPLETE = "complete"
    """All of the reply is here, whatever becomes of the connection."""
    LOST = "lost"
    """No more comes, and the reply is not complete."""


class UpstreamEvent(Enum):
    """What asyncio and the parser report."""

    CONNECTED = "connected"
    HEAD_END = "head end"
    BODY_END = "body end"
    BREAK = "break"
    """The connection ended, on either side, or what came is not HTTP."""


# Names of the module: a member is looked up in its Enum by way of a descriptor, and the states are
# compared for every token.
_CONNECTING, _HEAD, _BODY, _COMPLETE, _LOST = UpstreamState

UPSTREAM_STEPS: dict[tuple[UpstreamState, UpstreamEvent], UpstreamState] = {
    (_CONNECTING, UpstreamEvent.CONNECTED): _HEAD,
    (_HEAD, UpstreamEvent.HEAD_END): _BODY,
    (_HEAD, UpstreamEvent.BREAK): _LOST,
    (_BODY, UpstreamEvent.BODY_END): _COMPLETE,
    (_BODY, UpstreamEvent.BREAK): _LOST,
    # The engine closes the connection after its reply, and so do we.
    (_COMPLETE, UpstreamEvent.BREAK): _COMPLETE,
    # `close` is a break, and asyncio reports the end of the connection once more after it.
    (_LOST, UpstreamEvent.BREAK): _LOST,
    # A break in the middle of one read, at `_MAX_UNREAD`: the parser goes on to the end of it.
    (_LOST, UpstreamEvent.BODY_END): _LOST,
}
"""Where a state goes at an event. Any other pair is illegal: from the engine, a second reply."""


class Upstream(asyncio.Protocol):
    """One request and its reply.

    `flow` hands the body on as it comes; `read` returns what has come, b"" at its end.
    """

    def __init__(self) -> None:
        self.status = 0
        self.state = _CONNECTING
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._unread: list[bytes] = []
        self._unread_size = 0
        self._take: TakeBody | None = None
        """Set while `flow` waits."""
        self._waiter: asyncio.Future[bool] | None = None
        """What the caller's side waits on; its result matters to `flow` alone."""

    def step(self, event: UpstreamEvent) -> None:
        """Raises IllegalStep, and changes nothing, if the table has no such step."""
        following = UPSTREAM_STEPS.get((self.state, event))
        if following is None:
            raise IllegalStep(f"{event.value} while {self.state.value}")
        self.state = following

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.step(UpstreamEvent.CONNECTED)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            # What is no HTTP; an illegal step in one of the parser's callbacks comes as this too.
            self.step(UpstreamEvent.BREAK)
        take = self._take
        if take is not None and self._unread:
            try:
                if not take(self._take_unread()):
                    self._wake(True)
            except Exception as exc:
                # It is raised where `flow` was called; asyncio would only log it.
                self._wake(exc)
        if self._waiter is not None and (take is None or self.state is not _BODY):
            self._wake(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.step(UpstreamEvent.BREAK)
        self._wake(False)

    # httptools' callbacks

    def on_headers_complete(self) -> None:
        self.step(UpstreamEvent.HEAD_END)
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._unread.append(body)
        self._unread_size += len(body)
        if self._unread_size > _MAX_UNREAD:
            self.close()

    def on_message_complete(self) -> None:
        self.step(UpstreamEvent.BODY_END)

    # The caller's side

    async def head(self) -> int:
        """The status, once it is there. ConnectionError if it never comes."""
        while self.state in (_CONNECTING, _HEAD):
            await self._wait()
        if self.status == 0:
            raise _closed()
        return self.status

    async def read(self) -> bytes:
        """What came since the last call; b"" once all has. ConnectionError if it was cut short."""
        while not self._unread:
            if self.state is _COMPLETE:
                return b""
            await self._wait()
        return self._take_unread()

    async def flow(self, take: TakeBody) -> bool:
        """Hand the body on as it comes, with no task in between: the way of nearly every token.

        True: `take` returned False and wants no more for now. False: all has come. What `take`
        raises is raised here; ConnectionError if the body was cut short.
        """
        if self._unread and not take(self._take_unread()):
            return True
        while self.state is not _COMPLETE:
            self._take = take
            if await self._wait():
                return True
        return False

    async def read_all(self, limit: int | None = None) -> bytes:
        """The rest of the body; with a `limit`, reading ends once more bytes than that came."""
        whole = bytearray()
        while piece := await self.read():
            whole += piece
            if limit is not None and len(whole) > limit:
                break
        return bytes(whole)

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def close(self) -> None:
        """End the call. The engine frees the slot as soon as it sees this.

        Aborted rather than closed: a closing transport first sends what it has not sent yet.
        """
        if self._transport is not None:
            self.step(UpstreamEvent.BREAK)
            self._transport.abort()

    def _take_unread(self) -> bytes:
        pieces, self._unread = self._unread, []
        self._unread_size = 0
        # A read of the socket mostly holds one event, and so one piece: no copy then.
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _wait(self) -> bool:
        """Until data or an end came; whether `take` has had enough."""
        if self.state is _LOST:
            raise _closed()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            return await self._waiter
        finally:
            self._waiter = self._take = None

    def _wake(self, outcome: bool | Exception) -> None:
        """End the wait: whether `take` has had enough, or what it raised."""
        self._take = None
        if self._waiter is None or self._waiter.done():
            return
        if isinstance(outcome, bool):
            self._waiter.set_result(outcome)
        else:
            self._waiter.set_exception(outcome)


def _closed() -> ConnectionError:
    return ConnectionError("the runner closed the connection")


@contextlib.asynccontextmanager
async def open_call(
    socket: Path,
    path: str,
    body: bytes | None = None,
    calls: set[Upstream] | None = None,
    explain: Callable[[], Awaitable[Exception]] | None = None,
) -> AsyncIterator[Upstream]:
    """POST `body` to `path` (GET without one); the reply's head has arrived when this yields.

    While it is open it is one of `calls`: closing it there ends it with a ConnectionError.

    Raises Refused with the engine's own message for a status of 400 and above, ConnectionError if
    the runner is not there or goes away; or what `explain` makes of the latter.
    """
    calls = set() if calls is None else calls
    loop = asyncio.get_running_loop()
    try:
        _, upstream = await loop.create_unix_connection(Upstream, str(socket))
    except OSError as exc:
        if explain is not None:
            raise await explain() from exc
        raise ConnectionError(str(exc)) from exc
    calls.add(upstream)
    method, content = b"GET", b""
    if body is not None:
        method = b"POST"
        content = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    head = b"%b %b HTTP/1.1\r\nHost: runner\r\n%b" % (method, path.encode(), content)
    try:
        upstream.write(b"%bConnection: close\r\n\r\n%b" % (head, body or b""))
        if await upstream.head() >= 400:
            raise refusal(upstream.status, await upstream.read_all(_MAX_ERROR_BODY))
        yield upstream
    except ConnectionError as exc:
        if explain is None:
            raise
        raise await explain() from exc
    finally:
        calls.discard(upstream)
        upstream.close()


def refusal(status: int, body: bytes) -> Refused:
    """The engine's `{"error": {"message", "type"}}`, or its text as it is."""
    try:
        error = orjson.loads(body)["error"]
        return Refused(str(error["message"]), status, str(error.get("type", "")))
    except (ValueError, KeyError, TypeError):
        return Refused(body.decode("utf-8", "replace") or f"status {status}", status, "")


async def healthy(socket: Path) -> bool:
    """Whether `/health` answers 200: the model is loaded. 503 while it loads."""
    try:
        async with open_call(socket, "/health") as upstream:
            return upstream.status == 200
    except (Refused, ConnectionError):
        return False
