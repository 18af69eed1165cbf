"""A chat completion as a stream of chunks."""

from collections.abc import Mapping, Sequence

from gateway.api.openai.object import failure_event, head, logprobs_of, sse, usage_object
from gateway.api.reply import SSE
from gateway.llama.events import Delta, End, ToolCallDelta, Usage
from gateway.llama.sse import DONE


class ChatStream:
    """A writer of chunks. `usage`: whether the last one counts; it is null in the others then."""

    media_type = SSE

    def __init__(
        self, model: str, ident: str, created: int, *, usage: bool, alternatives: bool
    ) -> None:
        self._head = head(ident, "chat.completion.chunk", created, model)
        self._usage = usage
        if usage:
            self._head["usage"] = None
        self._alternatives = alternatives
        self._role: dict[str, object] = {"role": "assistant"}
        """Of the first chunk alone."""

    def assigned(self) -> None:
        """A no-op: no field of a chat completion says when that was."""

    def begin(self) -> bytes:
        return b""

    def write(self, delta: Delta) -> bytes:
        logprobs: Sequence[Mapping[str, object]] = ()
        if delta.logprobs:
            logprobs = logprobs_of(delta, self._alternatives)
        if not (delta.text or delta.thinking or delta.calls or logprobs):
            return b""
        fields, self._role = {**self._role, "content": delta.text}, {}
        if delta.thinking:
            fields["reasoning"] = delta.thinking
        if delta.calls:
            fields["tool_calls"] = [_call_delta(call) for call in delta.calls]
        choice: dict[str, object] = {"index": 0, "delta": fields, "finish_reason": None}
        if logprobs:
            choice["logprobs"] = {"content": logprobs}
        return sse({**self._head, "choices": [choice]})

    def end(self, end: End, usage: Usage) -> bytes:
        choice: dict[str, object] = {"index": 0, "finish_reason": end.reason, "delta": {}}
        last = [sse({**self._head, "choices": [choice]})]
        if self._usage:
            last.append(sse({**self._head, "choices": [], "usage": usage_object(usage)}))
        return b"".join((*last, DONE, b"\n\n"))

    def failure(self, message: str, status: int) -> bytes:
        return failure_event(message, status)


def _call_delta(call: ToolCallDelta) -> dict[str, object]:
    function: dict[str, object] = {"arguments": call.arguments}
    if call.name:
        function = {"name": call.name, **function}
    fields: dict[str, object] = {"index": call.index, "function": function}
    return {"id": call.id, "type": "function", **fields} if call.id else fields
