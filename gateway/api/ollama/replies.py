"""Replies of /api/chat and /api/generate, each as one object or as a stream of lines."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

import orjson

from gateway.api.clock import Clock
from gateway.api.reply import JSON, NDJSON
from gateway.golang.json_encode import dumps, escape
from gateway.llama.errors import EngineError
from gateway.llama.events import Delta, End, EndReason, ToolCallDelta, Usage

# Fields stand in Ollama's order, for some clients compare bytes.


class OllamaWriter(ABC):
    """A Writer. `alternatives`: whether `top_logprobs` are to be written."""

    media_type: str

    def __init__(self, model: str, clock: Clock, *, alternatives: bool = False) -> None:
        self._model = model
        self._clock = clock
        self._alternatives = alternatives
        self._loaded = 0

    def assigned(self) -> None:
        self._loaded = self._clock.elapsed()

    def begin(self) -> bytes:
        return b""

    @abstractmethod
    def write(self, delta: Delta) -> bytes: ...

    @abstractmethod
    def end(self, end: End, usage: Usage) -> bytes: ...

    def failure(self, message: str, status: int) -> bytes:
        return dumps({"error": message}) + b"\n"

    def _head(self) -> dict[str, object]:
        return {"model": self._model, "created_at": self._clock.stamp()}

    def _metrics(self, usage: Usage) -> dict[str, int]:
        """Counts, and nanoseconds."""
        metrics = {
            "total_duration": self._clock.elapsed(),
            "load_duration": self._loaded,
            "prompt_eval_count": usage.prompt_tokens,
            "prompt_eval_duration": round(usage.prompt_seconds * 1e9),
            "eval_count": usage.completion_tokens,
            "eval_duration": round(usage.completion_seconds * 1e9),
        }
        # Those that are 0 are left out, as by `omitempty` in Go.
        return {name: value for name, value in metrics.items() if value}


class OllamaObject(OllamaWriter):
    """Gathers the reply, and writes it at the end."""

    media_type = JSON

    def __init__(self, model: str, clock: Clock, *, alternatives: bool = False) -> None:
        super().__init__(model, clock, alternatives=alternatives)
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._logprobs: list[dict[str, object]] = []

    def write(self, delta: Delta) -> bytes:
        self._text.append(delta.text)
        self._thinking.append(delta.thinking)
        if delta.logprobs:
            self._logprobs += (logprob(entry, self._alternatives) for entry in delta.logprobs)
        return b""

    @abstractmethod
    def without_generation(self, reason: str) -> bytes:
        """The reply to a request that only loads or unloads the model: `reason` is which."""

    @abstractmethod
    def rendered(self, text: str, images: int = 0) -> bytes:
        """The reply to `_debug_render_only`: the prompt, and how many images go with it."""

    @staticmethod
    def _debug(text: str, images: int) -> dict[str, object]:
        info: dict[str, object] = {"rendered_template": text}
        if images:
            info["image_count"] = images
        return {"done": False, "_debug_info": info}


class OllamaChatObject(OllamaObject):
    def __init__(self, model: str, clock: Clock, *, alternatives: bool = False) -> None:
        super().__init__(model, clock, alternatives=alternatives)
        self._calls = ToolCallParts()

    def write(self, delta: Delta) -> bytes:
        self._calls.add(delta.calls)
        return super().write(delta)

    def end(self, end: End, usage: Usage) -> bytes:
        metrics = self._metrics(usage)
        message: dict[str, object] = {"role": "assistant", "content": "".join(self._text)}
        if thinking := "".join(self._thinking):
            message["thinking"] = thinking
        if calls := self._calls.complete(end.reason):
            message["tool_calls"] = calls
        last = {**self._head(), "message": message, **_done(end.reason)}
        if self._logprobs:
            last["logprobs"] = self._logprobs
        return dumps({**last, **metrics})

    def without_generation(self, reason: str) -> bytes:
        message = {"role": "assistant", "content": ""}
        return dumps({**self._head(), "message": message, "done": True, "done_reason": reason})

    def rendered(self, text: str, images: int = 0) -> bytes:
        message = {"role": "", "content": ""}
        return dumps({**self._head(), "message": message, **self._debug(text, images)})


class GenerateObject(OllamaObject):
    context: list[int] | None = None
    """Tokens of prompt and reply, for the deprecated field of that name; None leaves it out."""

    def end(self, end: End, usage: Usage) -> bytes:
        metrics = self._metrics(usage)
        last = {**self._head(), "response": "".join(self._text)}
        if thinking := "".join(self._thinking):
            last["thinking"] = thinking
        last |= _done(end.reason)
        if self.context is not None:
            last["context"] = self.context
        last |= metrics
        if self._logprobs:
            last["logprobs"] = self._logprobs
        return dumps(last)

    def without_generation(self, reason: str) -> bytes:
        return dumps({**self._head(), "response": "", "done": True, "done_reason": reason})

    def rendered(self, text: str, images: int = 0) -> bytes:
        return dumps({**self._head(), "response": "", **self._debug(text, images)})


class OllamaStream(OllamaWriter):
    """Writes a line for each delta, and a last one with the counts."""

    # The line of a plain token is put together from bytes instead of encoding a dict: there is one
    # for every token, and little else that the gateway does for it.

    media_type = NDJSON

    def __init__(self, model: str, clock: Clock, *, alternatives: bool = False) -> None:
        super().__init__(model, clock, alternatives=alternatives)
        # What every line begins with; only the time differs.
        self._prefix = b'{"model":' + dumps(model) + b',"created_at":"'

    def _tail(self, delta: Delta) -> bytes:
        """The end of a line that is not the last."""
        if not delta.logprobs:
            return b"}\n"
        entries = [logprob(entry, self._alternatives) for entry in delta.logprobs]
        return b',"logprobs":' + dumps(entries) + b"}\n"


class OllamaChatStream(OllamaStream):
    def __init__(self, model: str, clock: Clock, *, alternatives: bool = False) -> None:
        super().__init__(model, clock, alternatives=alternatives)
        self._calls = ToolCallParts()

    def write(self, delta: Delta) -> bytes:
        lines = b""
        if delta.text or delta.thinking or delta.logprobs:
            message = b'"content":' + escape(orjson.dumps(delta.text))
            if delta.thinking:
                message += b',"thinking":' + escape(orjson.dumps(delta.thinking))
            lines = self._line(message, self._tail(delta))
        if delta.calls:
            self._calls.add(part for part in delta.calls if not part.whole)
            # Ollama writes a call as soon as its own parser has all of it; one that the engine
            # parses comes in parts, and waits for the last line.
            if whole := [tool_call(part) for part in delta.calls if part.whole]:
                lines += self._line(b'"content":"","tool_calls":' + dumps(whole), b"}\n")
        return lines

    def end(self, end: End, usage: Usage) -> bytes:
        metrics = self._metrics(usage)
        message: dict[str, object] = {"role": "assistant", "content": ""}
        if calls := self._calls.complete(end.reason):
            message["tool_calls"] = calls
        last = {**self._head(), "message": message, **_done(end.reason), **metrics}
        return dumps(last) + b"\n"

    def _line(self, message: bytes, tail: bytes) -> bytes:
        stamp = self._clock.stamp().encode()
        start = self._prefix + stamp + b'","message":{"role":"assistant",'
        return start + message + b'},"done":false' + tail


class GenerateStream(OllamaStream):
    context: list[int] | None = None
    """Tokens of prompt and reply, for the deprecated field of that name; None leaves it out."""

    def write(self, delta: Delta) -> bytes:
        # Text that is held back, until it is clear whether it is thinking, makes an empty line:
        # Ollama writes one for each token, whatever becomes of it.
        if not (delta.text or delta.thinking or delta.held or delta.logprobs):
            return b""
        line = self._prefix + self._clock.stamp().encode()
        line += b'","response":' + escape(orjson.dumps(delta.text))
        if delta.thinking:
            line += b',"thinking":' + escape(orjson.dumps(delta.thinking))
        return line + b',"done":false' + self._tail(delta)

    def end(self, end: End, usage: Usage) -> bytes:
        metrics = self._metrics(usage)
        last = {**self._head(), "response": "", **_done(end.reason)}
        if self.context is not None:
            last["context"] = self.context
        return dumps({**last, **metrics}) + b"\n"


class ToolCallParts:
    """Tool calls that come in parts: they are written with the last object, as Ollama does."""

    def __init__(self) -> None:
        self._calls: dict[int, ToolCallDelta] = {}

    def add(self, parts: Iterable[ToolCallDelta]) -> None:
        for part in parts:
            call = self._calls.setdefault(part.index, ToolCallDelta(part.index))
            call.id += part.id
            call.name += part.name
            call.arguments += part.arguments

    def complete(self, reason: EndReason) -> list[dict[str, object]]:
        """All of them; but the last is left out if a limit cut it short."""
        # A client would run what it gets, so half a call is worse than none.
        calls = sorted(self._calls.values(), key=lambda call: call.index)
        if reason == "length" and calls and not _is_json(calls[-1].arguments):
            calls.pop()
        return [tool_call(call) for call in calls]


def _done(reason: EndReason) -> dict[str, object]:
    # A tool call is no reason of its own: Ollama knows "stop" and "length" only.
    return {"done": True, "done_reason": "length" if reason == "length" else "stop"}


def logprob(entry: Mapping[str, object], alternatives: bool) -> dict[str, object]:
    """A token with its log probability; `bytes` is its text in UTF-8, left out when empty."""
    out = _token(entry)
    top = entry.get("top_logprobs")
    if alternatives and top and isinstance(top, list):
        out["top_logprobs"] = [_token(other) for other in top]
    return out


def _token(entry: Mapping[str, object]) -> dict[str, object]:
    token = str(entry.get("token", ""))
    out: dict[str, object] = {"token": token, "logprob": entry.get("logprob", 0.0)}
    if token:
        # Not the engine's own `bytes`: Ollama makes them of the token's text.
        out["bytes"] = list(token.encode("utf-8", "replace"))
    return out


def tool_call(call: ToolCallDelta) -> dict[str, object]:
    """A whole call in Ollama's form. EngineError if its arguments are no JSON."""
    if not _is_json(call.arguments):
        message = f'llama-server returned invalid tool call arguments for "{call.name}"'
        raise EngineError(f"{message}: {call.arguments}", 500)
    arguments = orjson.loads(call.arguments or "{}")
    function = {"index": call.index, "name": call.name, "arguments": arguments}
    return {"id": call.id, "function": function} if call.id else {"function": function}


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return False
    return True
