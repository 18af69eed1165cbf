"""The Ollama dialect, towards the client: what the engine streams, as lines or as one object.

Members stand in Ollama's order. The line of a plain token is put together from bytes, for it is
what most of the gateway's work consists of.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.dialects.call import EngineError, Tally
from gateway.dialects.lines import Reading, event
from gateway.wire import dumps, escape

NDJSON = "application/x-ndjson"
JSON = "application/json; charset=utf-8"
_CUT_SHORT = "an error was encountered while running the model: unexpected EOF"
_REASONS = {"limit": "length", "length": "length"}


class Clock(ABC):
    """Time as a reply shows it."""

    @abstractmethod
    def stamp(self) -> str:
        """The time of day, RFC 3339 in UTC, to the nanosecond."""

    @abstractmethod
    def elapsed(self) -> int:
        """Nanoseconds since the request arrived."""


class Reply(ABC):
    """What chat and generate have in common: when things happened, and the last object."""

    def __init__(self, model: str, clock: Clock, *, stream: bool) -> None:
        self.tally = Tally()
        self.media_type = NDJSON if stream else JSON
        self._stream = stream
        self._model = model
        self._clock = clock
        self._reading = Reading(self._event)
        self._prefix = b'{"model":' + dumps(model) + b',"created_at":"'
        self._loaded = 0
        self._reason = ""
        self._finished = False
        self._thinking: list[str] = []
        self._text: list[str] = []
        self._logprobs: list[dict[str, Any]] = []

    def assigned(self) -> None:
        self._loaded = self._clock.elapsed()

    def feed(self, data: bytes) -> bytes:
        return self._reading.feed(data)

    def flush(self) -> bytes:
        self._reading.check()
        if not self._finished:
            raise EngineError(_CUT_SHORT, 500)
        end = b"\n" if self._stream else b""
        return dumps(self._last(self._clock.stamp(), self._metrics())) + end

    def failure(self, message: str, status: int) -> bytes:
        return dumps({"error": message}) + b"\n"

    def whole(self, reason: str) -> bytes:
        """A reply without generation: the model was loaded, or unloaded."""
        self.media_type, self._stream, self._reason = JSON, False, reason
        return dumps(self._last(self._clock.stamp(), {}))

    def rendered(self, text: str) -> bytes:
        """What `_debug_render_only` asks for: the prompt, and no reply."""
        self.media_type = JSON
        head = {"model": self._model, "created_at": self._clock.stamp(), **self._nothing()}
        return dumps({**head, "done": False, "_debug_info": {"rendered_template": text}})

    @abstractmethod
    def _nothing(self) -> dict[str, Any]:
        """The member that would hold the reply's text, without any."""

    def _event(self, line: bytes) -> bytes:
        value = event(line)
        return b"" if value is None else self._take(value)

    @abstractmethod
    def _take(self, value: dict[str, Any]) -> bytes:
        """One event of the engine's."""

    @abstractmethod
    def _last(self, stamp: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """The final object: everything if not streamed, else what has not been said yet."""

    def _finish(self, reason: str, timings: Mapping[str, Any] | None) -> None:
        self._finished = True
        self._reason = _REASONS.get(reason, "stop")
        if timings:
            count(self.tally, timings)

    def _metrics(self) -> dict[str, Any]:
        tally = self.tally
        metrics = {
            "total_duration": self._clock.elapsed(),
            "load_duration": self._loaded,
            "prompt_eval_count": tally.prompt_tokens,
            "prompt_eval_duration": round(tally.prompt_seconds * 1e9),
            "eval_count": tally.tokens,
            "eval_duration": round(tally.seconds * 1e9),
        }
        return {key: value for key, value in metrics.items() if value}


class ChatReply(Reply):
    """A chat, from the events of a chat completion."""

    def __init__(self, model: str, clock: Clock, *, stream: bool) -> None:
        super().__init__(model, clock, stream=stream)
        self._calls: dict[int, dict[str, Any]] = {}
        self.alternatives = False
        """Whether the client asked for `top_logprobs`."""

    def _nothing(self) -> dict[str, Any]:
        return {"message": {"role": "", "content": ""}}

    def _take(self, value: dict[str, Any]) -> bytes:
        if timings := value.get("timings"):
            count(self.tally, timings)
        if "prompt_progress" in value or not value.get("choices"):
            return b""
        choice = value["choices"][0]
        delta = choice.get("delta") or {}
        text = delta.get("content") or ""
        thinking = delta.get("reasoning_content") or ""
        for call in delta.get("tool_calls") or ():
            self._call(call)
        logprobs = [
            logprob(entry, self.alternatives)
            for entry in ((choice.get("logprobs") or {}).get("content") or ())
        ]
        if reason := choice.get("finish_reason"):
            self._finish(reason, None)
        if not (text or thinking or logprobs):
            return b""
        if self._stream:
            return self._line(text, thinking, logprobs)
        self._text.append(text)
        self._thinking.append(thinking)
        self._logprobs += logprobs
        return b""

    def _line(self, text: str, thinking: str, logprobs: list[dict[str, Any]]) -> bytes:
        stamp = self._clock.stamp().encode()
        message = b'","message":{"role":"assistant","content":' + escape(orjson.dumps(text))
        if thinking:
            message += b',"thinking":' + escape(orjson.dumps(thinking))
        tail = b',"logprobs":' + dumps(logprobs) if logprobs else b""
        return self._prefix + stamp + message + b'},"done":false' + tail + b"}\n"

    def _call(self, delta: Mapping[str, Any]) -> None:
        """Calls come in pieces; they are given whole, with the last object, as Ollama does."""
        index = int(delta.get("index", len(self._calls)))
        call = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        function = delta.get("function") or {}
        call["id"] += delta.get("id") or ""
        call["name"] += function.get("name") or ""
        call["arguments"] += function.get("arguments") or ""

    def _last(self, stamp: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._text)}
        if thinking := "".join(self._thinking):
            message["thinking"] = thinking
        if self._calls:
            message["tool_calls"] = [
                tool_call(index, call) for index, call in sorted(self._calls.items())
            ]
        last = {
            "model": self._model,
            "created_at": stamp,
            "message": message,
            "done": True,
            "done_reason": self._reason,
        }
        if self._logprobs:
            last["logprobs"] = self._logprobs
        return {**last, **metrics}


class GenerateReply(Reply):
    """A completion, from the events of `/completion`."""

    def __init__(self, model: str, clock: Clock, *, stream: bool) -> None:
        super().__init__(model, clock, stream=stream)
        self.context: list[int] | None = None
        """The prompt's tokens, for the deprecated `context`; None leaves it out."""
        self._tokens: list[int] = []
        self.alternatives = False

    def _nothing(self) -> dict[str, Any]:
        return {"response": ""}

    def _take(self, value: dict[str, Any]) -> bytes:
        if "prompt_progress" in value:
            return b""
        text = value.get("content") or ""
        tokens = value.get("tokens") or ()
        logprobs = [
            logprob(entry, self.alternatives)
            for entry in value.get("completion_probabilities") or ()
        ]
        if value.get("stop"):
            reason = value.get("stop_type", "")
            if reason == "eos" and self._tokens:
                self._tokens.pop()  # the end marker is a token but no text
            self._finish(reason, value.get("timings"))
        self._tokens += tokens
        if not (text or logprobs):
            return b""
        if self._stream:
            return self._line(text, logprobs)
        self._text.append(text)
        self._logprobs += logprobs
        return b""

    def _line(self, text: str, logprobs: list[dict[str, Any]]) -> bytes:
        stamp = self._clock.stamp().encode()
        response = b'","response":' + escape(orjson.dumps(text)) + b',"done":false'
        tail = b',"logprobs":' + dumps(logprobs) if logprobs else b""
        return self._prefix + stamp + response + tail + b"}\n"

    def _last(self, stamp: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
        last: dict[str, Any] = {
            "model": self._model,
            "created_at": stamp,
            "response": "".join(self._text),
            "done": True,
            "done_reason": self._reason,
        }
        if self.context is not None and self._finished:
            last["context"] = [*self.context, *self._tokens]
        last.update(metrics)
        if self._logprobs:
            last["logprobs"] = self._logprobs
        return last


def count(tally: Tally, timings: Mapping[str, Any]) -> None:
    """Take over the engine's timings; its prompt count leaves out what it found in the cache."""
    tally.prompt_tokens = int(timings.get("cache_n", 0)) + int(timings.get("prompt_n", 0))
    tally.prompt_seconds = float(timings.get("prompt_ms", 0)) / 1e3
    tally.tokens = int(timings.get("predicted_n", 0))
    tally.seconds = float(timings.get("predicted_ms", 0)) / 1e3


def logprob(entry: Mapping[str, Any], alternatives: bool) -> dict[str, Any]:
    """A token with its log probability; `bytes` is its text in UTF-8, left out when empty."""
    out = _logprob(entry)
    if alternatives and (top := entry.get("top_logprobs")):
        out["top_logprobs"] = [_logprob(other) for other in top]
    return out


def _logprob(entry: Mapping[str, Any]) -> dict[str, Any]:
    token = str(entry.get("token", ""))
    out: dict[str, Any] = {"token": token, "logprob": entry.get("logprob", 0.0)}
    if token:
        out["bytes"] = list(token.encode("utf-8", "replace"))
    return out


def tool_call(index: int, call: Mapping[str, str]) -> dict[str, Any]:
    """A call in Ollama's form; arguments that were cut short are shown as far as they came."""
    try:
        arguments = orjson.loads(call["arguments"] or "{}")
    except orjson.JSONDecodeError:
        raise EngineError(
            f'the model wrote invalid tool call arguments for "{call["name"]}": '
            f"{call['arguments']}",
            500,
        ) from None
    function = {"index": index, "name": call["name"], "arguments": arguments}
    return {**({"id": call["id"]} if call["id"] else {}), "function": function}
