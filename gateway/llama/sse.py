"""Splitting a server-sent event stream into lines, whatever pieces it comes in."""

from collections.abc import Callable
from typing import Any

import orjson

from gateway.inference.types import EngineError, Restart, repaired

DATA = b"data: "
DONE = b"data: [DONE]"


class Lines:
    """Splits on `\\n` only: model text holds every other separator there is."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that are complete now, without their ends; empty ones are kept."""
        lines = (self._rest + chunk).split(b"\n") if self._rest else chunk.split(b"\n")
        self._rest = lines.pop()
        return lines


def event(line: bytes) -> dict[str, Any] | None:
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
        raise engine_error(value["error"])
    return value


class Reading:
    """A stream read line by line: what `take` makes of each, up to the engine's error.

    The error is raised at once if nothing was said before it in the same piece, else by whatever
    is called next. So what a client gets does not depend on the pieces in which it all came.
    """

    __slots__ = ("_error", "_lines", "_take")

    def __init__(self, take: Callable[[bytes], bytes]) -> None:
        self._take = take
        self._lines = Lines()
        self._error: EngineError | None = None

    def feed(self, data: bytes) -> bytes:
        self.check()
        said: list[bytes] = []
        try:
            said.extend(filter(None, map(self._take, self._lines.feed(data))))
        except EngineError as exc:
            if not said:
                raise
            self._error = exc
        except Restart as exc:
            exc.said = b"".join((*said, exc.said))
            raise
        return b"".join(said)

    def check(self) -> None:
        """Raise the error that is still to be told, if there is one."""
        if self._error is not None:
            raise self._error


def engine_error(error: Any) -> EngineError:
    """What the engine's `{"code", "message", "type"}` means."""
    if not isinstance(error, dict):
        return EngineError(str(error), 500)
    message = str(error.get("message", "the engine failed"))
    code = error.get("code")
    return EngineError(message, repaired(code if isinstance(code, int) else 500, message))
