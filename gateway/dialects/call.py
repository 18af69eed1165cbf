"""What a dialect makes of a request, and what turns the runner's bytes back."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Call:
    """Where on the runner, and the JSON to post there."""

    path: str
    body: bytes


@dataclass(slots=True)
class Tally:
    """Counts of one reply, from the engine's own timings; tokens and seconds."""

    prompt_tokens: int = 0
    prompt_seconds: float = 0.0
    tokens: int = 0
    seconds: float = 0.0


class EngineError(Exception):
    """The engine said, within a stream that had begun, that it cannot go on."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class Encoder(Protocol):
    """Upstream bytes in, the caller's bytes out; no I/O.

    A whole (not streamed) reply is an encoder too: `feed` gives nothing and `flush` everything.
    """

    @property
    def media_type(self) -> str: ...
    @property
    def tally(self) -> Tally: ...
    def assigned(self) -> None:
        """A runner was found for the request."""

    def feed(self, data: bytes) -> bytes:
        """What can be said now; EngineError if that is nothing but that the engine failed."""

    def flush(self) -> bytes:
        """The rest, after the end; EngineError if the engine failed or the reply was cut short."""

    def failure(self, message: str, status: int) -> bytes:
        """How a stream that has begun ends when it must end early."""


# A 500 whose message begins so is the client's mistake: the engine checks late and reports all of
# it as its own failure.
_CLIENTS_FAULT = (
    "[json.exception.",
    "Failed to parse messages:",
    "Failed to parse tools:",
    "Failed to parse tool call arguments as JSON:",
    "'messages' is required",
    "image input is not supported",
    "audio input is not supported",
    "video input is not supported",
    '"prompt" elements must be',
    "input (",
    "Failed to download image",
    "Invalid base64 value",
    "Unknown reasoning format:",
    "vector::_M_range_check",  # a token number that the vocabulary does not have
)
_NOT_SUPPORTED = 501


def repaired(status: int, message: str) -> int:
    """The status a client should see for an engine's status and message."""
    if status == _NOT_SUPPORTED or (status == 500 and message.startswith(_CLIENTS_FAULT)):
        return 400
    return status
