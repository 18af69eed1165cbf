"""A message as one object, and what its streamed form shares with it.

A reply is a list of blocks in the order in which the model wrote them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import orjson

from gateway.api.anthropic.errors import error_body
from gateway.api.reply import PLAIN_JSON
from gateway.golang.json_encode import dumps
from gateway.llama.errors import EngineError
from gateway.llama.events import Delta, End, ToolCallDelta, Usage

# Tokens. Anthropic caches no shorter prefix, and so never reports one.
_MIN_CACHED = 1024
BlockType = Literal["text", "thinking", "tool_use"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnthropicReplyOptions:
    """What of a request shows in its reply."""

    model: str
    """As the client spelled it."""
    max_tokens: int = 0
    stops: tuple[str, ...] = ()
    eager_tools: frozenset[str] = frozenset()
    """Tools whose input is passed on as it is written, whether it will be JSON or not."""
    thinking_omitted: bool = False
    """Whether blocks of thinking are empty."""
    cache_reported: bool = False
    """Whether the usage sets apart the tokens that came from the cache."""
    estimated_tokens: int = 1
    """Of the prompt: the first event of a stream comes before the engine has counted them."""


class MessageObject:
    """A writer of one object. `ident` makes the ids of the message and of calls without one."""

    media_type = PLAIN_JSON

    def __init__(self, options: AnthropicReplyOptions, ident: str, request_id: str) -> None:
        self._options = options
        self._ident = ident
        self._request_id = request_id
        self._blocks: list[_Block] = []
        self._calls: dict[int, _Block] = {}
        self._call_cut = False
        """Whether the last call would be half of one, if the reply ended here."""

    def assigned(self) -> None:
        """A no-op: no field of a message says when that was."""

    def begin(self) -> bytes:
        return b""

    def write(self, delta: Delta) -> bytes:
        if delta.thinking:
            block = self._block("thinking")
            if not self._options.thinking_omitted:
                block.pieces.append(delta.thinking)
        if delta.text:
            self._block("text").pieces.append(delta.text)
        for call in delta.calls:
            if call.index not in self._calls:
                start = {"id": call_id(call, self._ident), "name": call.name}
                self._calls[call.index] = block = _Block("tool_use", start)
                self._blocks.append(block)
            self._calls[call.index].pieces.append(call.arguments)
            self._call_cut = not call.whole
        return b""

    def end(self, end: End, usage: Usage) -> bytes:
        blocks = list(self._blocks)
        if end.reason == "length" and self._call_cut and blocks[-1].kind == "tool_use":
            # The client would run a call with half of its arguments.
            blocks.pop()
        message = {
            **message_head(self._options, self._ident),
            "content": [block.content() for block in blocks],
            **stop_fields(
                self._options, end, usage, called=any(block.kind == "tool_use" for block in blocks)
            ),
            "usage": usage_object(self._options, usage),
        }
        return dumps(message)

    def failure(self, message: str, status: int) -> bytes:
        return dumps(error_body(message, status, self._request_id))

    def _block(self, kind: BlockType) -> "_Block":
        """The last block if it is of this kind, else a new one."""
        if not self._blocks or self._blocks[-1].kind != kind:
            self._blocks.append(_Block(kind))
        return self._blocks[-1]


@dataclass(slots=True)
class _Block:
    """A content block as it grows. `start`: a call's id and name."""

    kind: BlockType
    start: Mapping[str, str] = field(default_factory=dict)
    pieces: list[str] = field(default_factory=list)

    def content(self) -> dict[str, object]:
        text = "".join(self.pieces)
        match self.kind:
            case "text":
                return {"type": "text", "text": text}
            case "thinking":
                return {"type": "thinking", "thinking": text, "signature": ""}
            case "tool_use":
                return {"type": "tool_use", **self.start, "input": parse_arguments(text)}


def message_head(options: AnthropicReplyOptions, ident: str) -> dict[str, object]:
    """The fields of a message before it has content."""
    return {
        "id": f"msg_{ident}",
        "type": "message",
        "role": "assistant",
        "model": options.model,
        "content": [],
    }


def stop_fields(
    options: AnthropicReplyOptions, end: End, usage: Usage, *, called: bool
) -> dict[str, object]:
    """Why a reply ended; `called`: whether it has a call."""
    reason, text = "end_turn", None
    if end.reason == "length":
        # Fewer tokens than the limit allows: it was the context that was full.
        full = 0 < usage.completion_tokens < options.max_tokens
        reason = "model_context_window_exceeded" if full else "max_tokens"
    # Clients look here for whether there are calls to run, so the engine's word does not matter.
    elif end.reason == "tool_calls" or called:
        reason = "tool_use"
    elif end.stop in options.stops:
        reason, text = "stop_sequence", end.stop
    return {"stop_reason": reason, "stop_sequence": text}


def usage_object(options: AnthropicReplyOptions, usage: Usage) -> dict[str, int]:
    """The three kinds of input tokens add up to the prompt."""
    cached = usage.cached_tokens
    if not options.cache_reported or cached < _MIN_CACHED:
        cached = 0
    return usage_fields(usage.prompt_tokens - cached, cached, usage.completion_tokens)


def usage_fields(uncached: int, cached: int, output: int) -> dict[str, int]:
    return {
        "input_tokens": uncached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": output,
    }


def call_id(call: ToolCallDelta, ident: str) -> str:
    return call.id or f"toolu_{ident}{call.index}"


def parse_arguments(text: str) -> dict[str, object]:
    """The object that a call's arguments are; EngineError if they are none."""
    try:
        value = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise EngineError(f"the model wrote invalid tool call arguments: {text}", 500)
    return value
