"""A reply in OpenAI's Responses API, as events or as one object, from what the engine says.

A reply is a list of items: reasoning, messages, calls. One is open at a time; it is closed when
another begins, so every event has its place and the client's own accounts come out even.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.api.openai_error import error_body
from gateway.api.responses.calls import Call, Events, begin
from gateway.api.responses.tools import Tool
from gateway.golang.json_encode import dumps, escape
from gateway.llama.events import Delta, End, ToolCallDelta, Usage

SSE = "text/event-stream"
JSON = "application/json"
_REASONS = {"length": {"reason": "max_output_tokens"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a request wants its reply."""

    stream: bool = False
    alternatives: int | None = None
    """For each token of the text; None: no log probabilities."""
    parts: bool = False
    """Whether the parts of a reasoning's summary have events of their own."""
    cached: bool = False
    """Whether the prompt's cached tokens are counted; Ollama always says 0."""
    tools: Mapping[str, Tool] = field(default_factory=dict)
    """By the names that the model knows."""


class Reply:
    """The writer of both forms. `frame` is the response before anything is said.

    `token` makes the ids of items, `clock` tells the time in whole seconds.
    """

    def __init__(
        self, frame: Mapping[str, Any], token: str, clock: Callable[[], int], style: Style
    ) -> None:
        self.media_type = SSE if style.stream else JSON
        self.response: dict[str, Any] | None = None
        """The whole response, once it has come to its end."""
        self._frame = frame
        self._token = token
        self._clock = clock
        self._style = style
        self._number = 0
        self._output: list[dict[str, Any]] = []
        self._open = ""
        self._text: list[str] = []
        self._logprobs: list[dict[str, Any]] = []
        self._untold: list[dict[str, Any]] = []
        """Tokens without text, the first ones of a character that has several; their text comes."""
        self._calls: list[int] = []
        self._calling: Call | None = None

    def assigned(self) -> None:
        """Nothing of a response tells when that was."""

    def begin(self) -> bytes:
        started = {"response": {**self._frame, "output": []}}
        return self._event("created", **started) + self._event("in_progress", **started)

    def write(self, delta: Delta) -> bytes:
        said = []
        if delta.thinking:
            said.append(self._think(delta.thinking))
        elif delta.logprobs and self._style.alternatives is not None:
            self._untold += [_logprob(one, self._style.alternatives) for one in delta.logprobs]
        if delta.text:
            said.append(self._say(delta.text))
        said += [self._call(piece) for piece in delta.calls]
        return b"".join(said)

    def end(self, end: End, usage: Usage) -> bytes:
        status = "incomplete" if end.reason in _REASONS else "completed"
        closing = self._close(status)
        if not self._output and not self._style.stream:
            self._begin("message", self._message(status))  # as Ollama: a message without text
            self._close(status)
        self.response = {
            **self._frame,
            "completed_at": self._clock() if status == "completed" else None,
            "status": status,
            "incomplete_details": _REASONS.get(end.reason),
            "output": self._output,
            "usage": self._usage(usage),
        }
        if not self._style.stream:
            return dumps(self.response) + b"\n"
        return closing + self._event(status, response=self.response)

    def failure(self, message: str, status: int) -> bytes:
        if not self._style.stream:
            return dumps(error_body(message, status))
        error = {"code": "server_error", "message": message}
        failed = {**self._frame, "status": "failed", "output": self._output, "error": error}
        told = {"code": "server_error", "message": message, "param": None}
        return self._framed("error", told) + self._event("failed", response=failed)

    # Items

    def _begin(self, kind: str, item: dict[str, Any]) -> bytes:
        """Close what is open and add an item."""
        closing = self._close("completed")
        self._open = kind
        self._output.append(item)
        said = self._event("output_item.added", output_index=self._index, item=item)
        return closing + said

    def _close(self, status: str) -> bytes:
        """End the item that is open, if there is one."""
        kind, self._open = self._open, ""
        if not kind:
            return b""
        ending = {
            "message": self._close_message,
            "reasoning": self._close_reasoning,
            "call": self._close_call,
        }[kind]("".join(self._text), status)
        self._text = []
        item = self._output[-1]
        return ending + self._event("output_item.done", output_index=self._index, item=item)

    @property
    def _index(self) -> int:
        return len(self._output) - 1

    def _ident(self, prefix: str) -> str:
        return f"{prefix}_{self._token}{len(self._output):02x}"

    def _about(self) -> dict[str, Any]:
        return {"item_id": self._output[-1]["id"], "output_index": self._index}

    # Reasoning

    def _think(self, text: str) -> bytes:
        opening = b""
        if self._open != "reasoning":
            item = {"id": self._ident("rs"), "type": "reasoning", "summary": []}
            opening = self._begin("reasoning", item) + self._part("added", "")
            self._untold = []
        self._text.append(text)
        about = {**self._about(), "summary_index": 0}
        return opening + self._event("reasoning_summary_text.delta", **about, delta=text)

    def _close_reasoning(self, text: str, status: str) -> bytes:
        item, about = self._output[-1], {**self._about(), "summary_index": 0}
        item["summary"] = [{"type": "summary_text", "text": text}]
        item["encrypted_content"] = text
        ending = self._event("reasoning_summary_text.done", **about, text=text)
        return ending + self._part("done", text)

    def _part(self, what: str, text: str) -> bytes:
        """Ollama leaves these out, and the official clients do without them."""
        if not self._style.parts:
            return b""
        about = {**self._about(), "summary_index": 0}
        part = {"type": "summary_text", "text": text}
        return self._event(f"reasoning_summary_part.{what}", **about, part=part)

    # Messages

    def _say(self, text: str) -> bytes:
        opening = b""
        if self._open != "message":
            opening = self._begin("message", self._message("in_progress"))
            part = _text_part("", [])
            opening += self._event("content_part.added", **self._place(), part=part)
        self._text.append(text)
        told, self._untold = self._untold, []
        self._logprobs += told
        return opening + self._delta(text, told)

    def _delta(self, text: str, logprobs: list[dict[str, Any]]) -> bytes:
        """Put together from bytes, for most events are of this kind."""
        if not self._style.stream:
            return b""
        self._number += 1
        ident, index = self._output[-1]["id"], self._index
        return b"".join(
            (
                b'event: response.output_text.delta\ndata: {"content_index":0,"delta":',
                escape(orjson.dumps(text)),
                f',"item_id":"{ident}","logprobs":'.encode(),
                dumps(logprobs) if logprobs else b"[]",
                f',"output_index":{index},"sequence_number":{self._number - 1}'.encode(),
                b',"type":"response.output_text.delta"}\n\n',
            )
        )

    def _close_message(self, text: str, status: str) -> bytes:
        item, place = self._output[-1], self._place()
        logprobs = [*self._logprobs, *self._untold]
        self._logprobs, self._untold = [], []
        part = _text_part(text, logprobs)
        item["content"], item["status"] = [part], status
        done = self._event("output_text.done", **place, text=text, logprobs=logprobs)
        return done + self._event("content_part.done", **place, part=part)

    def _message(self, status: str) -> dict[str, Any]:
        return {
            "id": self._ident("msg"),
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [],
        }

    def _place(self) -> dict[str, Any]:
        return {**self._about(), "content_index": 0}

    # Calls

    def _call(self, piece: ToolCallDelta) -> bytes:
        opening = b""
        if piece.index not in self._calls:
            self._calls.append(piece.index)
            opening = self._begin_call(piece)
        elif self._open != "call" or piece.index != self._calls[-1]:
            return b""  # of a call that has ended
        if not piece.arguments or self._calling is None:
            return opening
        return opening + self._told(self._calling.feed(piece.arguments))

    def _begin_call(self, piece: ToolCallDelta) -> bytes:
        # The official client takes two calls with one id for a contradiction.
        taken = any(item.get("call_id") == piece.id for item in self._output)
        closing = self._close("completed")
        token = f"{self._token}{len(self._output):02x}"
        tool = self._style.tools.get(piece.name)
        self._calling = begin(tool, piece.name, token, "" if taken else piece.id)
        return closing + self._begin("call", self._calling.item)

    def _close_call(self, text: str, status: str) -> bytes:
        assert self._calling is not None
        return self._told(self._calling.finish(status))

    def _told(self, events: Events) -> bytes:
        return b"".join(self._event(name, **self._about(), **members) for name, members in events)

    # The response

    def _usage(self, usage: Usage) -> dict[str, Any]:
        cached = usage.cached_tokens if self._style.cached else 0
        return {
            "input_tokens": usage.prompt_tokens,
            "output_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
            "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        }

    def _event(self, name: str, /, **members: Any) -> bytes:
        return self._framed(f"response.{name}", members)

    def _framed(self, name: str, members: dict[str, Any]) -> bytes:
        if not self._style.stream:
            return b""
        data = {**members, "type": name, "sequence_number": self._number}
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (name.encode(), dumps(data, sort_keys=True))


def _text_part(text: str, logprobs: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def _logprob(entry: Mapping[str, Any], alternatives: int) -> dict[str, Any]:
    """A token in OpenAI's form; what the engine gives in excess is cut."""
    others = entry.get("top_logprobs") or ()
    return {**_entry(entry), "top_logprobs": [_entry(other) for other in others[:alternatives]]}


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    token = str(entry.get("token", ""))
    known = entry.get("bytes")
    return {
        "token": token,
        "bytes": list(token.encode("utf-8", "replace")) if known is None else known,
        "logprob": entry.get("logprob", 0.0),
    }
