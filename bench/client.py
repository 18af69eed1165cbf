"""The load generator: `python -m bench.client`, a process of its own.

A JSON line on standard input asks for a burst, a JSON line on standard output tells how it went; it
ends with its input. A lane is an address with a number of streams, each of which sends its next
request when its last reply is complete. One thread and plain sockets: it shares the machine with
what it measures. Standard library only.
"""

import json
import selectors
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

from bench.replies import BadReply, Reader, check

_CLOSED = "the connection was closed before the reply was complete"


def connect(address: str, limit: float = 60.0) -> socket.socket:
    """A connection to `unix:/path` or `host:port`; no operation on it takes more than `limit` s."""
    if address.startswith("unix:"):
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.settimeout(limit)
        link.connect(address.removeprefix("unix:"))
        return link
    host, _, port = address.rpartition(":")
    link = socket.create_connection((host, int(port)), timeout=limit)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return link


def request(path: str, body: str, *, keep: bool) -> bytes:
    data = body.encode()
    close = "" if keep else "Connection: close\r\n"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n{close}\r\n"
    )
    return head.encode() + data


class Lane:
    """One address under load: its requests, in order, and what became of them."""

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        self.address: str = wanted["address"]
        self.keep: bool = wanted["keep"]
        self.tokens: int | None = wanted["tokens"]
        self.replies: list[tuple[float, float, float, int]] = []
        self.failures: list[str] = []
        sent = [request(wanted["path"], body, keep=self.keep) for body in wanted["bodies"]]
        self._requests = iter(sent)
        self.left = len(sent)

    def next(self) -> bytes | None:
        data = next(self._requests, None)
        self.left -= data is not None
        return data

    def outcome(self) -> dict[str, Any]:
        return {"replies": self.replies, "failures": self.failures}


class Stream:
    """One client of a lane."""

    def __init__(self, lane: Lane, selector: selectors.BaseSelector) -> None:
        self._lane, self._selector = lane, selector
        self._link: socket.socket | None = None

    def send(self) -> None:
        """Send the lane's next request, if there is one."""
        while (data := self._lane.next()) is not None:
            self._reader = Reader()
            self._first = 0.0
            self._began = time.perf_counter()
            try:
                self._open().sendall(data)
            except OSError as error:
                self._fail(str(error))
                continue
            return
        self._close()

    def receive(self) -> None:
        """What is there of the reply; after its end, the next request."""
        assert self._link is not None
        try:
            data = self._link.recv(1 << 18)
        except OSError as error:
            self._fail(str(error))
            return self.send()
        now = time.perf_counter()
        if not data:
            self._fail(_CLOSED)
            return self.send()
        complete = self._reader.feed(data)
        if self._reader.begun:
            self._first = self._first or now
        if complete:
            self._complete(now)
            self.send()

    def abandon(self, why: str) -> None:
        """Give up the reply that is on its way, if there is one."""
        if self._link is not None:
            self._fail(why)

    def _complete(self, now: float) -> None:
        try:
            tokens = check(self._reader.whole(), self._lane.tokens)
            self._lane.replies.append((self._began, self._first, now, tokens))
        except BadReply as bad:
            self._lane.failures.append(str(bad))
        if not self._lane.keep:
            self._close()

    def _open(self) -> socket.socket:
        if self._link is None:
            self._link = connect(self._lane.address)
            self._selector.register(self._link, selectors.EVENT_READ, self.receive)
        return self._link

    def _fail(self, why: str) -> None:
        self._lane.failures.append(why)
        self._close()

    def _close(self) -> None:
        if self._link is not None:
            self._selector.unregister(self._link)
            self._link.close()
            self._link = None


def burst(wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Run every lane to its end, all at once, for `wanted["limit"]` seconds at most."""
    lanes = [Lane(lane) for lane in wanted["lanes"]]
    deadline = time.monotonic() + wanted["limit"]
    with selectors.DefaultSelector() as selector:
        streams = [
            Stream(lane, selector)
            for lane, settings in zip(lanes, wanted["lanes"], strict=True)
            for _ in range(min(settings["streams"], lane.left))
        ]
        for stream in streams:
            stream.send()
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                key.data()
        for stream in streams:
            stream.abandon(f"no complete reply within {wanted['limit']:g} s")
    for lane in lanes:
        lane.failures += ["not sent: the time was up"] * lane.left
    return [lane.outcome() for lane in lanes]


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(burst(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
