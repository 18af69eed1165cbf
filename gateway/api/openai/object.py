"""A chat completion as one object, and what its streamed form shares with it."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import orjson

from gateway.api.openai_error import error_body
from gateway.api.reply import PLAIN_JSON
from gateway.golang.json_encode import dumps
from gateway.llama.events import Delta, End, ToolCallDelta, Usage
from gateway.llama.sse import DATA


class ChatObject:
    """A writer of one object. `alternatives`: whether log probabilities show other tokens."""

    media_type = PLAIN_JSON

    def __init__(self, model: str, ident: str, created: int, *, alternatives: bool) -> None:
        self._head = head(ident, "chat.completion", created, model)
        self._alternatives = alternatives
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._calls: list[ToolCallDelta] = []
        self._logprobs: list[Mapping[str, object]] = []

    def assigned(self) -> None:
        """A no-op: no field of a chat completion says when that was."""

    def begin(self) -> bytes:
        return b""

    def write(self, delta: Delta) -> bytes:
        self._text.append(delta.text)
        self._thinking.append(delta.thinking)
        self._logprobs += logprobs_of(delta, self._alternatives)
        for call in delta.calls:
            if call.index >= len(self._calls):
                self._calls.append(ToolCallDelta(len(self._calls)))
            whole = self._calls[call.index]
            whole.id += call.id
            whole.name += call.name
            whole.arguments += call.arguments
        return b""

    def end(self, end: End, usage: Usage) -> bytes:
        message: dict[str, object] = {"role": "assistant", "content": "".join(self._text)}
        if thinking := "".join(self._thinking):
            message["reasoning"] = thinking
        if self._calls:
            message["tool_calls"] = calls = []
            for call in self._calls:
                arguments = call.arguments
                # Without blanks, as OpenAI has it; what a limit cut short stays as it is.
                with suppress(orjson.JSONDecodeError):
                    arguments = orjson.dumps(orjson.loads(arguments)).decode()
                function = {"name": call.name, "arguments": arguments}
                ids = {"id": call.id, "index": call.index}
                calls.append({**ids, "type": "function", "function": function})
        choice: dict[str, object] = {"index": 0, "finish_reason": end.reason, "message": message}
        if self._logprobs:
            choice["logprobs"] = {"content": self._logprobs}
        return dumps({**self._head, "choices": [choice], "usage": usage_object(usage)}) + b"\n"

    def failure(self, message: str, status: int) -> bytes:
        return failure_event(message, status)


def head(ident: str, kind: str, created: int, model: str) -> dict[str, object]:
    """The first fields of every object."""
    # The fingerprint is Ollama's, which its clients know.
    return {
        "id": ident,
        "object": kind,
        "created": created,
        "model": model,
        "system_fingerprint": "fp_ollama",
    }


def logprobs_of(delta: Delta, alternatives: bool) -> Sequence[Mapping[str, object]]:
    """The engine's entries, without the alternatives that the client does not want."""
    if alternatives:
        return delta.logprobs
    return [{**entry, "top_logprobs": []} for entry in delta.logprobs]


def usage_object(usage: Usage) -> dict[str, object]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def sse(value: Mapping[str, object]) -> bytes:
    return DATA + dumps(value) + b"\n\n"


def failure_event(message: str, status: int) -> bytes:
    # OpenAI's clients raise what they find in such an event.
    return sse(error_body(message, status))
