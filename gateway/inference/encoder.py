"""From the engine's bytes to the client's: an event reader for the one, a writer for the other."""

from collections.abc import Callable

from gateway.inference.types import Writer
from gateway.llama.errors import ReplyCutShort
from gateway.llama.events import Delta, EventReader, Usage
from gateway.llama.sse import RestartNeeded, SSEDecoder, parse_event


class ReplyEncoder:
    """An Encoder for any writer. `start` must be called before the first bytes come."""

    def __init__(self, writer: Writer, *, single_call: bool = False) -> None:
        self.writer = writer
        self._single_call = single_call
        """At most one tool call: further ones are left out."""
        self._begun = False
        self._reader: EventReader | None = None
        self._decoder = SSEDecoder(self._encode_line)

    def start(self, reader: EventReader) -> None:
        self._reader = reader
        # Half a line of the call before is no part of this one.
        self._decoder = SSEDecoder(self._encode_line)

    @property
    def media_type(self) -> str:
        return self.writer.media_type

    @property
    def usage(self) -> Usage:
        return self._reader.usage if self._reader else Usage()

    def assigned(self) -> None:
        self.writer.assigned()

    def feed(self, data: bytes) -> bytes:
        return self._decoder.feed(data)

    def flush(self) -> bytes:
        self._decoder.check()
        reader, output = self._reader, b""
        assert reader is not None
        if rest := reader.flush():
            output = self._write(rest)
        if reader.restart_needed:
            raise RestartNeeded(output)
        if reader.end is None:
            raise ReplyCutShort
        return output + self._begin() + self.writer.end(reader.end, reader.usage)

    def failure(self, message: str, status: int) -> bytes:
        return self.writer.failure(message, status)

    def _encode_line(self, line: bytes) -> bytes:
        event = parse_event(line)
        if event is None:
            return b""
        assert self._reader is not None
        delta = self._reader.feed(event)
        output = b"" if delta is None else self._write(delta)
        if self._reader.restart_needed:
            raise RestartNeeded(output)
        return output

    def _write(self, delta: Delta) -> bytes:
        if self._single_call and delta.calls:
            # The engine takes "one call at most" for a hint.
            delta.calls = [call for call in delta.calls if call.index == 0]
            if not (delta.calls or delta.text or delta.thinking or delta.logprobs or delta.held):
                return b""
        return self._begin() + self.writer.write(delta)

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return self.writer.begin()


class ComputedReply:
    """An Encoder for a reply that is not generated: nothing of it comes as a stream."""

    def __init__(self, media_type: str, on_assigned: Callable[[], None]) -> None:
        self.media_type = media_type
        self.usage = Usage()
        self._on_assigned = on_assigned

    def assigned(self) -> None:
        self._on_assigned()

    def start(self, reader: EventReader) -> None: ...

    def feed(self, data: bytes) -> bytes:
        return b""

    def flush(self) -> bytes:
        return b""

    def failure(self, message: str, status: int) -> bytes:
        return b""
