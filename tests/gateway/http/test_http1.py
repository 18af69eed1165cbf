"""Bytes into events and back: what clients of every kind send, and what they must not."""

import pytest
from hypercorn.protocol.events import Body, EndBody

from gateway.http.http1 import (
    CONTINUE,
    BadRequest,
    Head,
    HttpEvent,
    RequestParser,
    ResponseWriter,
    refusal,
)

GET = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;ext=1\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: t\r\n\r\n"
)


def reported(requested: list[HttpEvent]) -> list[str | bytes | int]:
    """Events in short: a path, pieces of a body, "end", a status."""
    short: list[str | bytes | int] = []
    for event in requested:
        match event:
            case Head(request):
                short.append(f"{request.method} {request.raw_path.decode()}")
            case Body(data=data):
                short.append(data)
            case EndBody():
                short.append("end")
            case BadRequest(status):
                short.append(status)
    return short


def head(data: bytes) -> Head:
    [first, *_] = RequestParser().feed(data)
    assert isinstance(first, Head)
    return first


def test_a_request_without_a_body() -> None:
    assert reported(RequestParser().feed(GET)) == ["GET /a?b=c", "end"]
    assert head(GET).request.http_version == "1.1"


def test_a_request_with_a_body() -> None:
    assert reported(RequestParser().feed(POST)) == ["POST /a", b"hello", "end"]


def test_chunks_are_a_body_and_trailers_are_nothing() -> None:
    requests = RequestParser()
    assert reported(requests.feed(CHUNKED + GET)) == [
        "POST /a",
        b"hel",
        b"lo",
        "end",
        "GET /a?b=c",
        "end",
    ]
    assert head(CHUNKED + GET).request.headers[-1] == (b"transfer-encoding", b"chunked")
    assert reported(requests.feed(GET)) == ["GET /a?b=c", "end"]


@pytest.mark.parametrize("request_", [GET, POST, CHUNKED])
def test_it_does_not_matter_where_reads_end(request_: bytes) -> None:
    requests = RequestParser()
    short: list[str | bytes | int] = []
    for at in range(len(request_)):
        short += reported(requests.feed(request_[at : at + 1]))
    body = b"".join(piece for piece in short if isinstance(piece, bytes))
    [first, *_] = reported(RequestParser().feed(request_))
    assert [piece for piece in short if isinstance(piece, str)] == [first, "end"]
    assert body == (b"" if request_ is GET else b"hello")


def test_a_body_is_handed_on_as_it_comes() -> None:
    requests = RequestParser()
    assert reported(requests.feed(POST[:-3])) == ["POST /a", b"he"]
    assert reported(requests.feed(POST[-3:])) == [b"llo", "end"]


def test_headers_are_small_letters_and_trimmed_values() -> None:
    output = head(b"GET / HTTP/1.1\r\nHOST:x\r\nX-One: \t two  three \t\r\nx-one:\r\n\r\n")
    assert output.request.headers == [(b"host", b"x"), (b"x-one", b"two  three"), (b"x-one", b"")]


@pytest.mark.parametrize(
    ("lines", "last"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Close\r\n", True),
        (b"GET / HTTP/1.0\r\n", True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n", True),
    ],
)
def test_which_request_is_the_last(lines: bytes, last: bool) -> None:
    assert head(lines + b"\r\n").last is last


@pytest.mark.parametrize(
    ("version", "value", "expects"),
    [
        (b"1.1", b"100-continue", True),
        (b"1.1", b"100-Continue", True),
        (b"1.1", b"200-ok", False),
        (b"1.0", b"100-continue", False),
    ],
)
def test_who_waits_to_be_told_to_continue(version: bytes, value: bytes, expects: bool) -> None:
    lines = b"POST / HTTP/%b\r\nHost: x\r\nContent-Length: 1\r\nExpect: %b\r\n\r\n"
    assert head(lines % (version, value)).expects is expects


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/a/b?c", b"/a/b?c"),
        (b"http://host:1/a?b", b"/a?b"),
        (b"HTTP://host", b"/"),
        (b"*", b"*"),
        (b"/http://a/b", b"/http://a/b"),
    ],
)
def test_targets(target: bytes, path: bytes) -> None:
    output = head(b"OPTIONS %b HTTP/1.1\r\nHost: x\r\n\r\n" % target)
    assert output.request.raw_path == path


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
def test_a_wish_for_another_protocol_is_ignored(protocol: bytes) -> None:
    wish = b"Host: x\r\nConnection: Upgrade\r\nUpgrade: %b\r\n" % protocol
    requests = RequestParser()
    get = b"GET /1 HTTP/1.1\r\n%b\r\n" % wish
    post = b"POST /2 HTTP/1.1\r\n%bContent-Length: 2\r\n\r\nhi" % wish
    empty = post.replace(b": 2\r\n\r\nhi", b": 0\r\n\r\n")
    whole = [
        *("GET /1", "end"),
        *("POST /2", b"hi", "end"),
        *("POST /2", "end"),
        *("GET /a?b=c", "end"),
    ]
    assert reported(requests.feed(get + post + empty + GET)) == whole
    short: list[str | bytes | int] = []
    for byte in get + post + empty + GET:
        short += reported(requests.feed(bytes([byte])))
    assert short == [*whole[:3], b"h", b"i", *whole[4:]]


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/3.7\r\nHost: x\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_nonsense(nonsense: bytes) -> None:
    assert reported(RequestParser().feed(nonsense))[0] == 400


def test_nonsense_after_a_whole_request_and_within_a_body() -> None:
    assert reported(RequestParser().feed(POST + b"\x16\x03\x01")) == [
        "POST /a",
        b"hello",
        "end",
        400,
    ]
    broken = CHUNKED.replace(b"2\r\nlo", b"zz\r\nlo")
    assert reported(RequestParser().feed(broken)) == ["POST /a", b"hel", 400]


def test_a_head_without_end() -> None:
    requests = RequestParser()
    requested = requests.feed(b"GET / HTTP/1.1\r\nHost: x\r\nA: ")
    for _ in range(2):
        assert not requested
        requested = requests.feed(b"a" * 65536)
    assert reported(requested) == [431]


def test_a_long_body_after_a_short_head_is_no_long_head() -> None:
    requests = RequestParser()
    requests.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n")
    for _ in range(4):
        assert reported(requests.feed(b"a" * 100_000))[0] == b"a" * 100_000
    assert reported(requests.feed(GET)) == ["GET /a?b=c", "end"]


def test_a_stream_goes_in_chunks_and_its_head_with_the_first() -> None:
    reply = ResponseWriter("GET", "1.1", last=False)
    assert not reply.begun
    reply.begin(200, [(b"content-type", b"text/plain")])
    assert reply.body(b"x" * 17) == (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"
        b"11\r\nxxxxxxxxxxxxxxxxx\r\n"
    )
    assert reply.body(b"y") == b"1\r\ny\r\n"
    assert not reply.ended
    assert reply.end() == b"0\r\n\r\n"
    assert (reply.begun, reply.ended, reply.last) == (True, True, False)


def test_a_body_of_known_length_goes_as_it_is() -> None:
    reply = ResponseWriter("POST", "1.1", last=False)
    reply.begin(404, [(b"content-length", b"5")])
    assert reply.body(b"he") == b"HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nhe"
    assert reply.body(b"llo") == b"llo"
    assert reply.end() == b""
    assert not reply.last


def test_a_reply_without_a_body_is_its_head() -> None:
    reply = ResponseWriter("POST", "1.1", last=False)
    reply.begin(200, [(b"content-length", b"0")])
    assert reply.end() == b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    assert not reply.last


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_what_has_no_body_is_given_no_framing(method: str, status: int) -> None:
    reply = ResponseWriter(method, "1.1", last=False)
    reply.begin(status, [])
    end = reply.end()
    assert end.startswith(b"HTTP/1.1 %d " % status)
    assert end.count(b"\r\n") == 2
    assert not reply.last


def test_to_head_the_length_is_that_of_the_body_that_is_not_sent() -> None:
    reply = ResponseWriter("HEAD", "1.1", last=False)
    reply.begin(200, [(b"content-length", b"17")])
    assert reply.end() == b"HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n"
    assert not reply.last


def test_an_old_client_gets_a_stream_that_ends_with_the_connection() -> None:
    reply = ResponseWriter("GET", "1.0", last=False)
    reply.begin(200, [])
    assert reply.body(b"hi") == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhi"
    assert reply.end() == b""
    assert reply.last


def test_the_last_reply_says_so_once() -> None:
    reply = ResponseWriter("GET", "1.1", last=True)
    reply.begin(200, [(b"content-length", b"0"), (b"connection", b"close")])
    assert reply.end() == b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def test_the_app_may_want_it_to_be_the_last() -> None:
    reply = ResponseWriter("GET", "1.1", last=False)
    reply.begin(500, [(b"content-length", b"0"), (b"connection", b"close")])
    assert b"connection: close" in reply.end()
    assert reply.last


def test_a_body_too_short_takes_the_connection_with_it() -> None:
    reply = ResponseWriter("GET", "1.1", last=False)
    reply.begin(200, [(b"content-length", b"5")])
    reply.body(b"he")
    assert reply.end() == b""
    assert reply.last


def test_a_body_too_long_is_the_apps_mistake() -> None:
    reply = ResponseWriter("GET", "1.1", last=False)
    reply.begin(200, [(b"content-length", b"1")])
    with pytest.raises(ValueError, match="longer"):
        reply.body(b"he")


@pytest.mark.parametrize("header", [(b"a", b"b\r\nc: d"), (b"a\n", b"b"), (b"a", b"b\nc")])
def test_a_header_cannot_bring_another(header: tuple[bytes, bytes]) -> None:
    reply = ResponseWriter("GET", "1.1", last=False)
    with pytest.raises(ValueError, match="line break"):
        reply.begin(200, [header])
    assert not reply.begun
    reply.begin(500, [(b"content-length", b"0")])
    assert reply.end() == b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"


def test_a_status_that_nobody_knows_has_no_words() -> None:
    reply = ResponseWriter("GET", "1.1", last=False)
    reply.begin(299, [(b"content-length", b"0")])
    assert reply.end().startswith(b"HTTP/1.1 299 \r\n")


def test_refusals_are_whole_replies() -> None:
    assert refusal(400) == (
        b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n"
        b"content-length: 15\r\nconnection: close\r\n\r\n400 Bad Request"
    )
    assert refusal(431).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


def test_to_continue_is_a_reply_of_one_line() -> None:
    assert CONTINUE == b"HTTP/1.1 100 Continue\r\n\r\n"
