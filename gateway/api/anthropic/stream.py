"""A message as a stream of events, which never overlap: a block is over before the next begins."""

import orjson

from gateway.api.anthropic.errors import error_body
from gateway.api.anthropic.object import (
    AnthropicReplyOptions,
    BlockType,
    call_id,
    message_head,
    parse_arguments,
    stop_fields,
    usage_fields,
    usage_object,
)
from gateway.api.reply import SSE
from gateway.golang.json_encode import dumps
from gateway.llama.events import Delta, End, ToolCallDelta, Usage

_DELTAS: dict[BlockType, bytes] = {
    "text": b'"text_delta","text":',
    "thinking": b'"thinking_delta","thinking":',
    "tool_use": b'"input_json_delta","partial_json":',
}


class MessageStream:
    """A writer of events.

    A call is kept back until it is whole and known to be JSON, unless its tool is an eager one: so
    a call that is cut short is never made.
    """

    media_type = SSE

    def __init__(self, options: AnthropicReplyOptions, ident: str, request_id: str) -> None:
        self._options = options
        self._ident = ident
        self._request_id = request_id
        self._started = False
        self._index = -1
        self._open: BlockType | None = None
        """The type of the block that is not over yet."""
        self._prefix = b""
        """What comes before the text of every delta of that block."""
        self._call: ToolCallDelta | None = None
        """The call being written; its arguments grow if they are kept back."""
        self._called = False

    def assigned(self) -> None:
        """A no-op: no field of a message says when that was."""

    def begin(self) -> bytes:
        # The first event has the usage: an estimate, or the counts if the end comes next.
        return b""

    def write(self, delta: Delta) -> bytes:
        output = b""
        if delta.thinking:
            if self._open != "thinking" or self._call is not None:
                output += self._finish_call()
                output += self._start_block("thinking", {"thinking": "", "signature": ""})
            if not self._options.thinking_omitted:
                output += self._delta(delta.thinking)
        if delta.text:
            if self._open != "text" or self._call is not None:
                output += self._finish_call() + self._start_block("text", {"text": ""})
            output += self._delta(delta.text)
        for call in delta.calls:
            output += self._write_call(call)
        return output

    def end(self, end: End, usage: Usage) -> bytes:
        used, output = usage_object(self._options, usage), b""
        if not self._started:
            output = self._start({**used, "output_tokens": 0})
        if end.reason == "length":
            self._call = None  # half a call is not to be made
        output += self._finish_call() + self._close()
        reason = stop_fields(self._options, end, usage, called=self._called)
        output += _event("message_delta", delta=reason, usage=used)
        return output + _event("message_stop")

    def failure(self, message: str, status: int) -> bytes:
        body = error_body(message, status, self._request_id)
        return b"event: error\ndata: " + dumps(body) + b"\n\n"

    def _start(self, used: dict[str, int]) -> bytes:
        self._started = True
        head = message_head(self._options, self._ident)
        pending = {"stop_reason": None, "stop_sequence": None, "usage": used}
        return _event("message_start", message={**head, **pending})

    def _start_block(self, kind: BlockType, fields: dict[str, object]) -> bytes:
        output = self._close()
        if not self._started:
            # Ollama's clients expect an estimate here, and the counts at the end.
            output += self._start(usage_fields(self._options.estimated_tokens, 0, 0))
        self._index += 1
        self._open = kind
        self._prefix = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":%b' % (self._index, _DELTAS[kind])
        )
        block = {"type": kind, **fields}
        return output + _event("content_block_start", index=self._index, content_block=block)

    def _delta(self, text: str) -> bytes:
        # The path of a token: only its text is encoded anew.
        return self._prefix + dumps(text) + b"}}\n\n"

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return _event("content_block_stop", index=self._index)

    def _write_call(self, delta: ToolCallDelta) -> bytes:
        output = b""
        if self._call is None or delta.index != self._call.index:
            output = self._finish_call()
            self._call = ToolCallDelta(delta.index, delta.id, delta.name)
            if delta.name in self._options.eager_tools:
                output += self._start_call(self._call)
        if self._open == "tool_use":
            return output + (self._delta(delta.arguments) if delta.arguments else b"")
        self._call.arguments += delta.arguments
        return output + (self._finish_call() if delta.whole else b"")

    def _finish_call(self) -> bytes:
        """What is left to write of the call, now that all of it is there."""
        call, self._call = self._call, None
        if call is None:
            return b""
        if self._open == "tool_use":
            return self._close()
        arguments = orjson.dumps(parse_arguments(call.arguments)).decode()
        return self._start_call(call) + self._delta(arguments) + self._close()

    def _start_call(self, call: ToolCallDelta) -> bytes:
        self._called = True
        start: dict[str, object] = {
            "id": call_id(call, self._ident),
            "name": call.name,
            "input": {},
        }
        return self._start_block("tool_use", start)


def _event(name: str, **fields: object) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + dumps({"type": name, **fields}) + b"\n\n"
