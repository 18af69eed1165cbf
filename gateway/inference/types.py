"""What an API asks of inference, and what it gives to have the reply written in its own form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from gateway.llama.events import Delta, End, EventReader, Usage
from gateway.llama.requests import Call, JsonObject, Message, ThinkLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """A request for the next message of a conversation, or for what follows a prompt.

    Messages and tools have the shape of the engine's chat completions. What the model itself puts
    before and under them, a SYSTEM, MESSAGEs and PARAMETERs, is added where the request is served.
    """

    model: str
    """As the client wrote it."""
    messages: Sequence[Message]
    kind: Literal["chat", "generate"] = "chat"
    """A conversation, or one prompt. Of a prompt the reply's text is always read here, whoever
    rendered it."""
    system: str = ""
    """In place of the model's SYSTEM."""
    stored: bool = True
    """Whether the model's own MESSAGEs come before."""
    tools: Sequence[JsonObject] = ()
    think: ThinkLevel = None
    """None where the request does not say."""
    think_if_able: bool = False
    """Whether a model that cannot think ignores `think`, instead of refusing the request."""
    options: Mapping[str, object] = field(default_factory=dict)
    """What the request sets, by Ollama's names: temperature, stop (a list), num_predict, …"""
    defaults: Mapping[str, object] = field(default_factory=dict)
    """Options that hold where neither the model nor the request sets them: OpenAI's 1.0 for
    temperature and top_p."""
    response_format: JsonObject | None = None
    """json_object or json_schema, as in a chat completion."""
    top_logprobs: int | None = None
    """Alternatives for each token; None: no log probabilities at all."""
    extra: JsonObject = field(default_factory=dict)
    """More fields for a chat completion: tool_choice, parallel_tool_calls, logit_bias, …"""
    keep_alive: float | None = None
    """Seconds."""
    truncate: bool = False
    """Whether the oldest messages may go when the prompt is too long."""
    shift: bool | None = None
    """Whether a reply may push the oldest tokens out; None: as the model's family can."""

    # Of "generate" alone:
    raw_prompt: str | None = None
    """A prompt that is complete already; no template touches it."""
    template: str = ""
    """In place of the model's TEMPLATE."""
    suffix: str = ""
    """What follows the text that is to be written."""
    context: Sequence[int] = ()
    """Tokens of a conversation before the prompt."""
    text_only: bool = False
    """Whether the reply has no place for thinking apart from its text."""


@dataclass(frozen=True, slots=True)
class PromptState:
    """What the next call is to be made of. A recovery makes a new state of it, never changes it."""

    messages: Sequence[Message]
    """What is left of the conversation."""
    text: str | None = None
    """The prompt, once it may not be rendered anew; None: render the messages."""
    media: tuple[str, ...] = ()
    """Of `text`, base64 each."""
    bos: str = ""
    """What the engine itself puts before `text`."""
    tokens: Sequence[int] | None = None
    """In place of `text` where its middle was cut."""
    cached: bool = True
    """Whether the engine may take a prefix of the prompt from its cache."""
    system_merged: bool = False
    shortened: bool = False
    dropped_messages: int = 0
    dropped_tokens: int = 0
    continued: bool = False
    """Whether `text` holds part of the reply."""
    forcing: bool = False
    """Whether nothing but a tool call can follow."""
    spent: int = 0
    """Tokens that earlier calls generated of the reply."""
    prompt_tokens: int = 0
    """Of the first call's prompt; 0 until the engine has counted them."""

    @property
    def truncated(self) -> str:
        """What was left out because the prompt was too long: "3 messages, 20 tokens"."""
        counts = {"messages": self.dropped_messages, "tokens": self.dropped_tokens}
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call for the reply, made of `state`, and what reads its events."""

    call: Call
    reader: EventReader
    state: PromptState
    text: str = ""
    """The prompt; empty where the engine renders it."""
    media: tuple[str, ...] = ()
    bos: str = ""


class Writer(Protocol):
    """A reply in one API's form, made of what the engine generates; no I/O.

    `begin` comes once, before the first `write` or `end`. An object (not a stream) is a writer
    too: all but `end` give nothing.
    """

    @property
    def media_type(self) -> str: ...
    def assigned(self) -> None:
        """The request has got a runner."""

    def begin(self) -> bytes:
        """What comes before everything else."""

    def write(self, delta: Delta) -> bytes: ...
    def end(self, end: End, usage: Usage) -> bytes: ...
    def failure(self, message: str, status: int) -> bytes:
        """How a stream that has begun ends when it must end early."""


class Encoder(Protocol):
    """The engine's bytes in, the client's bytes out; no I/O.

    An object (not a stream) is an encoder too: `feed` gives nothing and `flush` everything.
    """

    @property
    def media_type(self) -> str: ...
    @property
    def usage(self) -> Usage: ...
    def assigned(self) -> None:
        """The request has got a runner."""

    def start(self, reader: EventReader) -> None:
        """The bytes from here on are those of a new call, whose events `reader` reads."""

    def feed(self, data: bytes) -> bytes:
        """What can be written now.

        Raises EngineError if the engine failed before there was anything to write, RestartNeeded if
        the rest must come from another call.
        """

    def flush(self) -> bytes:
        """The rest, once the call has ended.

        Raises EngineError if the engine failed or the reply was cut short, RestartNeeded as `feed`.
        """

    def failure(self, message: str, status: int) -> bytes:
        """How a stream that has begun ends when it must end early."""
