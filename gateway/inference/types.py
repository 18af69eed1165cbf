"""What a dialect makes of a request, and what turns the runner's bytes back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

CUT_SHORT = "an error was encountered while running the model: unexpected EOF"
"""What Ollama says of a reply that has no end."""


@dataclass(frozen=True, slots=True)
class Call:
    """Where on the runner, and the JSON to post there."""

    path: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A request for the next message of a conversation, whichever dialect it came in.

    Messages and tools have the shape of the engine's chat completions. What the model itself puts
    before and under them, a SYSTEM, MESSAGEs and PARAMETERs, is added where the turn is served.
    """

    messages: Sequence[Mapping[str, Any]]
    system: str = ""
    """Stands in for the model's SYSTEM."""
    stored: bool = True
    """Whether the model's own MESSAGEs come before."""
    tools: Sequence[Mapping[str, Any]] = ()
    think: bool | str | None = None
    """Off, on or a level; None where the request does not say."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the request sets, by Ollama's names: temperature, stop (a list), num_predict, …"""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Options that hold where neither the model nor the request sets them: OpenAI's 1.0 for
    temperature and top_p."""
    format: Mapping[str, Any] | None = None
    """A `response_format`: json_object or json_schema."""
    top_logprobs: int | None = None
    """Alternatives for each token; None: no log probabilities at all."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """More members for a chat completion: tool_choice, parallel_tool_calls, logit_bias, …"""
    keep_alive: float | None = None
    truncate: bool = False
    """Whether the oldest messages may go when the prompt is too long."""
    shift: bool | None = None


@dataclass(slots=True)
class Tally:
    """Counts of one reply, from the engine's own timings; tokens and seconds."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt's tokens, those that were still there from an earlier one."""
    prompt_seconds: float = 0.0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class CallPiece:
    """Part of a tool call. Its first piece has id and name; arguments are JSON text to join."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    whole: bool = False
    """Whether this one piece is all of the call."""


@dataclass(slots=True)
class Delta:
    """What a reply grows by."""

    text: str = ""
    thinking: str = ""
    calls: Sequence[CallPiece] = ()
    logprobs: Sequence[Mapping[str, Any]] = ()
    """The engine's entries: token, logprob, bytes, top_logprobs."""
    held: bool = False
    """Whether there was text that is kept back until it is clear what it is."""


@dataclass(frozen=True, slots=True)
class End:
    """How a reply ended."""

    reason: Literal["stop", "length", "tool_calls"]
    stop: str = ""
    """The stop text that ended it; empty where there was none, or the engine does not tell."""


class Writer(Protocol):
    """A reply in one dialect, from what the engine says; no I/O.

    `begin` comes once, before the first `write` or `end`. A whole (not streamed) reply is a writer
    too: all but `end` give nothing.
    """

    @property
    def media_type(self) -> str: ...
    def assigned(self) -> None:
        """A runner was found for the request."""

    def begin(self) -> bytes:
        """What stands before everything else."""

    def write(self, delta: Delta) -> bytes: ...
    def end(self, end: End, tally: Tally) -> bytes: ...
    def failure(self, message: str, status: int) -> bytes:
        """How a stream that has begun ends when it must end early."""


class Restart(Exception):
    """What comes next must come from another call: one that heeds the format.

    `said` is what was written for the client before that was seen.
    """

    said: bytes = b""


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
    "Cannot use both json_schema and grammar",
    "Unknown reasoning format:",
    "vector::_M_range_check",  # a token number that the vocabulary does not have
)
_NOT_SUPPORTED = 501


def repaired(status: int, message: str) -> int:
    """The status a client should see for an engine's status and message."""
    if status == _NOT_SUPPORTED or (status == 500 and message.startswith(_CLIENTS_FAULT)):
        return 400
    return status
