"""A text completion, as one object or as a stream of chunks."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.api.openai.object import failure_event, head, sse, usage_object
from gateway.api.reply import PLAIN_JSON, SSE
from gateway.golang.json_encode import dumps
from gateway.llama.events import Delta, End, Usage
from gateway.llama.sse import DONE

TokenLogprobs = dict[str, list[Any]]
"""The old form of log probabilities: four lists side by side."""


class CompletionObject:
    """A writer of one object. `echo`: the prompt, if the text is to begin with it."""

    media_type = PLAIN_JSON

    def __init__(self, model: str, ident: str, created: int, *, echo: str = "") -> None:
        self._head = head(ident, "text_completion", created, model)
        self._echo = echo
        self._text: list[str] = []
        self._length = 0
        self._logprobs: TokenLogprobs = {}

    def assigned(self) -> None:
        """A no-op: no field of a completion says when that was."""

    def begin(self) -> bytes:
        return self.write(Delta(self._echo)) if self._echo else b""

    def write(self, delta: Delta) -> bytes:
        for key, values in token_logprobs(delta.logprobs, self._length).items():
            self._logprobs.setdefault(key, []).extend(values)
        self._length += len(delta.text)
        self._text.append(delta.text)
        return b""

    def loaded(self) -> bytes:
        """The whole reply where nothing was generated: the model was loaded."""
        return self._last("load", Usage())

    def end(self, end: End, usage: Usage) -> bytes:
        return self._last("length" if end.reason == "length" else "stop", usage)

    def _last(self, reason: str, usage: Usage) -> bytes:
        choice = _choice("".join(self._text), reason, self._logprobs)
        return dumps({**self._head, "choices": [choice], "usage": usage_object(usage)}) + b"\n"

    def failure(self, message: str, status: int) -> bytes:
        return failure_event(message, status)


class CompletionStream:
    """A writer of chunks. `usage`: whether the last one counts; it is null in the others then."""

    media_type = SSE

    def __init__(
        self, model: str, ident: str, created: int, *, usage: bool, echo: str = ""
    ) -> None:
        self._head = head(ident, "text_completion", created, model)
        self._usage = usage
        if usage:
            self._head["usage"] = None
        self._echo = echo
        self._length = 0
        self._logprobs: TokenLogprobs = {}
        """Of the tokens since the last chunk; some are no text of their own."""

    def assigned(self) -> None:
        """A no-op: no field of a completion says when that was."""

    def begin(self) -> bytes:
        return self.write(Delta(self._echo)) if self._echo else b""

    def write(self, delta: Delta) -> bytes:
        for key, values in token_logprobs(delta.logprobs, self._length).items():
            self._logprobs.setdefault(key, []).extend(values)
        self._length += len(delta.text)
        if not (delta.text or delta.held):
            return b""
        logprobs, self._logprobs = self._logprobs, {}
        return sse({**self._head, "choices": [_choice(delta.text, None, logprobs)]})

    def loaded(self) -> bytes:
        """The whole reply where nothing was generated: the model was loaded."""
        return self._last("load", Usage())

    def end(self, end: End, usage: Usage) -> bytes:
        return self._last("length" if end.reason == "length" else "stop", usage)

    def _last(self, reason: str, usage: Usage) -> bytes:
        last = [sse({**self._head, "choices": [_choice("", reason, self._logprobs)]})]
        if self._usage:
            last.append(sse({**self._head, "choices": [], "usage": usage_object(usage)}))
        return b"".join((*last, DONE, b"\n\n"))

    def failure(self, message: str, status: int) -> bytes:
        return failure_event(message, status)


def _choice(text: str, reason: str | None, logprobs: TokenLogprobs) -> dict[str, object]:
    choice: dict[str, object] = {"text": text, "index": 0, "finish_reason": reason}
    if logprobs:
        choice["logprobs"] = logprobs
    return choice


def token_logprobs(entries: Sequence[Mapping[str, Any]], offset: int) -> TokenLogprobs:
    """The engine's entries in the old form of text completions: four lists side by side.

    `offset`: code points of the text before the first of them. Empty without entries.
    """
    if not entries:
        return {}
    offsets = []
    for entry in entries:
        offsets.append(offset)
        offset += len(entry["token"])
    return {
        "tokens": [entry["token"] for entry in entries],
        "token_logprobs": [entry["logprob"] for entry in entries],
        "top_logprobs": [
            {other["token"]: other["logprob"] for other in entry.get("top_logprobs", ())}
            for entry in entries
        ],
        "text_offset": offsets,
    }
