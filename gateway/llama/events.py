"""What the engine streams, read as the growth of a reply."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

import orjson

from gateway.inference.types import CallPiece, Delta, End, Tally

_REASONS: Mapping[str, Literal["stop", "length", "tool_calls"]] = {
    "limit": "length",
    "length": "length",
    "tool_calls": "tool_calls",
}


class Reader(ABC):
    """One reply's events, one after another."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.end: End | None = None
        self.again = False
        """Whether what comes next must come from another call, which heeds the format."""

    @abstractmethod
    def take(self, event: Mapping[str, Any]) -> Delta | None:
        """What the reply grows by; None for an event that only counts."""

    def rest(self) -> Delta | None:
        """What was held back, when nothing more will come."""
        return None


class ChatReader(Reader):
    """A chat completion: the engine itself tells thinking, text and tool calls apart."""

    def __init__(self) -> None:
        super().__init__()
        self._early = ""
        """Text of the template's own; it comes while the prompt is still being read."""
        self._word = ""

    def take(self, event: Mapping[str, Any]) -> Delta | None:
        if timings := event.get("timings"):
            count(self.tally, timings)
        if told := event.get("__verbose"):
            self._word = told.get("stopping_word") or ""
        choices = event.get("choices")
        if not choices:
            return None
        choice = choices[0]
        delta = choice.get("delta") or {}
        if event.get("prompt_progress"):
            self._early += delta.get("content") or ""
            return None
        if reason := choice.get("finish_reason"):
            self.end = End(_REASONS.get(reason, "stop"), self._word)
        calls = delta.get("tool_calls")
        logprobs = choice.get("logprobs")
        said = Delta(
            delta.get("content") or "",
            delta.get("reasoning_content") or "",
            [_piece(call) for call in calls] if calls else (),
            (logprobs.get("content") or ()) if logprobs else (),
        )
        if not (said.text or said.thinking or calls or said.logprobs):
            return None
        if self._early:
            said.text, self._early = self._early + said.text, ""
        return said


class Splitter(Protocol):
    """Tells thinking from text."""

    def feed(self, text: str) -> tuple[str, str]:
        """The thinking and the text that are certain now."""

    def flush(self) -> tuple[str, str]: ...


class CalledFunction(Protocol):
    """A tool call found in a text."""

    @property
    def name(self) -> str: ...
    @property
    def arguments(self) -> Mapping[str, Any]: ...


class CallFinder(Protocol):
    """Tells tool calls from text."""

    def feed(self, text: str) -> tuple[str, Sequence[CalledFunction]]:
        """The text that is no call for certain, and the calls that are complete now."""

    def flush(self) -> tuple[str, Sequence[CalledFunction]]: ...


class CompletionReader(Reader):
    """A completion: thinking and tool calls are told from the text here, where they are known.

    `idents` gives a new id for each call. With `quiet` thinking is left out. With `restart` nothing
    else is read: where text begins, which was not made to keep to the format, `again` is set. So
    it is with `must_call` at the end of a reply without a tool call. `spent` tokens were written
    by earlier calls, the first of which had a prompt of `prompt`.
    """

    def __init__(
        self,
        splitter: Splitter | None = None,
        finder: CallFinder | None = None,
        idents: Any = None,
        *,
        restart: bool = False,
        must_call: bool = False,
        quiet: bool = False,
        spent: int = 0,
        prompt: int = 0,
    ) -> None:
        super().__init__()
        self.pieces: list[str] = []
        """All that the model wrote, tags and calls included; before a restart, up to its text."""
        self._splitter = splitter
        self._finder = finder
        self._idents = idents
        self._restart = restart
        self._must_call = must_call
        self._quiet = quiet
        self._spent = spent
        self.spent = spent
        """Tokens so far, as far as each made a text of its own."""
        self.prompt = prompt
        """Tokens; 0 until they are known."""
        self._calls = 0

    def take(self, event: Mapping[str, Any]) -> Delta | None:
        self.prompt = self.prompt or int(event.get("tokens_evaluated", 0))
        if event.get("prompt_progress"):
            return None
        text = event.get("content") or ""
        said = self._read(text) if text else Delta()
        if event.get("stop"):
            kind = event.get("stop_type", "")
            word = event.get("stopping_word") or ""
            self.end = End(_REASONS.get(kind, "tool_calls" if self._calls else "stop"), word)
            self._count(event.get("timings") or {})
        said.held = bool(text)
        said.logprobs = event.get("completion_probabilities") or ()
        return said if text or said.logprobs else None

    def rest(self) -> Delta | None:
        thinking, text = self._splitter.flush() if self._splitter else ("", "")
        thinking, text = "" if self._quiet else thinking, self._unformatted(text)
        calls: Sequence[CallPiece] = ()
        if self._finder:
            before, first = self._finder.feed(text) if text else ("", ())
            after, last = self._finder.flush()
            text, calls = before + after, self._pieces([*first, *last])
        self.again = self.again or (self._must_call and not self._calls)
        return Delta(text, thinking, calls) if thinking or text or calls else None

    def _count(self, timings: Mapping[str, Any]) -> None:
        count(self.tally, timings)
        if self._spent:
            self.tally.prompt_tokens = self.prompt
            self.tally.cached_tokens = min(self.tally.cached_tokens, self.prompt)
            self.tally.tokens += self._spent

    def _read(self, raw: str) -> Delta:
        thinking, text = "", raw
        self.pieces.append(raw)
        self.spent += 1
        if self._splitter:
            thinking, text = self._splitter.feed(text)
        text = self._unformatted(text)
        if self._quiet:
            thinking = ""
        if not self._finder or not text:
            return Delta(text, thinking)
        text, calls = self._finder.feed(text)
        return Delta(text, thinking, self._pieces(calls))

    def _unformatted(self, text: str) -> str:
        """The text, unless there must be another."""
        if self._restart and text and not self.again:
            self.again = True
            self.pieces = ["".join(self.pieces).removesuffix(text)]
        return "" if self.again else text

    def _pieces(self, calls: Sequence[CalledFunction]) -> Sequence[CallPiece]:
        pieces = []
        for call in calls:
            arguments = orjson.dumps(call.arguments).decode()
            pieces.append(CallPiece(self._calls, self._idents(), call.name, arguments, whole=True))
            self._calls += 1
        if pieces and self.end is not None and self.end.reason == "stop":
            self.end = replace(self.end, reason="tool_calls")
        return pieces


def count(tally: Tally, timings: Mapping[str, Any]) -> None:
    """Take over the engine's timings; its prompt count leaves out what it found in the cache."""
    tally.cached_tokens = int(timings.get("cache_n", 0))
    tally.prompt_tokens = tally.cached_tokens + int(timings.get("prompt_n", 0))
    tally.prompt_seconds = float(timings.get("prompt_ms", 0)) / 1e3
    tally.tokens = int(timings.get("predicted_n", 0))
    tally.seconds = float(timings.get("predicted_ms", 0)) / 1e3


def _piece(delta: Mapping[str, Any]) -> CallPiece:
    function = delta.get("function") or {}
    return CallPiece(
        int(delta.get("index", 0)),
        delta.get("id") or "",
        function.get("name") or "",
        function.get("arguments") or "",
    )
