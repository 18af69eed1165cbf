"""Tool calls of a reply in the Responses API, each in the form of the tool that is called.

What a model writes is always the arguments of a function, JSON text that comes in pieces. A call
takes that text and gives the events that its client expects; the reply adds where they belong.
"""

import json
import re
from collections.abc import Mapping
from typing import Protocol

from gateway.api.responses.tools import INPUT, ResponsesTool

ItemEvents = list[tuple[str, dict[str, object]]]
"""Names, without "response." before them, and fields."""
OutputItem = dict[str, object]


class OutputCall(Protocol):
    """A call as it grows. `item` is complete once it is finished."""

    item: OutputItem

    def feed(self, text: str) -> ItemEvents:
        """The events of a further piece of the arguments."""

    def finish(self, status: str) -> ItemEvents:
        """The events of its end; `status` is completed or incomplete."""


def begin_call(tool: ResponsesTool | None, function: str, token: str, call_id: str) -> OutputCall:
    """A new call of `tool`, None for one that is not there. `function`: the name that it is by.

    `token` makes the item's id, and `call_id`, if that is empty.
    """
    kind = "function_call" if tool is None else tool.call_type
    item: OutputItem = {
        "id": f"{_PREFIXES[kind]}_{token}",
        "type": kind,
        "status": "in_progress",
        "call_id": call_id or f"call_{token}",
    }
    if kind == "tool_search_call":
        return SearchCall(item)
    item["name"] = function if tool is None else tool.name
    if tool is not None and tool.namespace:
        item["namespace"] = tool.namespace
    return FunctionCall(item) if kind == "function_call" else CustomCall(item)


_PREFIXES = {"function_call": "fc", "custom_tool_call": "ctc", "tool_search_call": "tsc"}


class FunctionCall:
    """The arguments pass as they are."""

    def __init__(self, item: OutputItem) -> None:
        self.item = {**item, "arguments": ""}
        self._pieces: list[str] = []

    def feed(self, text: str) -> ItemEvents:
        self._pieces.append(text)
        return [("function_call_arguments.delta", {"delta": text})]

    def finish(self, status: str) -> ItemEvents:
        # Clients parse the arguments, and an empty text is no JSON. One that is cut is not parsed.
        events = self.feed("{}") if not self._pieces and status == "completed" else []
        arguments = "".join(self._pieces)
        self.item |= {"arguments": arguments, "status": status}
        done: OutputItem = {"name": self.item["name"], "arguments": arguments}
        return [*events, ("function_call_arguments.done", done)]


class CustomCall:
    """The one text among the arguments, taken out of its JSON as it comes."""

    def __init__(self, item: OutputItem) -> None:
        self.item = {**item, "input": ""}
        self._text = FreeText()

    def feed(self, text: str) -> ItemEvents:
        delta = self._text.feed(text)
        return [("custom_tool_call_input.delta", {"delta": delta})] if delta else []

    def finish(self, status: str) -> ItemEvents:
        delta, events = self._text.flush(), ItemEvents()
        if delta:
            events.append(("custom_tool_call_input.delta", {"delta": delta}))
        text = self._text.text
        self.item |= {"input": text, "status": status}
        return [*events, ("custom_tool_call_input.done", {"input": text})]


class SearchCall:
    """The arguments are an object, complete at the end: there are no events for pieces of it."""

    def __init__(self, item: OutputItem) -> None:
        self.item = {**item, "execution": "client", "arguments": {}}
        self._pieces: list[str] = []

    def feed(self, text: str) -> ItemEvents:
        self._pieces.append(text)
        return []

    def finish(self, status: str) -> ItemEvents:
        # A call that is cut short has no object; the type of the item wants one.
        self.item |= {"arguments": _object("".join(self._pieces)) or {}, "status": status}
        return []


_HEAD = re.compile(rf'\s*{{\s*"{INPUT}"\s*:\s*"')
# Characters, after which the arguments are taken to begin otherwise: without a limit a long text of
# another form would be searched again with each piece of it.
_MAX_HEAD = 64
# Characters of a JSON text up to one that is not complete; both halves of a pair are one.
_PIECE = re.compile(
    r'(?:[^"\\]+|\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*"
)


class FreeText:
    """The text in `{"input": "…"}`, piece by piece; any other arguments at the end.

    A model that nothing holds to the form may write another: then its only text is meant, else
    all that it wrote.
    """

    def __init__(self) -> None:
        self._text: list[str] = []
        self._arguments: list[str] = []
        self._pending = ""
        self._begun = False
        self._over = False

    @property
    def text(self) -> str:
        """All that `feed` and `flush` have given."""
        return "".join(self._text)

    def feed(self, arguments: str) -> str:
        """What is certain now."""
        self._arguments.append(arguments)
        if self._over:
            return ""
        self._pending += arguments
        if not self._begun:
            head = _HEAD.match(self._pending)
            if head is None:
                self._over = len(self._pending.lstrip()) > _MAX_HEAD
                return ""
            self._begun = True
            self._pending = self._pending[head.end() :]
        raw = _PIECE.match(self._pending)
        assert raw is not None
        self._pending = self._pending[raw.end() :]
        self._over = self._pending.startswith('"')
        # Not strict: models write bare line ends into strings.
        text: str = json.loads(f'"{raw[0]}"', strict=False)
        self._text.append(text)
        return text

    def flush(self) -> str:
        """The rest."""
        before, whole = self.text, self._meant("".join(self._arguments))
        if not whole.startswith(before):
            return ""
        rest = whole.removeprefix(before)
        self._text.append(rest)
        return rest

    def _meant(self, arguments: str) -> str:
        fields = _object(arguments)
        if fields is None:
            return self.text if self._begun else arguments
        text = fields.get(INPUT)
        if not isinstance(text, str):
            (text,) = fields.values() if len(fields) == 1 else (None,)
        # Halves of pairs alone cannot be sent on.
        return text.encode("utf-8", "replace").decode() if isinstance(text, str) else arguments


def _object(text: str) -> Mapping[str, object] | None:
    """The object that a text is in JSON, where strings may have bare line ends; None if none."""
    try:
        value = json.loads(text, strict=False)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
