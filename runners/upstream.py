"""HTTP to one runner over its UNIX socket: the path of every token.

A connection carries one call. The engine closes a connection after a streamed reply without
saying so, and opening a UNIX socket costs less than a tenth of a millisecond. httptools, a C
parser, keeps the wire rules; asyncio hands it each read directly, and `flow` hands that on at once,
so that a token wakes no task and no event is copied around it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import httptools
import orjson

from runners.errors import Refused

Take = Callable[[bytes], bool]
"""Takes a piece of a body; whether it wants another."""

_LONGEST_ERROR = 1 << 20
_MOST_HELD = 64 << 20
"""Bytes kept for a client that does not read. The engine itself never waits for a reader."""


class Upstream(asyncio.Protocol):
    """One request and its reply. `read` yields the body as it comes, b"" at its end."""

    def __init__(self) -> None:
        self.status = 0
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._pieces: list[bytes] = []
        self._held = 0
        self._head = False
        self._complete = False
        self._lost = False
        self._waiter: asyncio.Future[None] | None = None
        self._take: Take | None = None
        self._enough = False
        self._failure: Exception | None = None

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._lost = True
        if self._take is not None and self._pieces:
            self._hand_on(self._take)
        if self._take is None or self._complete or self._lost:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._wake()

    # httptools' callbacks

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._head = True

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)
        self._held += len(body)
        if self._held > _MOST_HELD:
            self._lost = True
            self.close()

    def on_message_complete(self) -> None:
        self._complete = True

    # The caller's side

    async def head(self) -> int:
        """The status, once it is there."""
        while not self._head:
            await self._wait()
        return self.status

    async def read(self) -> bytes:
        """What came since the last call; b"" once all has. ConnectionError if it was cut short."""
        while not self._pieces:
            if self._complete:
                return b""
            await self._wait()
        return self._gathered()

    async def flow(self, take: Take) -> bool:
        """Hand on the body as it comes, with no task in between: the way of nearly every token.

        Until `take` has had enough (True), or all has come (False). What `take` raises is raised
        here; ConnectionError if the body was cut short.
        """
        self._enough = False
        while not self._enough:
            if self._pieces:
                self._hand_on(take)
            elif self._complete:
                return False
            else:
                self._take = take
                try:
                    await self._wait()
                finally:
                    self._take = None
            if self._failure is not None:
                raise self._failure
        return True

    def _hand_on(self, take: Take) -> None:
        try:
            self._enough = not take(self._gathered())
        except Exception as exc:
            self._failure, self._enough = exc, True
        if self._enough:
            self._take = None

    def _gathered(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        self._held = 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def read_all(self, limit: int | None = None) -> bytes:
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
        """The engine frees the slot as soon as it sees this."""
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self) -> None:
        if self._lost:
            raise ConnectionError("the runner closed the connection")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


@contextlib.asynccontextmanager
async def open_call(
    socket: Path, path: str, body: bytes | None = None, calls: set[Upstream] | None = None
) -> AsyncIterator[Upstream]:
    """POST `body` to `path` (GET without one); the reply's head has arrived when this yields.

    While it is open it is one of `calls`: closing it there ends it with a ConnectionError.

    Raises Refused with the engine's own message for a status of 400 and above, ConnectionError if
    the runner is not there or goes away.
    """
    try:
        _, upstream = await asyncio.get_running_loop().create_unix_connection(Upstream, str(socket))
    except OSError as exc:
        raise ConnectionError(str(exc)) from exc
    calls = set() if calls is None else calls
    calls.add(upstream)
    try:
        upstream.write(_request(path, body))
        if await upstream.head() >= 400:
            raise refusal(upstream.status, await upstream.read_all(_LONGEST_ERROR))
        yield upstream
    finally:
        calls.discard(upstream)
        upstream.close()


def _request(path: str, body: bytes | None) -> bytes:
    if body is None:
        return b"GET %b HTTP/1.1\r\nHost: runner\r\nConnection: close\r\n\r\n" % path.encode()
    return (
        b"POST %b HTTP/1.1\r\nHost: runner\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (path.encode(), len(body), body)
    )


def refusal(status: int, body: bytes) -> Refused:
    """The engine's `{"error": {"message", "type"}}`, or its text as it is."""
    try:
        error = orjson.loads(body)["error"]
        return Refused(str(error["message"]), status, str(error.get("type", "")))
    except (ValueError, KeyError, TypeError):
        return Refused(body.decode("utf-8", "replace") or f"status {status}", status, "")


async def healthy(socket: Path) -> bool:
    """Whether the child behind `socket` says it is ready."""
    try:
        async with open_call(socket, "/health") as upstream:
            return upstream.status == 200
    except (Refused, ConnectionError):
        return False
