"""The Ollama dialect, towards the client: a reply as lines or as one object.

Members stand in Ollama's order. The line of a plain token is put together from bytes, for it is
what most of the gateway's work consists of.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.api.clock import Clock
from gateway.golang.json_encode import dumps, escape
from gateway.llama.errors import EngineError
from gateway.llama.events import Delta, End, ToolCallDelta, Usage

NDJSON = "application/x-ndjson"
JSON = "application/json; charset=utf-8"


class Reply(ABC):
    """What chat and generate have in common: when things happened, and the last object."""

    def __init__(self, model: str, clock: Clock, *, stream: bool) -> None:
        self.media_type = NDJSON if stream else JSON
        self.alternatives = False
        """Whether the client asked for `top_logprobs`."""
        self._stream = stream
        self._model = model
        self._clock = clock
        self._prefix = b'{"model":' + dumps(model) + b',"created_at":"'
        self._loaded = 0
        self._thinking: list[str] = []
        self._text: list[str] = []
        self._logprobs: list[dict[str, Any]] = []

    def assigned(self) -> None:
        self._loaded = self._clock.elapsed()

    def begin(self) -> bytes:
        """Nothing stands before the first token."""
        return b""

    def write(self, delta: Delta) -> bytes:
        logprobs = [logprob(entry, self.alternatives) for entry in delta.logprobs]
        if self._stream:
            return self._lines(delta, logprobs)
        self._text.append(delta.text)
        self._thinking.append(delta.thinking)
        self._logprobs += logprobs
        return b""

    def end(self, end: End, usage: Usage) -> bytes:
        reason = "length" if end.reason == "length" else "stop"
        last = dumps(self._last(reason, self._metrics(usage)))
        return last + b"\n" if self._stream else last

    def failure(self, message: str, status: int) -> bytes:
        return dumps({"error": message}) + b"\n"

    def whole(self, reason: str) -> bytes:
        """A reply without generation: the model was loaded, or unloaded."""
        self.media_type = JSON
        return dumps(self._last(reason, {}))

    def rendered(self, text: str, pictures: int = 0) -> bytes:
        """What `_debug_render_only` asks for: the prompt, and no reply."""
        self.media_type = JSON
        head = {"model": self._model, "created_at": self._clock.stamp(), **self._nothing()}
        info: dict[str, Any] = {"rendered_template": text}
        if pictures:
            info["image_count"] = pictures
        return dumps({**head, "done": False, "_debug_info": info})

    @abstractmethod
    def _nothing(self) -> dict[str, Any]:
        """The member that would hold the reply's text, without any."""

    @abstractmethod
    def _lines(self, delta: Delta, logprobs: list[dict[str, Any]]) -> bytes:
        """What a stream says at once."""

    @abstractmethod
    def _last(self, reason: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """The final object: everything if not streamed, else what has not been said yet."""

    def _metrics(self, usage: Usage) -> dict[str, Any]:
        metrics = {
            "total_duration": self._clock.elapsed(),
            "load_duration": self._loaded,
            "prompt_eval_count": usage.prompt_tokens,
            "prompt_eval_duration": round(usage.prompt_seconds * 1e9),
            "eval_count": usage.completion_tokens,
            "eval_duration": round(usage.completion_seconds * 1e9),
        }
        return {key: value for key, value in metrics.items() if value}


class ChatReply(Reply):
    """The next message of a conversation."""

    def __init__(self, model: str, clock: Clock, *, stream: bool) -> None:
        super().__init__(model, clock, stream=stream)
        self._calls: dict[int, dict[str, str]] = {}

    def _nothing(self) -> dict[str, Any]:
        return {"message": {"role": "", "content": ""}}

    def write(self, delta: Delta) -> bytes:
        if delta.calls and not self._stream:
            self._keep(delta.calls)
        return super().write(delta)

    def _keep(self, calls: Sequence[ToolCallDelta]) -> None:
        """Calls that come in pieces are given whole, with the last object, as Ollama does."""
        for piece in calls:
            call = self._calls.setdefault(piece.index, {"id": "", "name": "", "arguments": ""})
            for key, value in _call(piece).items():
                call[key] += value

    def _lines(self, delta: Delta, logprobs: list[dict[str, Any]]) -> bytes:
        lines = b""
        if delta.text or delta.thinking or logprobs:
            message = b'"content":' + escape(orjson.dumps(delta.text))
            if delta.thinking:
                message += b',"thinking":' + escape(orjson.dumps(delta.thinking))
            lines = self._line(message, b',"logprobs":' + dumps(logprobs) if logprobs else b"")
        if not delta.calls:
            return lines
        self._keep([piece for piece in delta.calls if not piece.whole])
        whole = [tool_call(piece.index, _call(piece)) for piece in delta.calls if piece.whole]
        if whole:
            lines += self._line(b'"content":"","tool_calls":' + dumps(whole), b"")
        return lines

    def _line(self, message: bytes, more: bytes) -> bytes:
        stamp = self._clock.stamp().encode()
        said = b'","message":{"role":"assistant",' + message
        return self._prefix + stamp + said + b'},"done":false' + more + b"}\n"

    def _last(self, reason: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._text)}
        if thinking := "".join(self._thinking):
            message["thinking"] = thinking
        if calls := self._complete(reason):
            message["tool_calls"] = calls
        last = {
            "model": self._model,
            "created_at": self._clock.stamp(),
            "message": message,
            "done": True,
            "done_reason": reason,
        }
        if self._logprobs:
            last["logprobs"] = self._logprobs
        return {**last, **metrics}

    def _complete(self, reason: str) -> list[dict[str, Any]]:
        """The calls; but the last, if a limit cut it short, is none."""
        calls = sorted(self._calls.items())
        if reason == "length" and calls and not _is_json(calls[-1][1]["arguments"]):
            calls.pop()
        return [tool_call(index, call) for index, call in calls]


class GenerateReply(Reply):
    """What follows a prompt."""

    def __init__(self, model: str, clock: Clock, *, stream: bool) -> None:
        super().__init__(model, clock, stream=stream)
        self.context: list[int] | None = None
        """Tokens of prompt and reply, for the deprecated `context`; None leaves it out."""

    def _nothing(self) -> dict[str, Any]:
        return {"response": ""}

    def _lines(self, delta: Delta, logprobs: list[dict[str, Any]]) -> bytes:
        """While thinking is told from text there may be nothing to say; Ollama says so."""
        if not (delta.text or delta.thinking or delta.held or logprobs):
            return b""
        stamp = self._clock.stamp().encode()
        said = b'","response":' + escape(orjson.dumps(delta.text))
        if delta.thinking:
            said += b',"thinking":' + escape(orjson.dumps(delta.thinking))
        tail = b',"logprobs":' + dumps(logprobs) if logprobs else b""
        return self._prefix + stamp + said + b',"done":false' + tail + b"}\n"

    def _last(self, reason: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
        last: dict[str, Any] = {
            "model": self._model,
            "created_at": self._clock.stamp(),
            "response": "".join(self._text),
        }
        if thinking := "".join(self._thinking):
            last["thinking"] = thinking
        last |= {"done": True, "done_reason": reason}
        if self.context is not None:
            last["context"] = self.context
        last.update(metrics)
        if self._logprobs:
            last["logprobs"] = self._logprobs
        return last


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


def _call(piece: ToolCallDelta) -> dict[str, str]:
    return {"id": piece.id, "name": piece.name, "arguments": piece.arguments}


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return False
    return True


def tool_call(index: int, call: Mapping[str, str]) -> dict[str, Any]:
    """A call in Ollama's form."""
    if not _is_json(call["arguments"]):
        message = f'llama-server returned invalid tool call arguments for "{call["name"]}"'
        raise EngineError(f"{message}: {call['arguments']}", 500)
    arguments = orjson.loads(call["arguments"] or "{}")
    function = {"index": index, "name": call["name"], "arguments": arguments}
    return {**({"id": call["id"]} if call["id"] else {}), "function": function}
