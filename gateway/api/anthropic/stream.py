"""The Anthropic dialect, towards the client: a message in one object, or event by event.

A reply is a list of blocks in the order in which the model wrote them. Events never overlap: one
block is over before the next begins.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.api.anthropic.fields import NO_THREADS
from gateway.api.dialect import ApiError, Dialect
from gateway.golang.json_encode import dumps
from gateway.llama.errors import ContextOverflow, EngineError
from gateway.llama.events import Delta, End, ToolCallDelta, Usage

SSE = "text/event-stream"
JSON = "application/json"
_WORTH_CACHING = 1024
"""Tokens; Anthropic does not cache less, so shorter prompts are never told apart."""
_KINDS: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}
# Anthropic's client then goes on without a thread by itself.
_UNTHREADED = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
_DELTAS: Mapping[str, bytes] = {
    "text": b'"text_delta","text":',
    "thinking": b'"thinking_delta","thinking":',
    "tool_use": b'"input_json_delta","partial_json":',
}


def error_body(message: str, status: int, request_id: str) -> dict[str, Any]:
    """The envelope of every error below /v1/messages."""
    error: dict[str, Any] = {"type": _KINDS.get(status, "api_error"), "message": message}
    if message == NO_THREADS:
        error["details"] = _UNTHREADED
    return {"type": "error", "error": error, "request_id": request_id}


def request_id(ident: str) -> str:
    """The id of a request as Anthropic's clients know it; the log has it without its prefix."""
    return f"req_{ident}"


def _body_of(error: ApiError) -> dict[str, Any]:
    """A prompt that is too long is reported in the words that make clients shorten it."""
    message = error.message
    if isinstance(error.cause, ContextOverflow) and error.cause.limit:
        message = f"prompt is too long: {error.cause.tokens} tokens > {error.cause.limit} maximum"
    return error_body(message, error.status, request_id(error.request_id))


ANTHROPIC = Dialect(("/v1/messages",), _body_of, "application/json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What of a request shows in its reply."""

    model: str
    """As the client spelled it."""
    max_tokens: int = 0
    stops: tuple[str, ...] = ()
    eager: frozenset[str] = frozenset()
    """Tools whose input is passed on as it is written, whether it will be JSON or not."""
    hidden: bool = False
    """Whether thinking blocks stay empty."""
    cached: bool = False
    """Whether the client wants to know what came from the cache."""
    estimate: int = 1
    """Tokens of the prompt, guessed."""


def stopped(terms: Terms, end: End, usage: Usage, *, called: bool) -> dict[str, Any]:
    """Why the reply ends; `called`: whether there is a tool call in it."""
    reason, text = "end_turn", None
    if end.reason == "length":
        # Fewer tokens than were allowed: it was the context that ended.
        full = 0 < usage.completion_tokens < terms.max_tokens
        reason = "model_context_window_exceeded" if full else "max_tokens"
    elif end.reason == "tool_calls" or called:
        reason = "tool_use"
    elif end.stop in terms.stops:
        reason, text = "stop_sequence", end.stop
    return {"stop_reason": reason, "stop_sequence": text}


def usage_object(terms: Terms, usage: Usage) -> dict[str, Any]:
    """The three kinds of input tokens add up to the prompt."""
    cached = usage.cached_tokens
    if not terms.cached or cached < _WORTH_CACHING:
        cached = 0
    return _usage(usage.prompt_tokens - cached, cached, usage.completion_tokens)


def _usage(fresh: int, cached: int, out: int) -> dict[str, Any]:
    return {
        "input_tokens": fresh,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": out,
    }


def _frame(terms: Terms, ident: str) -> dict[str, Any]:
    head = {"id": f"msg_{ident}", "type": "message", "role": "assistant"}
    return {**head, "model": terms.model, "content": []}


def _arguments(text: str) -> Any:
    """The object that a call's arguments are; EngineError if they are none."""
    try:
        value = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise EngineError(f"the model wrote invalid tool call arguments: {text}", 500)
    return value


class Whole:
    """A message in one object."""

    media_type = JSON

    def __init__(self, terms: Terms, ident: str, request_id: str) -> None:
        self._terms = terms
        self._ident = ident
        self._request_id = request_id
        self._blocks: list[dict[str, Any]] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._cut = False
        """Whether the last call would be half of one, if the reply ended here."""

    def assigned(self) -> None:
        """Nothing of a message tells when that was."""

    def begin(self) -> bytes:
        return b""

    def write(self, delta: Delta) -> bytes:
        if delta.thinking:
            block = self._block("thinking", thinking="", signature="")
            block["thinking"] += "" if self._terms.hidden else delta.thinking
        if delta.text:
            self._block("text", text="")["text"] += delta.text
        for piece in delta.calls:
            self._called(piece)["input"] += piece.arguments
            self._cut = not piece.whole
        return b""

    def end(self, end: End, usage: Usage) -> bytes:
        blocks = list(self._blocks)
        if end.reason == "length" and self._cut and blocks[-1]["type"] == "tool_use":
            blocks.pop()  # it is cut short, and half a call is not to be made
        content = [
            {**block, "input": _arguments(block["input"])} if "input" in block else block
            for block in blocks
        ]
        called = any("input" in block for block in blocks)
        message = {
            **_frame(self._terms, self._ident),
            "content": content,
            **stopped(self._terms, end, usage, called=called),
            "usage": usage_object(self._terms, usage),
        }
        return dumps(message)

    def failure(self, message: str, status: int) -> bytes:
        return dumps(error_body(message, status, self._request_id))

    def _block(self, kind: str, **empty: Any) -> dict[str, Any]:
        if not self._blocks or self._blocks[-1]["type"] != kind:
            self._blocks.append({"type": kind, **empty})
        return self._blocks[-1]

    def _called(self, piece: ToolCallDelta) -> dict[str, Any]:
        if piece.index not in self._calls:
            call = {"type": "tool_use", **_named(piece, self._ident), "input": ""}
            self._calls[piece.index] = call
            self._blocks.append(call)
        return self._calls[piece.index]


def _named(piece: ToolCallDelta, ident: str) -> dict[str, str]:
    return {"id": piece.id or f"toolu_{ident}{piece.index}", "name": piece.name}


class Events:
    """The same message as a stream of events.

    Calls are kept back until they are whole and known to be JSON, unless their tool is `eager`: a
    call that is cut short is never made then.
    """

    media_type = SSE

    def __init__(self, terms: Terms, ident: str, request_id: str) -> None:
        self._terms = terms
        self._ident = ident
        self._request_id = request_id
        self._started = False
        self._index = -1
        self._open = ""
        """The type of the block that is not over yet."""
        self._prefix = b""
        """What stands before every delta of that block."""
        self._call: ToolCallDelta | None = None
        """The call being written; its arguments grow if they are kept back."""
        self._called = False

    def assigned(self) -> None:
        """Nothing of a message tells when that was."""

    def begin(self) -> bytes:
        """Nothing yet: the counts that the first event tells depend on what comes first."""
        return b""

    def write(self, delta: Delta) -> bytes:
        said = b""
        if delta.thinking:
            said += self._into("thinking", {"thinking": "", "signature": ""})
            if not self._terms.hidden:
                said += self._delta(delta.thinking)
        if delta.text:
            said += self._into("text", {"text": ""}) + self._delta(delta.text)
        for piece in delta.calls:
            said += self._piece(piece)
        return said

    def end(self, end: End, usage: Usage) -> bytes:
        start = b"" if self._started else self._start(usage_object(self._terms, usage) | _NONE_YET)
        if end.reason == "length":
            self._call = None
        said = start + self._finish_call() + self._close()
        reason = stopped(self._terms, end, usage, called=self._called)
        said += _event("message_delta", delta=reason, usage=usage_object(self._terms, usage))
        return said + _event("message_stop")

    def failure(self, message: str, status: int) -> bytes:
        body = error_body(message, status, self._request_id)
        return b"event: error\ndata: " + dumps(body) + b"\n\n"

    def _start(self, used: Mapping[str, Any]) -> bytes:
        self._started = True
        nothing = {"stop_reason": None, "stop_sequence": None, "usage": used}
        return _event("message_start", message={**_frame(self._terms, self._ident), **nothing})

    def _into(self, kind: str, empty: Mapping[str, Any]) -> bytes:
        """Be in a block of this kind."""
        if self._open == kind and self._call is None:
            return b""
        return self._finish_call() + self._next(kind, empty)

    def _next(self, kind: str, empty: Mapping[str, Any]) -> bytes:
        said = self._close()
        if not self._started:
            # Ollama's clients find an estimate here, and the counts at the end.
            said += self._start(_usage(self._terms.estimate, 0, 0))
        self._index += 1
        self._open = kind
        self._prefix = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":%b' % (self._index, _DELTAS[kind])
        )
        block = {"type": kind, **empty}
        return said + _event("content_block_start", index=self._index, content_block=block)

    def _delta(self, text: str) -> bytes:
        """The path of a token."""
        return self._prefix + dumps(text) + b"}}\n\n"

    def _close(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        return _event("content_block_stop", index=self._index)

    def _piece(self, piece: ToolCallDelta) -> bytes:
        said = b""
        if self._call is None or piece.index != self._call.index:
            said = self._finish_call()
            self._call = ToolCallDelta(piece.index, piece.id, piece.name)
            if piece.name in self._terms.eager:
                said += self._tool(self._call)
        if self._open == "tool_use":
            return said + (self._delta(piece.arguments) if piece.arguments else b"")
        self._call.arguments += piece.arguments
        return said + (self._finish_call() if piece.whole else b"")

    def _finish_call(self) -> bytes:
        """The call being written is all there."""
        call, self._call = self._call, None
        if call is None:
            return b""
        if self._open == "tool_use":
            return self._close()
        arguments = orjson.dumps(_arguments(call.arguments)).decode()
        return self._tool(call) + self._delta(arguments) + self._close()

    def _tool(self, call: ToolCallDelta) -> bytes:
        self._called = True
        return self._next("tool_use", {**_named(call, self._ident), "input": {}})


_NONE_YET = {"output_tokens": 0}


def _event(name: str, **members: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + dumps({"type": name, **members}) + b"\n\n"
