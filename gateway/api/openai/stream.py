"""The OpenAI dialect, towards the client: the engine's own bytes, with three names replaced.

The engine writes JSON without blanks and escapes every quote inside a text, so the sequences
replaced here cannot stand in what a model wrote. Only the beginning of a stream is looked at line
by line; after that a token costs three searches and no parsing.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.api.openai_error import error_body
from gateway.golang.json_encode import dumps
from gateway.llama.errors import ReplyCutShort
from gateway.llama.events import Delta, End, EventReader, ToolCallDelta, Usage
from gateway.llama.sse import DATA, DONE, SSEDecoder, parse_event

SSE = "text/event-stream"
JSON = "application/json"
_FINGERPRINT = re.compile(rb'"system_fingerprint":"[^"]*"')
_OUR_FINGERPRINT = b'"system_fingerprint":"fp_ollama"'
_COUNTED = b'"usage":{'
_ROLE = b'"delta":{"role":"assistant",'
_REASONING = b'"delta":{"reasoning_content":'


class Passthrough:
    """A streamed chat completion. `usage`: whether the last chunk counts; it is null before."""

    media_type = SSE

    def __init__(self, model: str, alias: str, *, usage: bool = False) -> None:
        self.usage = Usage()
        self._reading = SSEDecoder(self._event)
        self._model = (b'"model":"' + alias.encode() + b'"', b'"model":' + dumps(model))
        self._fingerprint = b""
        self._ours = _OUR_FINGERPRINT + b',"usage":null' if usage else _OUR_FINGERPRINT
        self._begun = False
        self._done = False

    def assigned(self) -> None:
        """Nothing of a chat completion tells when that was."""

    def start(self, reader: EventReader) -> None:
        """A no-op: the engine's events are passed on, not read."""

    def feed(self, data: bytes) -> bytes:
        return self._reading.feed(data)

    def flush(self) -> bytes:
        self._reading.check()
        if not self._done:
            raise ReplyCutShort
        return b""

    def failure(self, message: str, status: int) -> bytes:
        return DATA + dumps(error_body(message, status)) + b"\n\n"

    def _event(self, line: bytes) -> bytes:
        said = self._line(line) if line else b""
        return said + b"\n\n" if said else b""

    def _line(self, line: bytes) -> bytes:
        if not self._begun:
            return self._first(line)
        if line.startswith(b'data: {"error"'):
            parse_event(line)
        if b'"timings":{' in line:
            self._count(line)
            if _COUNTED in line:
                self._ours = _OUR_FINGERPRINT
        elif line == DONE:
            self._done = True
            return line
        line = line.replace(*self._model).replace(self._fingerprint, self._ours)
        return line.replace(_REASONING, b'"delta":{"content":"","reasoning":', 1)

    def _first(self, line: bytes) -> bytes:
        """Skip what comes before the first token: progress, and a chunk with the role alone.

        The role goes with the first chunk that says something, as Ollama gives it.
        """
        value = parse_event(line)
        if value is None or not value.get("choices"):
            return b""
        choice = value["choices"][0]
        said = {key for key, item in choice["delta"].items() if item is not None} - {"role"}
        if not said and not choice["finish_reason"]:
            return b""
        self._begun = True
        found = _FINGERPRINT.search(line)
        self._fingerprint = found[0] if found else _OUR_FINGERPRINT
        if said:
            line = self._line(line)
            return line.replace(b'"delta":{', _ROLE, 1) if _ROLE not in line else line
        return self._empty(value) + b"\n\n" + self._line(line)

    def _empty(self, value: dict[str, Any]) -> bytes:
        """A reply without a single token still begins with its role."""
        value["choices"][0] |= {
            "delta": {"role": "assistant", "content": ""},
            "finish_reason": None,
        }
        value.pop("timings", None)
        return self._line(DATA + orjson.dumps(value))

    def _count(self, line: bytes) -> None:
        value = parse_event(line)
        if value is not None:
            self.usage.read(value["timings"])


class Chat:
    """A chat completion from what a reply grows by, streamed or whole."""

    def __init__(
        self,
        model: str,
        ident: str,
        created: int,
        *,
        stream: bool,
        usage: bool,
        alternatives: bool,
    ) -> None:
        self.media_type = SSE if stream else JSON
        self._stream = stream
        self._usage = usage
        self._alternatives = alternatives
        kind = "chat.completion.chunk" if stream else "chat.completion"
        self._frame = _frame(ident, kind, created, model)
        if stream and usage:
            self._frame["usage"] = None
        self._message: dict[str, Any] = {"role": "assistant", "content": ""}
        self._logprobs: list[Any] = []

    def assigned(self) -> None:
        """Nothing of a chat completion tells when that was."""

    def begin(self) -> bytes:
        return b""

    def write(self, delta: Delta) -> bytes:
        logprobs = [
            entry if self._alternatives else {**entry, "top_logprobs": []}
            for entry in delta.logprobs
        ]
        if self._stream:
            return self._chunk(delta, logprobs)
        message = self._message
        message["content"] += delta.text
        if delta.thinking:
            message["reasoning"] = message.get("reasoning", "") + delta.thinking
        for piece in delta.calls:
            _add_call(message.setdefault("tool_calls", []), piece)
        self._logprobs += logprobs
        return b""

    def end(self, end: End, usage: Usage) -> bytes:
        choice: dict[str, Any] = {"index": 0, "finish_reason": end.reason}
        if not self._stream:
            choice["message"] = self._message
            for call in self._message.get("tool_calls", ()):
                call["function"]["arguments"] = _compact(call["function"]["arguments"])
            if self._logprobs:
                choice["logprobs"] = {"content": self._logprobs}
            return dumps({**self._frame, "choices": [choice], "usage": usage_object(usage)}) + b"\n"
        last = [sse({**self._frame, "choices": [{**choice, "delta": {}}]})]
        if self._usage:
            last.append(sse({**self._frame, "choices": [], "usage": usage_object(usage)}))
        return b"".join((*last, DONE, b"\n\n"))

    def failure(self, message: str, status: int) -> bytes:
        return DATA + dumps(error_body(message, status)) + b"\n\n"

    def _chunk(self, delta: Delta, logprobs: list[Any]) -> bytes:
        said: dict[str, Any] = {"content": delta.text}
        if delta.thinking:
            said["reasoning"] = delta.thinking
        if delta.calls:
            said["tool_calls"] = [_call(piece) for piece in delta.calls]
        if not (delta.text or delta.thinking or delta.calls or logprobs):
            return b""
        if self._message:
            said, self._message = {"role": "assistant", **said}, {}
        choice: dict[str, Any] = {"index": 0, "delta": said, "finish_reason": None}
        if logprobs:
            choice["logprobs"] = {"content": logprobs}
        return sse({**self._frame, "choices": [choice]})


def _call(piece: ToolCallDelta) -> dict[str, Any]:
    out: dict[str, Any] = {"index": piece.index, "function": {"arguments": piece.arguments}}
    if piece.name:
        out["function"] = {"name": piece.name, **out["function"]}
    return {"id": piece.id, "type": "function", **out} if piece.id else out


def _compact(arguments: str) -> str:
    """JSON without blanks; what a limit cut short stays as it is."""
    try:
        return orjson.dumps(orjson.loads(arguments)).decode()
    except orjson.JSONDecodeError:
        return arguments


def _add_call(calls: list[dict[str, Any]], piece: ToolCallDelta) -> None:
    if piece.index >= len(calls):
        function = {"name": "", "arguments": ""}
        calls.append({"id": "", "index": piece.index, "type": "function", "function": function})
    call = calls[piece.index]
    call["id"] += piece.id
    call["function"]["name"] += piece.name
    call["function"]["arguments"] += piece.arguments


class Completion:
    """A text completion, streamed or whole."""

    def __init__(
        self,
        model: str,
        ident: str,
        created: int,
        *,
        stream: bool,
        usage: bool,
        echo: str = "",
    ) -> None:
        self.media_type = SSE if stream else JSON
        self._stream = stream
        self._usage = usage
        self._echo = echo
        """What the text begins with: the prompt, if the client wants it back."""
        self._frame = _frame(ident, "text_completion", created, model)
        if stream and usage:
            self._frame["usage"] = None
        self._text: list[str] = []
        self._offset = 0
        self._logprobs: dict[str, list[Any]] = {}

    def assigned(self) -> None:
        """Nothing of a completion tells when that was."""

    def begin(self) -> bytes:
        return self.write(Delta(self._echo)) if self._echo else b""

    def write(self, delta: Delta) -> bytes:
        for key, values in token_logprobs(delta.logprobs, self._offset).items():
            self._logprobs.setdefault(key, []).extend(values)
        self._offset += len(delta.text)
        if self._stream:
            return self._told(delta.text) if delta.text or delta.held else b""
        self._text.append(delta.text)
        return b""

    def _told(self, text: str) -> bytes:
        """A chunk, with the tokens since the last one; some are no text of their own."""
        logprobs, self._logprobs = self._logprobs, {}
        return sse(self._chunk(text, None, logprobs))

    def loaded(self) -> bytes:
        """A reply without generation: the model was loaded."""
        return self._last("load", Usage())

    def end(self, end: End, usage: Usage) -> bytes:
        return self._last("length" if end.reason == "length" else "stop", usage)

    def _last(self, reason: str, usage: Usage) -> bytes:
        if not self._stream:
            whole = self._chunk("".join(self._text), reason, self._logprobs)
            return dumps({**whole, "usage": usage_object(usage)}) + b"\n"
        last = [sse(self._chunk("", reason, self._logprobs))]
        if self._usage:
            last.append(sse({**self._frame, "choices": [], "usage": usage_object(usage)}))
        return b"".join((*last, DONE, b"\n\n"))

    def failure(self, message: str, status: int) -> bytes:
        return DATA + dumps(error_body(message, status)) + b"\n\n"

    def _chunk(
        self, text: str, reason: str | None, logprobs: dict[str, list[Any]]
    ) -> dict[str, Any]:
        choice: dict[str, Any] = {"text": text, "index": 0, "finish_reason": reason}
        if logprobs:
            choice["logprobs"] = logprobs
        return {**self._frame, "choices": [choice]}


def token_logprobs(entries: Sequence[Mapping[str, Any]], offset: int) -> dict[str, list[Any]]:
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


def usage_object(usage: Usage) -> dict[str, Any]:
    """Tokens of one reply."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def sse(value: dict[str, Any]) -> bytes:
    return DATA + dumps(value) + b"\n\n"


def _frame(ident: str, kind: str, created: int, model: str) -> dict[str, Any]:
    return {
        "id": ident,
        "object": kind,
        "created": created,
        "model": model,
        "system_fingerprint": "fp_ollama",
    }
