"""A chat completion as a stream of chunks."""

from collections.abc import Mapping, Sequence

from gateway.api.openai.object import failure_event, head, logprobs_of, sse, usage_object
from gateway.api.reply import SSE
from gateway.llama.events import Delta, End, Usage
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
            calls: list[dict[str, object]] = []
            for call in delta.calls:
                # Id, type and name come once, with the first part of a call: clients add up what
                # comes in several.
                head = {"id": call.id, "type": "function"} if call.id else {}
                name = {"name": call.name} if call.name else {}
                function = {**name, "arguments": call.arguments}
                calls.append({**head, "index": call.index, "function": function})
            fields["tool_calls"] = calls
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
