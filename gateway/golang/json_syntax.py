"""JSON text read as Go's `encoding/json` reads it: slowly, and with the words of its errors.

The second parser, for bodies that orjson refuses. Only the first value counts, whatever follows.
Broken UTF-8 and lone surrogates become U+FFFD, a byte or an escape at a time. Of equal keys the
last one wins.
"""

import json
import re
from typing import Any, NoReturn

from gateway.errors import Invalid
from gateway.golang.strconv import quote

MAX_DEPTH = 200  # orjson writes 254 levels, and requests are wrapped before they are forwarded

# Bytes that `_JsonScanner` reads in a fifth of a second at worst. Reading is synchronous, so the
# exact wording of an error must not delay other requests: a longer body is read by the standard
# library, whose errors give the place but not what was expected there.
_LONG = 1 << 16
_SPACES = re.compile(rb"[ \t\r\n]*")
_DIGITS = re.compile(rb"[0-9]*")
_UNESCAPED = re.compile(rb'[^"\\\x00-\x1f]*')
_SURROGATES = re.compile("[\ud800-\udfff]")
# Escapes in turn, so that a backslash that is escaped itself begins none.
_LONE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u(?P<code>[0-9a-fA-F]{4})|(?P<char>.))")
_SIMPLE = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LITERALS = {b"t": ("true", True), b"f": ("false", False), b"n": ("null", None)}
_NESTS = (dict, list)
_APOSTROPHE = "'"


class JsonNumber(str):
    """A number as the client wrote it, for the errors that quote it."""

    __slots__ = ()

    def value(self) -> int | float:
        """An int if it is written as one and fits 64 bits, as orjson has it; else a float."""
        if len(self) <= 20 and not set(self) & set(".eE") and -(1 << 63) <= int(self) < 1 << 64:
            return int(self)
        return float(self)


def first_value(data: bytes) -> object:
    """The first JSON value of `data`; Invalid at the first syntax error.

    Numbers come as `JsonNumber`, or as an int where that says the same.
    """
    if not data.strip(b" \t\r\n"):
        raise Invalid("missing request body")
    if len(data) <= _LONG:
        return _JsonScanner(data).value(0)
    text = _SURROGATES.sub("\ufffd", data.decode("utf-8", "surrogateescape"))
    if "\\ud" in text or "\\uD" in text:
        text = _LONE.sub(lambda escape: "\\ufffd" if escape["lone"] else escape[0], text)
    try:
        value, _ = _DECODER.raw_decode(text.lstrip(" \t\r\n"))
    except json.JSONDecodeError as error:
        char = error.doc[error.pos : error.pos + 1]
        if not char or error.msg.startswith("Unterminated"):
            raise Invalid("unexpected EOF") from error
        raise Invalid(f"invalid character {quote(char, _APOSTROPHE)} in JSON") from error
    except RecursionError as error:
        raise _bottomless(data) from error
    if too_deep(value):
        raise _bottomless(data)
    return value


def too_deep(value: object) -> bool:
    """Is `value` nested beyond MAX_DEPTH?"""
    level: list[Any] = [value] if type(value) in _NESTS else []
    for _ in range(MAX_DEPTH):
        level = [
            child
            for nest in level
            for child in (nest.values() if type(nest) is dict else nest)
            if type(child) in _NESTS
        ]
    return bool(level)


def _bottomless(data: bytes) -> Invalid:
    """The error for a body that is nested too deeply; it names the outermost bracket.

    Go names the one at the limit, which the standard library does not report.
    """
    first = data.lstrip(b" \t\r\n")[:1].decode()
    return Invalid(f"invalid character '{first}' exceeded max depth")


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    members.clear()
    for key, value in pairs:
        members.pop(key, None)  # a repeated key moves to where it was last written
        members[key] = value
    return members


def _no_number(text: str) -> NoReturn:
    raise Invalid(f"invalid character '{text.lstrip('-')[0]}' looking for beginning of value")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_members,
    # Python is slow with long numbers, and Go quotes them in its errors as they were written.
    parse_int=lambda text: int(text) if len(text) < 19 else JsonNumber(text),
    parse_float=JsonNumber,
    parse_constant=_no_number,
)


class _JsonScanner:
    """A position in some bytes. Every method moves it past the bytes it has read."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def value(self, depth: int) -> object:
        """One value, `depth` levels down."""
        char = self._peek()
        if char in b"{[":
            if depth == MAX_DEPTH:
                self._fail("exceeded max depth")
            self._at += 1
            return self._object(depth) if char == b"{" else self._array(depth)
        if char == b'"':
            return self._string()
        if char in _LITERALS:
            word, value = _LITERALS[char]
            for letter in word:
                self._expect(letter.encode(), f"in literal {word} (expecting '{letter}')")
            return value
        if char in b"-0123456789":
            return self._number()
        self._fail("looking for beginning of value")

    def _object(self, depth: int) -> dict[str, object]:
        members: dict[str, object] = {}
        if self._peek() == b"}":
            self._at += 1
            return members
        while True:
            if self._peek() != b'"':
                self._fail("looking for beginning of object key string")
            key = self._string()
            self._peek()
            self._expect(b":", "after object key")
            value = self.value(depth + 1)
            members.pop(key, None)  # a repeated key moves to where it was last written
            members[key] = value
            self._peek()
            if self._expect(b",}", "after object key:value pair") == b"}":
                return members

    def _array(self, depth: int) -> list[object]:
        items: list[object] = []
        if self._peek() == b"]":
            self._at += 1
            return items
        while True:
            items.append(self.value(depth + 1))
            self._peek()
            if self._expect(b",]", "after array element") == b"]":
                return items

    def _string(self) -> str:
        self._at += 1
        start = self._at
        while True:
            self._skip(_UNESCAPED)
            if self._expect(b'"\\', "in string literal") == b'"':
                break
            if self._expect(b'bfnrtu\\/"', "in string escape code") == b"u":
                for _ in range(4):
                    self._expect(b"0123456789abcdefABCDEF", "in \\u hexadecimal character escape")
        raw = self._data[start : self._at - 1]
        text = _SURROGATES.sub("\ufffd", raw.decode("utf-8", "surrogateescape"))
        if "\\" not in text:
            return text
        text = _ESCAPE.sub(
            lambda escape: (
                chr(int(escape["code"], 16))
                if escape["code"]
                else _SIMPLE.get(escape["char"], escape["char"])
            ),
            text,
        )
        # By way of UTF-16, which joins the halves of a pair; a lone one becomes U+FFFD.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def _number(self) -> JsonNumber:
        start = self._at
        if self._next() == b"-":
            self._at += 1
        if self._expect(b"0123456789", "in numeric literal") != b"0":
            self._skip(_DIGITS)
        if self._next() == b".":
            self._at += 1
            self._digits("after decimal point in numeric literal")
        if self._next() in (b"e", b"E"):
            self._at += 1
            if self._next() in (b"+", b"-"):
                self._at += 1
            self._digits("in exponent of numeric literal")
        return JsonNumber(self._data[start : self._at].decode())

    def _digits(self, where: str) -> None:
        self._expect(b"0123456789", where)
        self._skip(_DIGITS)

    def _next(self) -> bytes:
        """The byte here, not read yet; nothing at the end."""
        return self._data[self._at : self._at + 1]

    def _peek(self) -> bytes:
        """The next byte that is not a space, not read yet; Invalid at the end."""
        self._skip(_SPACES)
        if self._at >= len(self._data):
            self._fail("")
        return self._next()

    def _expect(self, allowed: bytes, where: str) -> bytes:
        """Read one of the `allowed` bytes."""
        char = self._next()
        if not char or char not in allowed:
            self._fail(where)
        self._at += 1
        return char

    def _skip(self, pattern: re.Pattern[bytes]) -> None:
        match = pattern.match(self._data, self._at)
        self._at = match.end() if match else self._at

    def _fail(self, where: str) -> NoReturn:
        """Raise Invalid for the byte here, or for the end of the body."""
        char = self._next()
        if not char:
            raise Invalid("unexpected EOF")
        # Go reads bytes: the first one of a longer character is shown as if it were a character.
        raise Invalid(f"invalid character {quote(chr(char[0]), _APOSTROPHE)} {where}")
