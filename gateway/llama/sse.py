"""Server-sent events, decoded whatever pieces they come in."""

from collections.abc import Callable
from typing import Any

import orjson

from gateway.llama.errors import EngineError, from_event

DATA = b"data: "
DONE = b"data: [DONE]"


class RestartNeeded(Exception):
    """The rest of the reply must come from another call.

    `output`: what was written for the client before that was seen.
    """

    def __init__(self, output: bytes = b"") -> None:
        super().__init__()
        self.output = output


class LineSplitter:
    """Splits on `\\n` only."""

    # Not `splitlines`: model text holds every other separator there is.

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that are complete now, without their ends; empty ones are kept."""
        lines = (self._rest + chunk).split(b"\n") if self._rest else chunk.split(b"\n")
        self._rest = lines.pop()
        return lines


def parse_event(line: bytes) -> dict[str, Any] | None:
    """The object of a `data:` line; None for anything else. EngineError if it reports one."""
    if not line.startswith(DATA) or line.startswith(DONE):
        return None
    try:
        value = orjson.loads(line[len(DATA) :])
    except orjson.JSONDecodeError as exc:
        raise EngineError(f"the engine sent an event that is not JSON: {exc}", 500) from exc
    if not isinstance(value, dict):
        raise EngineError("the engine sent an event that is not an object", 500)
    if "error" in value:
        raise from_event(value["error"])
    return value


class SSEDecoder:
    """A stream decoded line by line: what `encode_line` makes of each, up to the engine's error.

    The error is raised at once if nothing was written before it in the same piece, else by
    whatever is called next.
    """

    __slots__ = ("_encode_line", "_error", "_lines")

    def __init__(self, encode_line: Callable[[bytes], bytes]) -> None:
        self._encode_line = encode_line
        self._lines = LineSplitter()
        self._error: EngineError | None = None

    def feed(self, data: bytes) -> bytes:
        self.check()
        output: list[bytes] = []
        try:
            output.extend(filter(None, map(self._encode_line, self._lines.feed(data))))
        except EngineError as exc:
            # What was written before it goes out first, so that what a client gets does not depend
            # on how the stream was cut.
            if not output:
                raise
            self._error = exc
        except RestartNeeded as exc:
            exc.output = b"".join((*output, exc.output))
            raise
        return b"".join(output)

    def check(self) -> None:
        """Raise the error that has not been reported yet, if there is one."""
        if self._error is not None:
            raise self._error
