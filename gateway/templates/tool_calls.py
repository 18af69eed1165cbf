"""Separates tool calls from text, for a model whose TEMPLATE shows the tag before a call.

The tag is all that is known of the form, so any JSON object counts as a call if the name of one of
the request's tools is in it or before it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import orjson

from gateway.templates.reasoning import partial_tag_length

_MARK = re.compile(r'["\\{}\[\]]')
_QUOTED_MARK = re.compile(r'["\\]')
_BRACKETS = ("{", "[")
# The members with the name of the tool, and with its arguments. `tool_name` is Command R's.
_NAMES = ("name", "tool_name")
_ARGUMENTS = ("arguments", "parameters")


@dataclass(frozen=True, slots=True)
class ParsedCall:
    """One finished tool call. The arguments are always an object."""

    name: str
    arguments: dict[str, Any]


class _CallState(Enum):
    SEEKING = auto()
    CALLING = auto()
    DONE = auto()


class CallParser:
    """Output in, text and finished calls out; the text comes before the calls of the same piece.

    `tools` have the shape of the engine's chat completions. How the output was cut into pieces
    does not matter to what comes out in all, and every character is looked at once.
    """

    def __init__(self, tag: str, tools: Sequence[Mapping[str, object]]) -> None:
        self._tag = tag
        functions = (tool.get("function") for tool in tools)
        names = (item.get("name") for item in functions if isinstance(item, Mapping))
        self._names = tuple(name for name in names if isinstance(name, str) and name)
        # Whether the tag is a mere bracket, which also begins JSON that is the reply itself.
        self._bare = tag in _BRACKETS
        self._state = _CallState.SEEKING
        self._held = ""
        # The output from the tag on, as long as it has no call: it may turn out to be text.
        self._raw: list[str] = []
        self._objects = _ObjectSplitter(tag)
        # The name of a tool that came before the object with its arguments.
        self._pending = ""
        self._has_call = False

    def feed(self, text: str) -> tuple[str, list[ParsedCall]]:
        """Text and calls that a further piece of output makes certain."""
        if self._state is _CallState.DONE:
            return text, []
        before = ""
        if self._state is _CallState.SEEKING:
            text = self._held + text
            before, tag, rest = text.partition(self._tag)
            # A reply that begins as prose is prose to its end: a mere bracket in it is no tag.
            if self._bare and before.strip():
                self._state, self._held = _CallState.DONE, ""
                return text, []
            if not tag:
                kept = len(text) - partial_tag_length(text, self._tag)
                self._held = text[kept:]
                return text[:kept], []
            self._state, self._held, text = _CallState.CALLING, "", tag + rest
        calls = []
        for piece in self._objects.feed(text):
            call = self._call(piece)
            if call:
                calls.append(call)
                self._has_call = True
        if not self._has_call:
            self._raw.append(text)
        if not self._bare or not self._objects.balanced:
            return before, calls
        # After the bracket that closes a bare tag there are no more calls.
        self._state = _CallState.DONE
        after = self._objects.rest if self._has_call else "".join(self._raw)
        return before + after, calls

    def flush(self) -> tuple[str, list[ParsedCall]]:
        """The rest of the text at the end of the output; a call without its end is text."""
        if self._state is _CallState.CALLING:
            # It is given as it stands, tag and all, lest a reply cut short be empty. Dropped are
            # objects that name no tool after a tag that is more than a bracket, and all that
            # follows a call, which is mostly the closing tag.
            complete = self._objects.ended and not self._objects.open
            dropped = self._has_call or (complete and not self._bare)
            self._held = "" if dropped else "".join(self._raw)
        held, self._held = self._held, ""
        self._state = _CallState.DONE
        return held, []

    def _call(self, piece: "_Piece") -> ParsedCall | None:
        """The call in an object and the text before it; None keeps a name for the next object."""
        name = self._pending
        if not name:
            # Of two names at the same place the longer one is meant: `get_time` is not `get`.
            places = ((piece.text.find(name), -len(name), name) for name in self._names)
            name = min((place for place in places if place[0] >= 0), default=(0, 0, ""))[2]
        self._pending = name
        try:
            value = orjson.loads(piece.text[piece.start :])
        except orjson.JSONDecodeError:
            return None
        if not name:
            return None
        self._pending = ""
        # A name in one of the members for it counts more than one that merely occurs in the text.
        called = (item.get(key) for item in _objects_in(value) for key in _NAMES)
        name = next((known for known in called if known in self._names), name)
        arguments = _arguments(value, name)
        return None if arguments is None else ParsedCall(name, arguments)


@dataclass(frozen=True, slots=True)
class _Piece:
    """An object from `start` on, its braces balanced but perhaps no JSON, and the text before."""

    text: str
    start: int


class _ObjectSplitter:
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
        # Whether an object has ended.
        self.ended = False
        # Whether the bracket that closes a bare tag has come; `rest` is the text after it.
        self.balanced = False
        self.rest = ""

    @property
    def open(self) -> bool:
        """Whether an object has begun and not ended."""
        return self._curly > 0

    def feed(self, text: str) -> Iterator[_Piece]:
        """Objects that end in `text`; reads no further than the bracket that closes a bare tag."""
        taken = 0
        for at in self._marks(text):
            match text[at]:
                case "{":
                    self._curly += 1
                    self._depth += 1
                    if self._curly == 1:
                        self._start = self._size + at - taken
                case "[" if self._square:
                    self._depth += 1
                case "}" if self._curly:
                    self._curly -= 1
                    self._depth -= 1
                    if not self._curly:
                        self._keep(text[taken : at + 1])
                        yield _Piece("".join(self._parts), self._start)
                        self._parts.clear()
                        self.ended, self._size, taken = True, 0, at + 1
                # One too many must not close the braces around it.
                case "]" if self._square and self._depth > self._curly:
                    self._depth -= 1
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
                self._quoted = not self._quoted and (self._curly > 0 or self._depth > 0)
            elif mark[0] != "\\":
                yield mark.start()
            elif self._quoted:
                self._escaped = position == len(text)
                position += 1


def _arguments(value: object, name: str) -> dict[str, Any] | None:
    """The arguments in an object that calls `name`: a member of it, or the object itself.

    None if it names a tool and has no object to call it with. A member `name` with another value is
    an argument.
    """
    for item in _objects_in(value):
        names = [item[key] for key in _NAMES if key in item]
        if names and (name in names or any(key in item for key in _ARGUMENTS)):
            members = (_object(item.get(key)) for key in _ARGUMENTS)
            return next((member for member in members if member is not None), None)
        if (member := _object(item.get(name))) is not None:
            return member
    return _object(value)


def _object(value: object) -> dict[str, Any] | None:
    """`value` if it is an object or the JSON text of one."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
    return value if isinstance(value, dict) else None


def _objects_in(value: object) -> Iterator[dict[str, Any]]:
    """Every object in a JSON value, outer ones first, in the order of the text."""
    ahead = [value]  # no recursion: a model may nest as deep as it likes
    while ahead:
        value = ahead.pop()
        if isinstance(value, dict):
            yield value
            ahead += reversed(value.values())
        elif isinstance(value, list):
            ahead += reversed(value)
