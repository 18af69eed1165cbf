"""HTTP replies as the load generator reads them: when one is over, and whether it is a good one.

Standard library only, for the load generator starts often.
"""

_LAST_CHUNK = b"\r\n0\r\n\r\n"
_SPEECH = b'"content":"'
_SILENCE = b'"content":""'
_DELTAS = (b'"type":"text_delta"', b'"type":"response.output_text.delta"')
_ENDS = (b'"type":"message_stop"', b'"type":"response.completed"', b'"type":"response.incomplete"')


class BadReply(Exception):
    """A reply that no client should get; the text says what is wrong with it."""


class Reader:
    """The bytes of one reply as they come."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._tail = b""
        self._size: int | None = None
        """Bytes of the whole reply; None until they are known, and 0 for a chunked one."""
        self._received = 0
        self.begun = False
        """Something of its body is there, and not the head alone."""

    def feed(self, data: bytes) -> bool:
        """Whether the reply is complete with this. No text in JSON holds the end of a stream."""
        self._pieces.append(data)
        self._received += len(data)
        self._tail = (self._tail + data)[-len(_LAST_CHUNK) :]
        if self._size is None:
            self._size = _size(self.whole())
        if not self.begun:
            self.begun = bool(self.whole().partition(b"\r\n\r\n")[2])
        return self._received >= self._size if self._size else self._tail == _LAST_CHUNK

    def whole(self) -> bytes:
        """Everything so far."""
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0] if self._pieces else b""


def check(reply: bytes, expected: int | None = None) -> int:
    """The tokens in a complete streamed reply of any dialect.

    Raises BadReply unless its status is 200, its framing is right, it says that it is done, and it
    has `expected` tokens.
    """
    head, _, rest = reply.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    if status != [b"200"]:
        raise BadReply(f"status {b' '.join(status).decode()}: {rest[:200]!r}")
    if b"transfer-encoding: chunked" not in head.lower():
        raise BadReply(f"not a stream: {rest[:200]!r}")
    body = unchunked(rest)
    if not _done(body):
        raise BadReply(f"it does not end as it should: {body[-200:]!r}")
    tokens = body.count(_SPEECH) - body.count(_SILENCE) + sum(map(body.count, _DELTAS))
    if expected is not None and tokens != expected:
        raise BadReply(f"{tokens} tokens instead of {expected}")
    return tokens


def unchunked(data: bytes) -> bytes:
    """What HTTP chunks hold. Raises BadReply if they are not whole and ended."""
    pieces: list[bytes] = []
    at = 0
    while True:
        line = data.find(b"\r\n", at)
        try:
            size = int(data[at:line], 16)
        except ValueError:
            raise BadReply(f"no size of a chunk: {data[at : at + 40]!r}") from None
        at = line + 2 + size
        if data[at : at + 2] != b"\r\n":
            raise BadReply("a chunk is cut short")
        if size == 0:
            return b"".join(pieces)
        pieces.append(data[line + 2 : at])
        at += 2


def _done(body: bytes) -> bool:
    """Whether the last event is one that ends a stream, or the last line says `"done":true`."""
    last = body.rstrip().rpartition(b"\n")[2]
    if last.startswith(b"data: {"):
        return any(end in last for end in _ENDS)
    return last == b"data: [DONE]" or (last.startswith(b"{") and b'"done":true' in last)


def _size(reply: bytes) -> int | None:
    """Bytes that the head promises, the head included; 0 if it promises chunks."""
    end = reply.find(b"\r\n\r\n")
    if end < 0:
        return None
    for line in reply[:end].lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return end + 4 + int(line.partition(b":")[2])
    return 0
