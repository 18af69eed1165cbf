"""A client on a socket of its own: it sees when bytes come, and it can leave at any moment."""

import json
import re
import socket
import time
from collections.abc import Mapping
from typing import Any, Self

_CHUNK = re.compile(rb"([0-9a-f]+)\r\n")
PATIENCE = 20.0


class Caller:
    """One POST, sent as soon as it is made. Use as a context manager, or `leave`."""

    def __init__(self, url: str, path: str, body: Mapping[str, Any]) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self.received = b""
        self._socket = socket.create_connection((host, int(port)), PATIENCE)
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(data)}\r\n\r\n"
        self._socket.sendall(head.encode() + data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> float:
        """Close the socket; when that was, by time.perf_counter()."""
        self._socket.close()
        return time.perf_counter()

    def until(self, mark: bytes) -> float:
        """Receive until `mark` is in the body; when that was."""
        while mark not in self.body():
            self._more()
        return time.perf_counter()

    def first(self) -> float:
        """Wait for the first byte of the body; when that was."""
        if not self.body():
            self.more()
        return time.perf_counter()

    def silent(self) -> bool:
        """Nothing has come so far, and the connection is open."""
        self._socket.setblocking(False)
        try:
            self.received += self._socket.recv(1 << 16)
            return False
        except BlockingIOError:
            return not self.received
        finally:
            self._socket.settimeout(PATIENCE)

    def more(self) -> None:
        """Wait until the body has grown."""
        seen = len(self.body())
        while len(self.body()) == seen:
            self._more()

    def end(self) -> bytes:
        """The whole body, its end waited for: the last chunk, or the closing of the connection."""
        while not self._complete() and (data := self._receive()):
            self.received += data
        return self.body()

    @property
    def status(self) -> int:
        return int(self.received.split(b" ", 2)[1])

    def head(self) -> bytes:
        return self.received.partition(b"\r\n\r\n")[0].lower()

    def body(self) -> bytes:
        """What has come of it, without the framing."""
        rest = self.received.partition(b"\r\n\r\n")[2]
        if b"transfer-encoding: chunked" not in self.head():
            return rest
        body = b""
        while (result := _CHUNK.match(rest)) and (size := int(result[1], 16)):
            body += rest[result.end() : result.end() + size]
            rest = rest[result.end() + size + 2 :]
        return body

    def _complete(self) -> bool:
        if b"\r\n\r\n" not in self.received:
            return False
        if result := re.search(rb"\ncontent-length: (\d+)", self.head()):
            return len(self.body()) >= int(result[1])
        return self.received.endswith(b"0\r\n\r\n")

    def _more(self) -> None:
        data = self._receive()
        assert data, f"closed after {self.received!r}"
        self.received += data

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(1 << 16)
        except ConnectionResetError:
            return b""
