"""HTTP/1.1 on the client's side: bytes into Hypercorn's events and back. No sockets here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import httptools
from hypercorn.protocol.events import Body, EndBody, Request
from hypercorn.typing import ConnectionState as HypercornState

# This stands in place of h11, Hypercorn's own: that is Python, and in a server that only relays it
# took a quarter of the time to the first byte and a fifth of a token's. llhttp, the parser behind
# httptools, is strict: two framings at once, bare line feeds and folded headers are refused.

# Hypercorn numbers the streams of a connection; with HTTP/1.1 there is never more than one.
STREAM = 1
SendNow = Callable[[bytes], bool]
"""Writes a piece of a body that has begun, with no task in between; whether there is room left."""
SEND_NOW = "paddock.send_now"
"""The extension of ASGI's scope under which the listener lends the app a SendNow."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_FRAMING = (b"content-length", b"transfer-encoding")
_LONGEST_HEAD = 1 << 17
_STATUS = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode())
    for status in HTTPStatus
}


@dataclass(frozen=True, slots=True)
class Head:
    """A request begins."""

    request: Request
    last: bool
    """The client wants the connection closed after the reply, or cannot keep it."""
    expects: bool
    """The client sends the body once it gets `100 Continue`."""


@dataclass(frozen=True, slots=True)
class BadRequest:
    """What came is no request; `status` says in what way. Nothing after it can be understood."""

    status: int


HttpEvent = Head | Body | EndBody | BadRequest


class RequestParser:
    """What one client asks, read by read."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._events: list[HttpEvent] = []
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._in_head = True
        self._head_size = 0
        self._framing = b""
        """Of a body that this parser will not read."""

    def feed(self, data: bytes) -> list[HttpEvent]:
        """What `data` completes, in order; pieces of a body are not held back."""
        self._head_size += len(data)
        try:
            while data:
                try:
                    self._parser.feed_data(data)
                    break
                except httptools.HttpParserUpgrade as upgrade:
                    # The wish for another protocol is ignored: a server may, and this one speaks no
                    # other. Java's client wishes for HTTP/2 with every request. llhttp is done with
                    # the connection then, be there a body or not, so another parser goes on, from
                    # the body if there is one.
                    data = data[upgrade.args[0] :]
                    self._parser = httptools.HttpRequestParser(self)
                    if framing := self._framing:
                        self._framing = b""
                        self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % framing)
        except httptools.HttpParserError:
            self._events.append(BadRequest(400))
        # What has come of a head is kept, so there must be an end to it.
        if self._in_head and self._head_size > _LONGEST_HEAD:
            self._events.append(BadRequest(431))
        events, self._events = self._events, []
        return events

    # httptools' callbacks

    def on_url(self, url: bytes) -> None:
        if self._in_head:  # else it is that of the head which `feed` makes up after an upgrade
            self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # others are trailers, which nobody here asks for
            self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        if not self._in_head:
            return
        headers, self._headers = self._headers, []
        target, self._target = self._target, b""
        version = self._parser.get_http_version()
        self._in_head = False
        # RFC 9112, 3.2: two hosts are refused, for a proxy may go by the one and the guard by the
        # other.
        hosts = sum(name == b"host" for name, _ in headers)
        if hosts > 1 or (hosts == 0 and version != "1.0"):
            self._events.append(BadRequest(400))
            return
        if self._parser.should_upgrade():
            kept = [pair for pair in headers if pair[0] in _FRAMING]
            self._framing = b"".join(b"%b: %b\r\n" % pair for pair in kept)
        # Proxies write a target as `http://host/path`; routes know what comes after the host.
        if target[:7].lower() == b"http://":
            slash = target.find(b"/", 7)
            target = b"/" if slash < 0 else target[slash:]
        method = self._parser.get_method().decode()
        request = Request(STREAM, headers, version, method, target, HypercornState({}))
        wishes = [value.lower() for name, value in headers if name == b"expect"]
        expects = version != "1.0" and wishes == [b"100-continue"]
        last = version == "1.0" or not self._parser.should_keep_alive()
        self._events.append(Head(request, last, expects))

    def on_body(self, body: bytes) -> None:
        self._events.append(Body(STREAM, body))

    def on_message_complete(self) -> None:
        if self._framing:
            return  # of the head alone: the parser that takes over reads the body
        self._events.append(EndBody(STREAM))
        self._in_head = True
        self._head_size = 0


class ResponseWriter:
    """The bytes of one reply: its head goes with the first of its body, for that is one write."""

    def __init__(self, method: str, version: str, *, last: bool) -> None:
        self._bodiless = method == "HEAD"
        self._can_chunk = version != "1.0"
        self._chunked = False
        self._left: int | None = None
        """Bytes of the body still to come, if the head has their number."""
        self._head = b""
        self.last = last
        """The connection ends with this reply."""
        self.begun = False
        self.ended = False

    def begin(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """ValueError for a header with a line break in it, and then nothing has begun."""
        # What follows a line break would be another header, or a whole reply, of somebody's making.
        flat = b"".join(name + value for name, value in headers)
        if b"\r" in flat or b"\n" in flat:
            raise ValueError("a header with a line break")
        self.begun = True
        lines = [_STATUS.get(status) or b"HTTP/1.1 %d \r\n" % status]
        for name, value in headers:
            if name == b"content-length":
                self._left = int(value)
            elif name == b"connection":
                # Written once, below: more than the app's wish decides.
                self.last = self.last or value.lower() == b"close"
                continue
            lines.append(b"%b: %b\r\n" % (name, value))
        self._bodiless = self._bodiless or status in (204, 304)
        if self._left is None and not self._bodiless:
            # HTTP/1.0 has no chunks: there the end of the connection is the end of the body.
            self._chunked = self._can_chunk
            self.last = self.last or not self._can_chunk
            if self._chunked:
                lines.append(b"transfer-encoding: chunked\r\n")
        if self.last:
            lines.append(b"connection: close\r\n")
        self._head = b"".join(lines) + b"\r\n"

    def body(self, data: bytes) -> bytes:
        """The path of a token. ValueError for more than the head promised."""
        head, self._head = self._head, b""
        if self._chunked:
            return b"%b%x\r\n%b\r\n" % (head, len(data), data)
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise ValueError("a body longer than its content-length")
        return head + data if head else data

    def end(self) -> bytes:
        """What is left to write, which may be nothing."""
        head, self._head, self.ended = self._head, b"", True
        if self._left and not self._bodiless:
            self.last = True  # fewer than promised: only the end of the connection can tell
        return head + b"0\r\n\r\n" if self._chunked else head


def refusal(status: int) -> bytes:
    """The whole reply to what was no request."""
    text = f"{status} {HTTPStatus(status).phrase}".encode()
    return (
        b"%bcontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close"
        b"\r\n\r\n%b" % (_STATUS[status], len(text), text)
    )
