"""Replies as a load generator must judge them: what it lets pass would be counted as speed."""

import pytest

from bench.replies import BadReply, Reader, check, unchunked

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
LINE = b'{"message":{"role":"assistant","content":"a"},"done":false}\n'
LAST = b'{"message":{"role":"assistant","content":""},"done":true}\n'


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def test_counts_the_tokens_of_an_openai_stream() -> None:
    role = b'data: {"choices":[{"delta":{"role":"assistant","content":null}}]}\n\n'
    assert check(HEAD + chunked(role + EVENT, EVENT, DONE)) == 2


def test_counts_the_tokens_of_an_ollama_stream() -> None:
    assert check(HEAD + chunked(LINE, LINE, LINE, LAST), expected=3) == 3


def test_counts_the_tokens_of_a_stream_of_messages() -> None:
    delta = b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}\n\n'
    stop = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert check(HEAD + chunked(b'data: {"content":[]}\n\n', delta + delta, stop)) == 2


@pytest.mark.parametrize("end", [b"completed", b"incomplete"])
def test_counts_the_tokens_of_a_stream_of_a_response(end: bytes) -> None:
    kind = b"response.output_text.delta"
    delta = b'event: %b\ndata: {"delta":"a","type":"%b"}\n\n' % (kind, kind)
    last = b'data: {"response":{},"type":"response.%b"}\n\n' % end
    assert check(HEAD + chunked(delta, delta, last)) == 2


def test_a_head_alone_is_not_the_beginning() -> None:
    reader = Reader()
    for piece in (HEAD[:20], HEAD[20:]):
        assert not reader.feed(piece)
        assert not reader.begun
    assert not reader.feed(chunked(EVENT)[:10])
    assert reader.begun


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno", "status 503: b'no'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "not a stream"),
        (HEAD + chunked(EVENT), "does not end as it should"),
        (HEAD + chunked(LINE), "does not end as it should"),
        (HEAD + chunked(EVENT, b'data: {"error":{}}\n\n'), "does not end as it should"),
        (HEAD + chunked(LINE, b'{"error":"x"}\n'), "does not end as it should"),
        (HEAD + chunked(EVENT, DONE)[:-2], "cut short"),
        (HEAD + b"zz\r\n", "no size of a chunk"),
        (HEAD + chunked(EVENT, DONE), "1 tokens instead of 2"),
        (b"", "status : b''"),
    ],
)
def test_refuses(reply: bytes, reason: str) -> None:
    with pytest.raises(BadReply, match=reason.replace("'", ".").replace("[", ".")):
        check(reply, expected=2)


def test_chunks_are_put_together() -> None:
    assert unchunked(b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n") == b"abc0123456789"


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_stream_is_complete_with_its_last_byte_however_it_comes(step: int) -> None:
    reply = HEAD + chunked(EVENT, DONE)
    pieces = [reply[at : at + step] for at in range(0, len(reply), step)]
    reader = Reader()
    assert [reader.feed(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert reader.whole() == reply


def test_a_head_that_ends_in_a_nought_is_no_end() -> None:
    reader = Reader()
    assert not reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Id: 0\r\n\r\n")


def test_a_reply_with_a_length_is_complete_at_that_length() -> None:
    reader = Reader()
    assert not reader.feed(b"HTTP/1.1 404 Not Found\r\nContent-")
    assert not reader.feed(b"Length: 4\r\n\r\nab")
    assert reader.feed(b"cd")
