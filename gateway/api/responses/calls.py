"""Tool calls of a reply in the Responses API, each in the form of the tool that is called.

What a model writes is always the arguments of a function, JSON text that comes in pieces. A call
takes that text and tells the events that its client expects; their place is added by the reply.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

from gateway.api.responses.tools import INPUT, Tool

Events = list[tuple[str, dict[str, Any]]]


class Call(Protocol):
    """A call on its way. `item` is complete once it is finished."""

    item: dict[str, Any]

    def feed(self, text: str) -> Events:
        """What a further piece of the arguments adds."""

    def finish(self, status: str) -> Events:
        """The end of it; `status` is completed or incomplete."""


def begin(tool: Tool | None, name: str, token: str, call_id: str) -> Call:
    """A new call. `name` is the model's word for `tool`, None for one that is not there.

    `token` makes the item's id, and `call_id`, if that is empty.
    """
    kind = "function_call" if tool is None else tool.call
    item: dict[str, Any] = {
        "id": f"{_PREFIXES[kind]}_{token}",
        "type": kind,
        "status": "in_progress",
        "call_id": call_id or f"call_{token}",
    }
    if kind == "tool_search_call":
        return SearchCall(item)
    item["name"] = name if tool is None else tool.name
    if tool is not None and tool.namespace:
        item["namespace"] = tool.namespace
    return FunctionCall(item) if kind == "function_call" else CustomCall(item)


_PREFIXES = {"function_call": "fc", "custom_tool_call": "ctc", "tool_search_call": "tsc"}


class FunctionCall:
    """The arguments pass as they are."""

    def __init__(self, item: dict[str, Any]) -> None:
        self.item = {**item, "arguments": ""}
        self._text: list[str] = []

    def feed(self, text: str) -> Events:
        self._text.append(text)
        return [("function_call_arguments.delta", {"delta": text})]

    def finish(self, status: str) -> Events:
        told = self.feed("{}") if not self._text and status == "completed" else []
        arguments = "".join(self._text)
        self.item |= {"arguments": arguments, "status": status}
        done = {"name": self.item["name"], "arguments": arguments}
        return [*told, ("function_call_arguments.done", done)]


class CustomCall:
    """The one text among the arguments, taken out of its JSON as it comes."""

    def __init__(self, item: dict[str, Any]) -> None:
        self.item = {**item, "input": ""}
        self._text = FreeText()

    def feed(self, text: str) -> Events:
        return _told(self._text.feed(text))

    def finish(self, status: str) -> Events:
        told = _told(self._text.flush())
        whole = self._text.said
        self.item |= {"input": whole, "status": status}
        return [*told, ("custom_tool_call_input.done", {"input": whole})]


def _told(text: str) -> Events:
    return [("custom_tool_call_input.delta", {"delta": text})] if text else []


class SearchCall:
    """The arguments are an object, told at the end alone, for they have no events of their own."""

    def __init__(self, item: dict[str, Any]) -> None:
        self.item = {**item, "execution": "client", "arguments": {}}
        self._text: list[str] = []

    def feed(self, text: str) -> Events:
        self._text.append(text)
        return []

    def finish(self, status: str) -> Events:
        self.item |= {"arguments": _object("".join(self._text)) or {}, "status": status}
        return []


_HEAD = re.compile(rf'\s*{{\s*"{INPUT}"\s*:\s*"')
_HEAD_LENGTH = 64
"""Characters after which the arguments are taken to begin otherwise."""
_PIECE = re.compile(
    r'(?:[^"\\]+|\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*"
)
"""Characters of a JSON text up to one that is not complete; both halves of a pair are one."""


class FreeText:
    """The text in `{"input": "…"}`, piece by piece; any other arguments at the end.

    A model that nothing holds to the form may write another: then its only text is meant, else
    all that it wrote.
    """

    def __init__(self) -> None:
        self._said: list[str] = []
        self._all: list[str] = []
        self._pending = ""
        self._begun = False
        self._over = False

    @property
    def said(self) -> str:
        return "".join(self._said)

    def feed(self, text: str) -> str:
        """What is certain now."""
        self._all.append(text)
        if self._over:
            return ""
        self._pending += text
        if not self._begun and not self._begin():
            return ""
        raw = _PIECE.match(self._pending)
        assert raw is not None
        self._pending = self._pending[raw.end() :]
        self._over = self._pending.startswith('"')
        return self._say(json.loads(f'"{raw[0]}"', strict=False))

    def flush(self) -> str:
        """The rest."""
        said, whole = self.said, self._meant("".join(self._all))
        return self._say(whole.removeprefix(said)) if whole.startswith(said) else ""

    def _begin(self) -> bool:
        head = _HEAD.match(self._pending)
        if head is None:
            self._over = len(self._pending.lstrip()) > _HEAD_LENGTH
            return False
        self._begun = True
        self._pending = self._pending[head.end() :]
        return True

    def _meant(self, arguments: str) -> str:
        found = _object(arguments)
        if found is None:
            return self.said if self._begun else arguments
        text = found.get(INPUT)
        if not isinstance(text, str):
            (text,) = found.values() if len(found) == 1 else (None,)
        # Halves of pairs alone cannot be sent on.
        return text.encode("utf-8", "replace").decode() if isinstance(text, str) else arguments

    def _say(self, text: str) -> str:
        self._said.append(text)
        return text


def _object(text: str) -> Mapping[str, Any] | None:
    """The object that a text is in JSON, where strings may have bare line ends; None if none."""
    try:
        found = json.loads(text, strict=False)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
