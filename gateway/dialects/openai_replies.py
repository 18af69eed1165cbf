"""The OpenAI dialect, towards the client: the engine's own bytes, with three names replaced.

The engine writes JSON without blanks and escapes every quote inside a text, so the sequences
replaced here cannot stand in what a model wrote. Only the beginning of a stream is looked at line
by line; after that a token costs three searches and no parsing.
"""

import re
from typing import Any

import orjson

from gateway.dialects.call import EngineError, Tally
from gateway.dialects.lines import DATA, DONE, Lines, Reading, event
from gateway.dialects.ollama_replies import count
from gateway.dialects.openai import error_body
from gateway.wire import dumps

SSE = "text/event-stream"
JSON = "application/json"
_FINGERPRINT = re.compile(rb'"system_fingerprint":"[^"]*"')
_OUR_FINGERPRINT = b'"system_fingerprint":"fp_ollama"'
_ROLE = b'"delta":{"role":"assistant",'
_REASONING = b'"delta":{"reasoning_content":'
_CUT_SHORT = "the model runner stopped before the reply was complete"


class Passthrough:
    """A streamed chat completion."""

    media_type = SSE

    def __init__(self, model: str, alias: str) -> None:
        self.tally = Tally()
        self._reading = Reading(self._event)
        self._model = (b'"model":"' + alias.encode() + b'"', b'"model":' + dumps(model))
        self._fingerprint = b""
        self._begun = False
        self._done = False

    def assigned(self) -> None:
        """Nothing of a chat completion tells when that was."""

    def feed(self, data: bytes) -> bytes:
        return self._reading.feed(data)

    def flush(self) -> bytes:
        self._reading.check()
        if not self._done:
            raise EngineError(_CUT_SHORT, 500)
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
            event(line)
        if b'"timings":{' in line:
            self._count(line)
        elif line == DONE:
            self._done = True
            return line
        line = line.replace(*self._model).replace(self._fingerprint, _OUR_FINGERPRINT)
        return line.replace(_REASONING, b'"delta":{"content":"","reasoning":', 1)

    def _first(self, line: bytes) -> bytes:
        """Skip what comes before the first token: progress, and a chunk with the role alone.

        The role goes with the first chunk that says something, as Ollama gives it.
        """
        value = event(line)
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
        value = event(line)
        if value is not None:
            count(self.tally, value["timings"])


class Whole:
    """A chat completion in one object, put together from its stream."""

    media_type = JSON

    def __init__(self, model: str, *, alternatives: bool = False) -> None:
        self.tally = Tally()
        self._model = model
        self._alternatives = alternatives
        self._lines = Lines()
        self._head: dict[str, Any] = {}
        self._tail: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}

    def assigned(self) -> None:
        """Nothing of a chat completion tells when that was."""

    def feed(self, data: bytes) -> bytes:
        for line in self._lines.feed(data):
            value = event(line)
            if value is None or "prompt_progress" in value:
                continue
            self._head = self._head or value
            for choice in value["choices"]:
                self._add(choice)
            self._tail |= {k: value[k] for k in ("usage", "timings") if k in value}
        return b""

    def flush(self) -> bytes:
        choices = [self._choices[index] for index in sorted(self._choices)]
        if not choices or any(choice["finish_reason"] is None for choice in choices):
            raise EngineError(_CUT_SHORT, 500)
        if timings := self._tail.get("timings"):
            count(self.tally, timings)
        whole = {
            "id": self._head["id"],
            "object": "chat.completion",
            "created": self._head["created"],
            "model": self._model,
            "system_fingerprint": "fp_ollama",
            "choices": choices,
        }
        return dumps(whole | self._tail) + b"\n"

    def failure(self, message: str, status: int) -> bytes:
        return dumps(error_body(message, status))

    def _add(self, delta_choice: dict[str, Any]) -> None:
        index = delta_choice["index"]
        choice = self._choices.setdefault(
            index,
            {
                "index": index,
                "message": {"role": "assistant", "content": ""},
                "finish_reason": None,
            },
        )
        message, delta = choice["message"], delta_choice.get("delta") or {}
        message["content"] += delta.get("content") or ""
        if thinking := delta.get("reasoning_content"):
            message["reasoning"] = message.get("reasoning", "") + thinking
        for call in delta.get("tool_calls") or ():
            _add_call(message.setdefault("tool_calls", []), call)
        if logprobs := delta_choice.get("logprobs"):
            kept = choice.setdefault("logprobs", {"content": []})["content"]
            for entry in logprobs.get("content") or ():
                kept.append(entry if self._alternatives else {**entry, "top_logprobs": []})
        choice["finish_reason"] = delta_choice.get("finish_reason") or choice["finish_reason"]


def _add_call(calls: list[dict[str, Any]], delta: dict[str, Any]) -> None:
    index = delta.get("index", len(calls))
    if index >= len(calls):
        function = {"name": "", "arguments": ""}
        calls.append({"id": "", "index": index, "type": "function", "function": function})
    call = calls[index]
    call["id"] += delta.get("id") or ""
    for key, piece in (delta.get("function") or {}).items():
        call["function"][key] = call["function"].get(key, "") + (piece or "")


class Completion:
    """A text completion, streamed or whole, from the events of `/completion`."""

    def __init__(self, model: str, ident: str, created: int, *, stream: bool, usage: bool) -> None:
        self.tally = Tally()
        self.media_type = SSE if stream else JSON
        self._stream = stream
        self._usage = usage
        self._reading = Reading(self._line)
        self._frame = {
            "id": ident,
            "object": "text_completion",
            "created": created,
            "model": model,
            "system_fingerprint": "fp_ollama",
        }
        self._text: list[str] = []
        self._reason: str | None = None

    def assigned(self) -> None:
        """Nothing of a completion tells when that was."""

    def feed(self, data: bytes) -> bytes:
        return self._reading.feed(data)

    def flush(self) -> bytes:
        self._reading.check()
        if self._reason is None:
            raise EngineError(_CUT_SHORT, 500)
        if not self._stream:
            return dumps(self._chunk("".join(self._text), self._reason) | self._used()) + b"\n"
        last = [self._event(self._chunk("", self._reason))]
        if self._usage:
            last.append(self._event({**self._frame, "choices": [], **self._used()}))
        return b"".join((*last, DONE, b"\n\n"))

    def whole(self, reason: str) -> bytes:
        """A reply without generation."""
        self._reason = reason
        return self.flush()

    def failure(self, message: str, status: int) -> bytes:
        return DATA + dumps(error_body(message, status)) + b"\n\n"

    def _line(self, line: bytes) -> bytes:
        value = event(line)
        return b"" if value is None else self._take(value)

    def _take(self, value: dict[str, Any]) -> bytes:
        if "prompt_progress" in value:
            return b""
        if value.get("stop"):
            self._reason = "length" if value.get("stop_type") == "limit" else "stop"
            count(self.tally, value.get("timings") or {})
        text = value.get("content") or ""
        if not text:
            return b""
        if self._stream:
            return self._event(self._chunk(text, None))
        self._text.append(text)
        return b""

    def _chunk(self, text: str, reason: str | None) -> dict[str, Any]:
        choice = {"text": text, "index": 0, "finish_reason": reason}
        return {**self._frame, "choices": [choice]}

    def _used(self) -> dict[str, Any]:
        prompt, tokens = self.tally.prompt_tokens, self.tally.tokens
        usage = {"prompt_tokens": prompt, "completion_tokens": tokens}
        return {"usage": {**usage, "total_tokens": prompt + tokens}}

    def _event(self, chunk: dict[str, Any]) -> bytes:
        return DATA + dumps(chunk) + b"\n\n"
