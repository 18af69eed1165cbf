"""Bytes that are no sound HTTP: the connection ends or is answered, and the server goes on."""

import contextlib
import socket
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.fakes import odd
from tests.fakes.process import Gateway, eventually

REST = b"Host: localhost\r\n"
HEAD = b"POST /api/show HTTP/1.1\r\n" + REST
BODY = b'{"model":"m"}'
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET /api/version HTTP/1.1\r\n" + REST
BROKEN = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "zero bytes": bytes(5000) + b"\r\n\r\n",
    "no version": b"GET /api/version\r\n\r\n",
    "another version": b"GET / HTTP/9.9\r\n" + REST + b"\r\n",
    "blanks in the path": b"GET /a b HTTP/1.1\r\n" + REST + b"\r\n",
    "no host": b"GET /api/version HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a folded header": GET + b"X-A: 1\r\n 2\r\n\r\n",
    "a header without a colon": GET + b"nonsense\r\n\r\n",
    "a header with a zero byte": GET + b"X-A: a\0b\r\n\r\n",
    "a lone line feed": b"GET / HTTP/1.1\nHost: localhost\n\n",
    "a huge header": GET + b"X-A: " + b"a" * 200_000 + b"\r\n\r\n",
    "many headers": GET + b"".join(b"X-%d: 1\r\n" % number for number in range(5000)) + b"\r\n",
    "a huge path": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a length of letters": HEAD + b"Content-Length: many\r\n\r\n" + BODY,
    "a negative length": HEAD + b"Content-Length: -5\r\n\r\n" + BODY,
    "an absurd length": HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n" + BODY,
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 13\r\n\r\n" + BODY,
    "a length and chunks": HEAD
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n"
    + BODY
    + b"\r\n0\r\n\r\n",
    "an unknown coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\n" + BODY,
    "chunks without sizes": CHUNKED + BODY,
    "a negative chunk": CHUNKED + b"-5\r\n" + BODY + b"\r\n0\r\n\r\n",
    "an absurd chunk": CHUNKED + b"f" * 40 + b"\r\n" + BODY,
    "a chunk longer than said": CHUNKED + b"2\r\n" + BODY + b"\r\n0\r\n\r\n",
    "an absurd extension": CHUNKED + b"d;" + b"a" * 200_000 + b"\r\n" + BODY,
    "HTTP/2 out of the blue": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "a WebSocket": b"GET /api/chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n\r\n",
    "CONNECT": b"CONNECT localhost:80 HTTP/1.1\r\n" + REST + b"\r\n",
    "a foreign URL": b"GET http://evil.com/api/tags HTTP/1.1\r\n" + REST + b"\r\n",
    "OPTIONS of all": b"OPTIONS * HTTP/1.1\r\n" + REST + b"\r\n",
    "bytes of no text in the path": b"GET /\xff\xfe%ff%00 HTTP/1.1\r\n" + REST + b"\r\n",
    "half a request": HEAD + b"Content-Length: 500\r\n\r\n" + BODY,
    "half a head": HEAD,
    "half a chunk": CHUNKED + b"ffff\r\n" + BODY,
}


def say(served: Gateway, data: bytes) -> bytes:
    """All that comes back for `data`, after which the client has no more to say."""
    received = b""
    with socket.create_connection(("127.0.0.1", urlsplit(served.url).port or 0), 20.0) as stream:
        with contextlib.suppress(OSError):  # it may be refused before its end
            stream.sendall(data)
            stream.shutdown(socket.SHUT_WR)
            while piece := stream.recv(65536):
                received += piece
    return received


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_what_is_no_request_ends_or_is_refused(
    served: Gateway, client: httpx.Client, data: bytes
) -> None:
    before = len(served.log_text())
    received = say(served, data)
    statuses = [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]
    # 501 is for a transfer coding that nobody here knows.
    assert all(status < 500 or status == 501 for status in statuses), received
    assert client.get("/api/version").status_code == 200
    assert "Traceback" not in served.log_text()[before:]


def test_what_was_cut_off_leaves_nothing(served: Gateway, folder: Path) -> None:
    blobs = folder / "models" / "blobs"
    head = b"POST /api/blobs/sha256:%s HTTP/1.1\r\n%s" % (b"0" * 64, REST)
    for rest in (
        b"Content-Length: 5000000\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nffffff\r\n",
    ):
        say(served, head + rest + bytes(2_000_000))
    eventually(lambda: blobs.is_dir() and not list(blobs.glob("*.new")))


def test_many_that_say_nothing_keep_nobody_waiting(served: Gateway, client: httpx.Client) -> None:
    address = ("127.0.0.1", urlsplit(served.url).port or 0)
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stream = stack.enter_context(socket.create_connection(address, 20.0))
            stream.sendall(HEAD[:20])
        assert client.get("/api/version", timeout=5.0).status_code == 200


@pytest.mark.parametrize(("method", "path"), [pair for pair in odd.POSTED if "{" not in pair[1]])
def test_odd_bodies_in_a_hurry_do_no_harm(
    served: Gateway, client: httpx.Client, method: str, path: str
) -> None:
    before = len(served.log_text())
    for body in islice(odd.spoilt(path), 0, None, 29):
        reply = client.request(method, path, content=body)
        assert reply.status_code < 500, reply.text
        assert "Traceback" not in reply.text
    assert "Traceback" not in served.log_text()[before:]
