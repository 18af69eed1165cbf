"""What a llama-server streams, read as the growth of a reply."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import orjson

EndReason = Literal["stop", "length", "tool_calls"]

_REASONS: Mapping[str, EndReason] = {
    "limit": "length",
    "length": "length",
    "tool_calls": "tool_calls",
}


@dataclass(slots=True)
class Usage:
    """Counts of one reply, from the engine's own timings; tokens and seconds."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt's tokens, those that were in the cache already."""
    prompt_seconds: float = 0.0
    completion_tokens: int = 0
    completion_seconds: float = 0.0

    def read(self, timings: Mapping[str, Any]) -> None:
        # The engine's own count of the prompt leaves out what was in the cache.
        self.cached_tokens = int(timings.get("cache_n", 0))
        self.prompt_tokens = self.cached_tokens + int(timings.get("prompt_n", 0))
        self.prompt_seconds = float(timings.get("prompt_ms", 0)) / 1e3
        self.completion_tokens = int(timings.get("predicted_n", 0))
        self.completion_seconds = float(timings.get("predicted_ms", 0)) / 1e3


@dataclass(slots=True)
class ToolCallDelta:
    """Part of a tool call. The first has id and name; arguments are JSON text to be joined."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    whole: bool = False
    """Whether this one part is all of the call."""


@dataclass(slots=True)
class Delta:
    """What a reply grows by."""

    text: str = ""
    thinking: str = ""
    calls: Sequence[ToolCallDelta] = ()
    logprobs: Sequence[Mapping[str, Any]] = ()
    """The engine's entries: token, logprob, bytes, top_logprobs."""
    held: bool = False
    """Whether the engine's event had text at all, even if all of it is kept back for now."""


@dataclass(frozen=True, slots=True)
class End:
    """How a reply ended."""

    reason: EndReason
    stop: str = ""
    """The stop text that ended it; empty where there was none, or the engine does not say."""


class EventReader(ABC):
    """Reads the events of one call, one after another."""

    def __init__(self) -> None:
        self.usage = Usage()
        self.end: End | None = None
        self.restart_needed = False
        """Whether the rest must come from another call, one that is held to the format or to
        a tool call."""

    @abstractmethod
    def feed(self, event: Mapping[str, Any]) -> Delta | None:
        """What the reply grows by; None for an event that only counts."""

    def flush(self) -> Delta | None:
        """What was held back, when nothing more will come."""
        return None


class ChatEventReader(EventReader):
    """A chat completion: the engine itself separates thinking, text and tool calls."""

    def __init__(self) -> None:
        super().__init__()
        self._early = ""
        """Text of the template's own; it comes while the prompt is still being processed."""
        self._stop_word = ""

    def feed(self, event: Mapping[str, Any]) -> Delta | None:
        if timings := event.get("timings"):
            self.usage.read(timings)
        if verbose := event.get("__verbose"):
            self._stop_word = verbose.get("stopping_word") or ""
        choices = event.get("choices")
        if not choices:
            return None
        choice = choices[0]
        message = choice.get("delta") or {}
        # A client gets it with the first token: until there is content, an error still has a
        # status of its own.
        if event.get("prompt_progress"):
            self._early += message.get("content") or ""
            return None
        if reason := choice.get("finish_reason"):
            self.end = End(_REASONS.get(reason, "stop"), self._stop_word)
        calls: list[ToolCallDelta] = []
        for call in message.get("tool_calls") or ():
            function = call.get("function") or {}
            name, arguments = function.get("name") or "", function.get("arguments") or ""
            index = int(call.get("index", 0))
            calls.append(ToolCallDelta(index, call.get("id") or "", name, arguments))
        logprobs = choice.get("logprobs")
        delta = Delta(
            message.get("content") or "",
            message.get("reasoning_content") or "",
            calls or (),
            (logprobs.get("content") or ()) if logprobs else (),
        )
        if not (delta.text or delta.thinking or calls or delta.logprobs):
            return None
        if self._early:
            delta.text, self._early = self._early + delta.text, ""
        return delta


class ReasoningSplitter(Protocol):
    """Separates thinking from text."""

    def feed(self, text: str) -> tuple[str, str]:
        """The thinking and the text that are certain now."""

    def flush(self) -> tuple[str, str]: ...


class TextToolCall(Protocol):
    """A tool call that stood in a text."""

    @property
    def name(self) -> str: ...
    @property
    def arguments(self) -> Mapping[str, Any]: ...


class ToolCallFinder(Protocol):
    """Separates tool calls from text."""

    def feed(self, text: str) -> tuple[str, Sequence[TextToolCall]]:
        """The text that is no call for certain, and the calls that are complete now."""

    def flush(self) -> tuple[str, Sequence[TextToolCall]]: ...


class CompletionEventReader(EventReader):
    """A completion, whose text holds thinking and tool calls; they are separated here.

    `new_id` gives an id for each call. With `quiet` thinking is left out. With `stop_at_text`
    only thinking is read: where text begins, which was not held to the format, `restart_needed`
    is set. So it is with `must_call` at the end of a reply without a tool call. `spent` tokens
    were generated by earlier calls, the first of which had a prompt of `prompt_tokens`.
    """

    def __init__(
        self,
        splitter: ReasoningSplitter | None = None,
        finder: ToolCallFinder | None = None,
        new_id: Callable[[], str] = str,
        *,
        stop_at_text: bool = False,
        must_call: bool = False,
        quiet: bool = False,
        spent: int = 0,
        prompt_tokens: int = 0,
    ) -> None:
        super().__init__()
        self.pieces: list[str] = []
        """All that the model wrote, tags and calls included; before a restart, up to its text."""
        self._splitter = splitter
        self._finder = finder
        self._new_id = new_id
        self._stop_at_text = stop_at_text
        self._must_call = must_call
        self._quiet = quiet
        self._spent = spent
        self.spent = spent
        """Tokens so far, as far as each made a text of its own."""
        self.prompt_tokens = prompt_tokens
        """0 until it is known."""
        self._calls = 0

    def feed(self, event: Mapping[str, Any]) -> Delta | None:
        self.prompt_tokens = self.prompt_tokens or int(event.get("tokens_evaluated", 0))
        if event.get("prompt_progress"):
            return None
        raw = event.get("content") or ""
        thinking, text = "", raw
        calls: Sequence[ToolCallDelta] = ()
        if raw:
            self.pieces.append(raw)
            self.spent += 1
            if self._splitter:
                thinking, text = self._splitter.feed(text)
            text = self._up_to_restart(text)
            if self._quiet:
                thinking = ""
            if self._finder and text:
                text, whole = self._finder.feed(text)
                calls = self._call_deltas(whole)
        if event.get("stop"):
            kind = event.get("stop_type", "")
            word = event.get("stopping_word") or ""
            self.end = End(_REASONS.get(kind, "tool_calls" if self._calls else "stop"), word)
            self.usage.read(event.get("timings") or {})
            # A reply that took several calls is one to the client. What the later ones read again
            # of the first one's prompt, and of the text that they went on from, counts once.
            if self._spent:
                self.usage.prompt_tokens = self.prompt_tokens
                self.usage.cached_tokens = min(self.usage.cached_tokens, self.prompt_tokens)
                self.usage.completion_tokens += self._spent
        logprobs = event.get("completion_probabilities") or ()
        return Delta(text, thinking, calls, logprobs, bool(raw)) if raw or logprobs else None

    def flush(self) -> Delta | None:
        thinking, text = self._splitter.flush() if self._splitter else ("", "")
        thinking, text = "" if self._quiet else thinking, self._up_to_restart(text)
        calls: Sequence[ToolCallDelta] = ()
        if self._finder:
            before, first = self._finder.feed(text) if text else ("", ())
            after, last = self._finder.flush()
            text, calls = before + after, self._call_deltas([*first, *last])
        self.restart_needed = self.restart_needed or (self._must_call and not self._calls)
        return Delta(text, thinking, calls) if thinking or text or calls else None

    def _up_to_restart(self, text: str) -> str:
        """The text; from where a restart is needed, none."""
        if self._stop_at_text and text and not self.restart_needed:
            self.restart_needed = True
            # The next call goes on from the thinking; this text was not held to the format.
            self.pieces = ["".join(self.pieces).removesuffix(text)]
        return "" if self.restart_needed else text

    def _call_deltas(self, calls: Sequence[TextToolCall]) -> Sequence[ToolCallDelta]:
        deltas = []
        for call in calls:
            arguments = orjson.dumps(call.arguments).decode()
            deltas.append(
                ToolCallDelta(self._calls, self._new_id(), call.name, arguments, whole=True)
            )
            self._calls += 1
        # The last event may have come before the call was known to be one.
        if deltas and self.end is not None and self.end.reason == "stop":
            self.end = replace(self.end, reason="tool_calls")
        return deltas
