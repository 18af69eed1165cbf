"""From the engine's bytes to the caller's: a reader of the one, a writer of the other."""

from gateway.inference.types import CUT_SHORT, Delta, EngineError, Restart, Tally, Writer
from gateway.llama.events import Reader
from gateway.llama.sse import Reading, event


class Translation:
    """An Encoder for any writer. The reader must be there when the first bytes come."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.single = False
        """At most one tool call: further ones are left out."""
        self._begun = False
        self._reader: Reader | None = None
        self._reading = Reading(self._line)

    @property
    def reader(self) -> Reader:
        assert self._reader is not None
        return self._reader

    @reader.setter
    def reader(self, reader: Reader) -> None:
        """Another call is read from here on; what was half a line before is no more."""
        self._reader = reader
        self._reading = Reading(self._line)

    @property
    def media_type(self) -> str:
        return self.writer.media_type

    @property
    def tally(self) -> Tally:
        return self.reader.tally if self._reader else Tally()

    def assigned(self) -> None:
        self.writer.assigned()

    def feed(self, data: bytes) -> bytes:
        return self._reading.feed(data)

    def flush(self) -> bytes:
        self._reading.check()
        reader, said = self.reader, b""
        if rest := reader.rest():
            said = self._say(rest)
        if reader.again:
            raise _restart(said)
        if reader.end is None:
            raise EngineError(CUT_SHORT, 500)
        return said + self._begin() + self.writer.end(reader.end, reader.tally)

    def failure(self, message: str, status: int) -> bytes:
        return self.writer.failure(message, status)

    def _line(self, line: bytes) -> bytes:
        value = event(line)
        if value is None:
            return b""
        delta = self.reader.take(value)
        said = b"" if delta is None else self._say(delta)
        if self.reader.again:
            raise _restart(said)
        return said

    def _say(self, delta: Delta) -> bytes:
        if self.single and delta.calls:
            delta.calls = [piece for piece in delta.calls if piece.index == 0]
            if not (delta.calls or delta.text or delta.thinking or delta.logprobs or delta.held):
                return b""
        return self._begin() + self.writer.write(delta)

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return self.writer.begin()


def _restart(said: bytes) -> Restart:
    restart = Restart()
    restart.said = said
    return restart
