"""The items of a reply in OpenAI's Responses API, as they grow, and the events for a stream of it.

Items are reasoning, messages and calls. One is open at a time; it is closed when another begins,
so every event has its place and what a client adds up comes out even.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.api.responses.calls import ItemEvents, OutputCall, OutputItem, begin_call
from gateway.api.responses.tools import ResponsesTool
from gateway.llama.events import Delta, End, ToolCallDelta, Usage

_INCOMPLETE = {"length": {"reason": "max_output_tokens"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseReplyOptions:
    """What of a request shows in its reply."""

    alternatives: int | None = None
    """For each token of the text; None: no log probabilities."""
    summary_events: bool = False
    """Whether the parts of a reasoning's summary have events of their own."""
    cache_reported: bool = False
    """Whether the prompt's cached tokens are counted; Ollama always says 0."""
    tools: Mapping[str, ResponsesTool] = field(default_factory=dict)
    """By the names of their functions."""


class ResponseOutput:
    """The items, each with all of its fields once it is closed. `token` makes their ids."""

    def __init__(self, token: str, options: ResponseReplyOptions) -> None:
        self.items: list[OutputItem] = []
        self.place: OutputItem = {}
        """The fields by which an event names the last item, or a part of it."""
        self._token = token
        self._options = options
        self._open = ""
        """The kind of the last item, if it is not closed: reasoning, message or call."""
        self._text: list[str] = []
        self._logprobs: list[OutputItem] = []
        self._pending_logprobs: list[OutputItem] = []
        """Of tokens without text, the first ones of a character that has several; it comes."""
        self._call_indexes: list[int] = []
        self._call: OutputCall | None = None

    def write(self, delta: Delta) -> ItemEvents:
        events = ItemEvents()
        if delta.thinking:
            if self._open != "reasoning":
                self._open_reasoning(events)
            self._text.append(delta.thinking)
            fields = {**self.place, "delta": delta.thinking}
            events.append(("reasoning_summary_text.delta", fields))
        elif delta.logprobs:
            self._add_logprobs(delta.logprobs)
        if delta.text:
            if self._open != "message":
                self._open_message("in_progress", events)
                events.append(("content_part.added", {**self.place, "part": _text_part("", [])}))
            fields = {**self.place, "delta": delta.text, "logprobs": self._add_text(delta.text)}
            events.append(("output_text.delta", fields))
        for call in delta.calls:
            self._write_call(call, events)
        return events

    def extend_message(self, delta: Delta) -> list[OutputItem] | None:
        """Do as `write` for a delta that is only more text of the open message, but faster.

        The result is the text's log probabilities; None for any other delta.
        """
        if self._open != "message" or not delta.text or delta.thinking or delta.calls:
            return None
        if delta.logprobs:
            self._add_logprobs(delta.logprobs)
        return self._add_text(delta.text)

    def _add_logprobs(self, entries: Sequence[Mapping[str, object]]) -> None:
        if (most := self._options.alternatives) is not None:
            self._pending_logprobs += [_logprob(entry, most) for entry in entries]

    def _add_text(self, text: str) -> list[OutputItem]:
        self._text.append(text)
        logprobs, self._pending_logprobs = self._pending_logprobs, []
        self._logprobs += logprobs
        return logprobs

    def add_empty_message(self, status: str) -> None:
        self._open_message(status, ItemEvents())
        self.close(status)

    def close(self, status: str) -> ItemEvents:
        """End the item that is open, if there is one; `status` is completed or incomplete."""
        kind, self._open = self._open, ""
        events = ItemEvents()
        if not kind:
            return events
        text, self._text = "".join(self._text), []
        item = self.items[-1]
        if kind == "message":
            # Half a character at the end never became text.
            logprobs = [*self._logprobs, *self._pending_logprobs]
            self._logprobs, self._pending_logprobs = [], []
            part = _text_part(text, logprobs)
            item["content"], item["status"] = [part], status
            done = {**self.place, "text": text, "logprobs": logprobs}
            events.append(("output_text.done", done))
            events.append(("content_part.done", {**self.place, "part": part}))
        elif kind == "reasoning":
            item["summary"] = [{"type": "summary_text", "text": text}]
            # Not encrypted, so that a client that sends it back shows the model its own thought.
            item["encrypted_content"] = text
            events.append(("reasoning_summary_text.done", {**self.place, "text": text}))
            self._add_summary_event("done", text, events)
        elif self._call is not None:
            self._add_call_events(self._call.finish(status), events)
        events.append(("output_item.done", self._item_fields(item)))
        return events

    def _add_item(self, kind: str, item: OutputItem, events: ItemEvents) -> None:
        self._open = kind
        self.items.append(item)
        # A copy: the item changes until its last event is written.
        events.append(("output_item.added", self._item_fields(dict(item))))
        self.place = {"item_id": item["id"], "output_index": len(self.items) - 1}

    def _item_fields(self, item: OutputItem) -> OutputItem:
        return {"output_index": len(self.items) - 1, "item": item}

    def _open_reasoning(self, events: ItemEvents) -> None:
        events += self.close("completed")
        ident = f"rs_{self._token}{len(self.items):02x}"
        self._add_item("reasoning", {"id": ident, "type": "reasoning", "summary": []}, events)
        self.place["summary_index"] = 0
        self._add_summary_event("added", "", events)
        self._pending_logprobs = []

    def _add_summary_event(self, what: str, text: str, events: ItemEvents) -> None:
        # Ollama leaves these out, and the official clients do without them.
        if self._options.summary_events:
            part = {"type": "summary_text", "text": text}
            events.append((f"reasoning_summary_part.{what}", {**self.place, "part": part}))

    def _open_message(self, status: str, events: ItemEvents) -> None:
        events += self.close("completed")
        item: OutputItem = {
            "id": f"msg_{self._token}{len(self.items):02x}",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [],
        }
        self._add_item("message", item, events)
        self.place["content_index"] = 0

    def _write_call(self, delta: ToolCallDelta, events: ItemEvents) -> None:
        if delta.index not in self._call_indexes:
            self._call_indexes.append(delta.index)
            # The official client takes two calls with one id for a contradiction.
            taken = any(item.get("call_id") == delta.id for item in self.items)
            events += self.close("completed")
            token = f"{self._token}{len(self.items):02x}"
            tool = self._options.tools.get(delta.name)
            self._call = begin_call(tool, delta.name, token, "" if taken else delta.id)
            self._add_item("call", self._call.item, events)
        elif self._open != "call" or delta.index != self._call_indexes[-1]:
            return  # of a call that has ended
        if delta.arguments and self._call is not None:
            self._add_call_events(self._call.feed(delta.arguments), events)

    def _add_call_events(self, of_call: ItemEvents, events: ItemEvents) -> None:
        events += [(name, {**self.place, **fields}) for name, fields in of_call]


def final_status(end: End) -> str:
    return "incomplete" if end.reason in _INCOMPLETE else "completed"


def final_response(
    frame: Mapping[str, object],
    output: ResponseOutput,
    end: End,
    usage: Usage,
    options: ResponseReplyOptions,
    now: int,
) -> dict[str, object]:
    """The whole response. `now` in seconds."""
    status = final_status(end)
    return {
        **frame,
        "completed_at": now if status == "completed" else None,
        "status": status,
        "incomplete_details": _INCOMPLETE.get(end.reason),
        "output": output.items,
        "usage": {
            "input_tokens": usage.prompt_tokens,
            "output_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
            "input_tokens_details": {
                "cached_tokens": usage.cached_tokens if options.cache_reported else 0,
                "cache_write_tokens": 0,
            },
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }


def _text_part(text: str, logprobs: list[OutputItem]) -> OutputItem:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def _logprob(entry: Mapping[str, object], alternatives: int) -> OutputItem:
    """A token in OpenAI's form; what the engine gives in excess is cut."""
    others = entry.get("top_logprobs")
    top = others[:alternatives] if isinstance(others, list) else ()
    return {**_logprob_entry(entry), "top_logprobs": [_logprob_entry(other) for other in top]}


def _logprob_entry(entry: Mapping[str, object]) -> OutputItem:
    token = str(entry.get("token", ""))
    given = entry.get("bytes")
    return {
        "token": token,
        "bytes": list(token.encode("utf-8", "replace")) if given is None else given,
        "logprob": entry.get("logprob", 0.0),
    }
