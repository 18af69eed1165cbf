"""Tool calls told from text in the output of a model whose TEMPLATE names the tag before a call.

The tag is all that is known of the form, so what follows is read generously: an object of JSON,
and somewhere in or before it the name of a tool of the request.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import orjson

from gateway.templates.tags import beginning

_MARK = re.compile(r'["\\{}\[\]]')
_QUOTED_MARK = re.compile(r'["\\]')
_BRACKETS = ("{", "[")
# Where an object says which tool it calls, and where with what. Command R's word is `tool_name`.
_NAMES = ("name", "tool_name")
_ARGUMENTS = ("arguments", "parameters")


@dataclass(frozen=True, slots=True)
class Call:
    """One finished tool call. The arguments are always an object."""

    name: str
    arguments: dict[str, Any]


class _State(Enum):
    SEEKING = auto()
    CALLING = auto()
    DONE = auto()


class CallParser:
    """Output in, text and finished calls out; the text comes before the calls of the same piece.

    `tools` have the shape of the engine's chat completions. How the output was cut into pieces
    does not matter to what comes out in all, and every character is looked at once.
    """

    def __init__(self, tag: str, tools: Sequence[Mapping[str, Any]]) -> None:
        self._tag = tag
        self._names = tuple(name for tool in tools if (name := _tool_name(tool)))
        self._bare = tag in _BRACKETS
        """Whether the tag is a mere bracket, which also begins other things than calls."""
        self._state = _State.SEEKING
        self._held = ""
        self._seen: list[str] = []
        """All from the tag on, as long as no call is found in it."""
        self._objects = _Objects(tag)
        self._pending = ""
        """A tool named before the object with its arguments."""
        self._found = False

    def feed(self, text: str) -> tuple[str, list[Call]]:
        """Text and calls that a further piece of output makes certain."""
        if self._state is _State.DONE:
            return text, []
        before = ""
        if self._state is _State.SEEKING:
            before, text = self._seek(self._held + text)
        if self._state is not _State.CALLING:
            return before, []
        calls, after = self._read(text)
        return before + after, calls

    def flush(self) -> tuple[str, list[Call]]:
        """What is left at the end of the output: text only, for a call that lacks its end is none.

        What never became a call is given as it stands, tag and all, lest a reply cut short be
        empty. But objects that name no tool are nobody's after a tag that is more than a bracket,
        and so is all that follows a call (mostly the closing twin of the tag).
        """
        if self._state is _State.CALLING:
            self._held = "" if self._found else self._left()
        held, self._held = self._held, ""
        self._state = _State.DONE
        return held, []

    def _seek(self, text: str) -> tuple[str, str]:
        """The text before the tag, and what follows from the tag on."""
        before, tag, rest = text.partition(self._tag)
        if self._bare and before.strip():
            self._state, self._held = _State.DONE, ""
            return text, ""
        if tag:
            self._state, self._held = _State.CALLING, ""
            return before, tag + rest
        kept = len(text) - beginning(text, self._tag)
        self._held = text[kept:]
        return text[:kept], ""

    def _read(self, text: str) -> tuple[list[Call], str]:
        """Calls finished in `text`, and the text after the last if nothing may follow it."""
        calls = []
        for piece in self._objects.feed(text):
            call = self._call(piece)
            if call:
                calls.append(call)
                self._found = True
        if not self._found:
            self._seen.append(text)
        if not self._bare or not self._objects.balanced:
            return calls, ""
        self._state = _State.DONE
        return calls, self._objects.rest if self._found else "".join(self._seen)

    def _left(self) -> str:
        """What to make of the output from the tag on, where no call was found in it."""
        whole = self._objects.ended and not self._objects.open
        return "" if whole and not self._bare else "".join(self._seen)

    def _call(self, piece: "_Piece") -> Call | None:
        """The call in an object and the text before it; None keeps a name for the next object."""
        name = self._pending or self._first_name(piece.text)
        self._pending = name
        try:
            value = orjson.loads(piece.text[piece.start :])
        except orjson.JSONDecodeError:
            return None
        if not name:
            return None
        self._pending = ""
        name = next((own for own in _named(value) if own in self._names), name)
        arguments = _arguments(value, name)
        return None if arguments is None else Call(name, arguments)

    def _first_name(self, text: str) -> str:
        """The tool that is named first, the longest of those if one begins with another."""
        places = ((text.find(name), -len(name), name) for name in self._names)
        return min((place for place in places if place[0] >= 0), default=(0, 0, ""))[2]


@dataclass(frozen=True, slots=True)
class _Piece:
    """An object, balanced but perhaps no JSON, after the text since the one before it."""

    text: str
    start: int


class _Objects:
    """Cuts output from a tag on into pieces that end with an object in braces."""

    def __init__(self, tag: str) -> None:
        self._bare = tag in _BRACKETS
        self._square = tag == "["
        self._parts: list[str] = []
        self._size = 0
        self._start = 0
        self._curly = 0
        self._depth = 0
        self._quoted = False
        self._escaped = False
        self.ended = False
        """Whether there was an object that has ended."""
        self.balanced = False
        """Whether a bare tag has found its closing bracket; `rest` is what follows that."""
        self.rest = ""

    @property
    def open(self) -> bool:
        """Whether an object has begun and not ended."""
        return self._curly > 0

    def feed(self, text: str) -> Iterator[_Piece]:
        """Objects that end in `text`; reads no further than the bracket that closes a bare tag."""
        taken = 0
        for at in self._marks(text):
            if self._enter(text[at]):
                self._start = self._size + at - taken
            elif self._leave(text[at]):
                self._keep(text[taken : at + 1])
                yield _Piece("".join(self._parts), self._start)
                self._parts.clear()
                self.ended, self._size, taken = True, 0, at + 1
            if self._bare and not self._depth:
                self.balanced, self.rest = True, text[at + 1 :]
                return
        self._keep(text[taken:])

    def _keep(self, text: str) -> None:
        self._parts.append(text)
        self._size += len(text)

    def _marks(self, text: str) -> Iterator[int]:
        """Where brackets that count are in `text`; those within strings do not."""
        position = 0
        if self._escaped and text:
            self._escaped, position = False, 1
        while mark := (_QUOTED_MARK if self._quoted else _MARK).search(text, position):
            position = mark.end()
            if mark[0] == '"':
                # A quotation mark outside any bracket is prose.
                self._quoted = not self._quoted and self._inside
            elif mark[0] != "\\":
                yield mark.start()
            elif self._quoted:
                self._escaped = position == len(text)
                position += 1

    @property
    def _inside(self) -> bool:
        return self._curly > 0 or self._depth > 0

    def _enter(self, bracket: str) -> bool:
        """Count an opening bracket; whether an object begins with it."""
        if bracket == "{":
            self._curly += 1
        if bracket == "{" or (bracket == "[" and self._square):
            self._depth += 1
        return bracket == "{" and self._curly == 1

    def _leave(self, bracket: str) -> bool:
        """Count a closing bracket; whether an object ends with it."""
        if bracket == "}" and self._curly:
            self._curly -= 1
            self._depth -= 1
            return self._curly == 0
        if bracket == "]" and self._square and self._depth > self._curly:
            self._depth -= 1
        return False


def _tool_name(tool: Mapping[str, Any]) -> str:
    function = tool.get("function")
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) else ""


def _named(value: dict[str, Any]) -> Iterator[str]:
    """The tools that an object, or one within it, says it calls."""
    for found in _objects_in(value):
        yield from (found[key] for key in _NAMES if isinstance(found.get(key), str))


def _arguments(value: dict[str, Any], name: str) -> dict[str, Any] | None:
    """The arguments in an object that calls `name`: a member of it, or the object itself.

    None if it says that it calls a tool and gives no object to call it with. A member `name` that
    says something else is an argument.
    """
    for found in _objects_in(value):
        named = [found[key] for key in _NAMES if key in found]
        if named and (name in named or any(key in found for key in _ARGUMENTS)):
            members = (_object(found.get(key)) for key in _ARGUMENTS)
            return next((member for member in members if member is not None), None)
        if (member := _object(found.get(name))) is not None:
            return member
    return value


def _object(value: Any) -> dict[str, Any] | None:
    """`value` if it is an object or the JSON text of one."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
    return value if isinstance(value, dict) else None


def _objects_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a JSON value, outer ones first, in the order of the text."""
    ahead = [value]
    while ahead:
        value = ahead.pop()
        if isinstance(value, dict):
            yield value
            ahead += reversed(value.values())
        elif isinstance(value, list):
            ahead += reversed(value)
