"""Request bodies: bytes in, a checked dict out, refused in the words of Go's `encoding/json`.

Clients match on those words, so they are part of the protocol. A sound body is read by orjson and
checked at a glance. Anything the glance stumbles over is read again by `syntax`, which knows where
it is: that gives the exact error or, for what Go tolerates, the value.
"""

import binascii
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from gateway.errors import Invalid
from gateway.golang.json_syntax import Number, first_value, too_deep

_KINDS = {str: "string", bool: "bool", list: "array", dict: "object"}
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/\r\n]")
_AFTER_LINES = re.compile(rb"[\r\n]*")


class Place:
    """Where in a request we are, and what was wrong on the way there.

    A plain fault is kept until the whole body is read, and the first one is reported. Values with a
    decoder of their own (`Own`, `Custom`) interrupt the reading instead: their errors win.
    """

    def __init__(
        self, struct: str = "", path: str = "", faults: list[str] | None = None, fixed: bool = False
    ) -> None:
        self._struct = struct
        self._path = path
        self._faults: list[str] = [] if faults is None else faults
        self._fixed = fixed

    def inside(self, struct: str, name: str) -> "Place":
        """The member `name` of a `struct` that stands here."""
        path = f"{self._path}.{name}" if self._path else name
        return Place(self._struct if self._fixed else struct, path, self._faults, self._fixed)

    def apart(self) -> "Place":
        """The same place with faults of its own; structs below it go by the name of this one."""
        return Place(self._struct, self._path, fixed=True)

    def settle(self) -> None:
        """Raise the first fault noted, if any."""
        if self._faults:
            raise Invalid(self._faults[0])

    def fault(self, text: str) -> None:
        """Note what is wrong here, if it is the first thing."""
        if not self._faults:
            self._faults.append(text)

    def mismatch(self, value: Any, wanted: str, *, exact: bool = False) -> None:
        """Note that `value` cannot become Go's type `wanted`; `exact` quotes a number in full."""
        if self._faults:
            return
        kind = _KINDS.get(type(value), "number")
        if exact and isinstance(value, Number):
            kind = f"number {value}"
        target = f"struct field {self._struct}.{self._path}" if self._path else "value"
        self.fault(f"json: cannot unmarshal {kind} into Go {target} of type {wanted}")

    def respelled(self) -> None:
        """A member's name came in another case; it may come again, and then the last one wins."""

    def free(self, value: Any) -> Any:
        """A value of any shape, its numbers as Python has them."""
        if type(value) is dict:
            return {key: self.free(item) for key, item in value.items()}
        if type(value) is list:
            return [self.free(item) for item in value]
        if not isinstance(value, Number):
            return value
        number = value.value()
        if math.isinf(number):
            self.mismatch(value, "float64", exact=True)
        return number


class _LookCloser(Exception):
    """The glance saw something that may be wrong."""


class _Glance(Place):
    """The place of everything in a body that is right: no path, and the first fault is the end."""

    def fault(self, text: str) -> None:
        raise _LookCloser

    def respelled(self) -> None:
        raise _LookCloser

    def free(self, value: Any) -> Any:
        return value


_GLANCE = _Glance()


class Kind(ABC):
    """What a member may hold."""

    go: str
    """Go's name for it."""
    plain: type | None = None
    """The Python type whose every value may pass as it is."""

    def zero(self) -> Any:
        """What a JSON null becomes inside a list or a map."""
        return None

    @abstractmethod
    def take(self, value: Any, at: Place) -> Any:
        """The value decoded; it is never None. What is wrong with it is noted in `at`."""


class _Scalar(Kind):
    def __init__(self, go: str, zero: str | bool) -> None:
        self.go = go
        self.plain = type(zero)
        self._zero = zero

    def zero(self) -> Any:
        return self._zero

    def take(self, value: Any, at: Place) -> Any:
        return value if type(value) is self.plain else at.mismatch(value, self.go)


class _Int(Kind):
    go = "int"

    def zero(self) -> Any:
        return 0

    def take(self, value: Any, at: Place) -> Any:
        number = value.value() if isinstance(value, Number) else value
        if type(number) is int and -(1 << 63) <= number < 1 << 63:
            return number
        return at.mismatch(value, self.go, exact=True)


class _Free(Kind):
    """What is inside is not looked at; `only` restricts the outside."""

    def __init__(self, go: str, only: type | None = None) -> None:
        self.go = go
        self._only = only

    def take(self, value: Any, at: Place) -> Any:
        if self._only is not None and type(value) is not self._only:
            return at.mismatch(value, self.go)
        return at.free(value)


class _Image(Kind):
    """Bytes in standard base64, kept as text without the line breaks that Go allows in it."""

    go = "api.ImageData"

    def zero(self) -> Any:
        return ""

    def take(self, value: Any, at: Place) -> Any:
        if type(value) is not str:
            return at.mismatch(value, self.go)
        try:
            binascii.a2b_base64(value, strict_mode=True)
        except ValueError:
            wrong = _base64_fault(value.encode())
            if wrong is not None:
                return at.fault(f"illegal base64 data at input byte {wrong}")
            return value.replace("\r", "").replace("\n", "")
        return value


class ListOf(Kind):
    """A list of one kind. `go` names the lists for which Go has a name."""

    def __init__(self, kind: Kind, go: str | None = None) -> None:
        self.go = go or f"[]{kind.go}"
        self._kind = kind

    def take(self, value: Any, at: Place) -> Any:
        if type(value) is not list:
            return at.mismatch(value, self.go)
        kind, plain = self._kind, self._kind.plain
        return [
            item if type(item) is plain else kind.zero() if item is None else kind.take(item, at)
            for item in value
        ]


class MapOf(Kind):
    """An object whose every member is of one kind, whatever its name."""

    def __init__(self, kind: Kind) -> None:
        self.go = f"map[string]{kind.go}"
        self._kind = kind

    def take(self, value: Any, at: Place) -> Any:
        if type(value) is not dict:
            return at.mismatch(value, self.go)
        kind = self._kind
        return {
            key: kind.zero() if item is None else kind.take(item, at) for key, item in value.items()
        }


class Custom(Kind):
    """What `parse` makes of any value; its Invalid interrupts the reading."""

    go = "interface {}"

    def __init__(self, parse: Callable[[Any], Any]) -> None:
        self._parse = parse

    def take(self, value: Any, at: Place) -> Any:
        return self._parse(at.free(value))


class Own(Kind):
    """A kind that has a decoder of its own in Go: the first fault in it interrupts the reading.

    `refusal` is what that decoder says to anything but an object.
    """

    def __init__(self, kind: Kind, refusal: str | None = None) -> None:
        self.go = kind.go
        self.plain = kind.plain
        self._kind = kind
        self._refusal = refusal

    def zero(self) -> Any:
        return self._kind.zero()

    def take(self, value: Any, at: Place) -> Any:
        if self._refusal is not None and type(value) is not dict:
            raise Invalid(self._refusal)
        if at is _GLANCE:
            return self._kind.take(value, at)
        inner = at.apart()
        result = self._kind.take(value, inner)
        inner.settle()
        return result


class Struct(Kind):
    """An object with known members. Names match in any case; unknown members and nulls are dropped.

    The result has its members in the order of `fields`: Go writes them so into a model's prompt.
    """

    def __init__(self, name: str, fields: Mapping[str, Kind], *, go: str | None = None) -> None:
        self.name = name
        self.go = go or f"api.{name}"
        self._members = {
            name: (rank, name, kind, kind.plain) for rank, (name, kind) in enumerate(fields.items())
        }
        self._folded = {name.lower(): member for name, member in self._members.items()}

    def zero(self) -> Any:
        return {}

    def take(self, value: Any, at: Place) -> Any:
        if type(value) is not dict:
            return at.mismatch(value, self.go)
        found: dict[str, Any] = {}
        last, in_order = -1, True
        for key, item in value.items():
            member = self._members.get(key)
            if member is None:
                member = self._folded.get(key.lower())
                if member is None:
                    continue
                at.respelled()
            if item is None:
                continue
            rank, name, kind, plain = member
            if rank < last:
                in_order = False
            last = rank
            if type(item) is plain:
                found[name] = item
            else:
                inside = at if at is _GLANCE else at.inside(self.name, name)
                found[name] = kind.take(item, inside)
        return found if in_order else {name: found[name] for name in self._members if name in found}


STRING = _Scalar("string", "")
BOOL = _Scalar("bool", False)
INT = _Int()
ANY = _Free("interface {}")
MAP = _Free("map[string]interface {}", dict)
MAP_STRING = MapOf(STRING)
IMAGES = ListOf(_Image())


def decode(data: bytes, struct: Struct) -> dict[str, Any]:
    """The first JSON value of `data`, which must be as `struct` says; Invalid with Go's words."""
    try:
        value = orjson.loads(data)
        if value is not None and not too_deep(data, value):
            found: dict[str, Any] = struct.take(value, _GLANCE)
            return found
    except (orjson.JSONDecodeError, _LookCloser, Invalid):
        pass  # what we met first is not always what Go reports
    return _decode_slowly(data, struct)


def _decode_slowly(data: bytes, struct: Struct) -> dict[str, Any]:
    value = first_value(data)
    if value is None:
        return {}
    top = Place()
    found: dict[str, Any] = struct.take(value, top)
    top.settle()
    return found


def _base64_fault(data: bytes) -> int | None:
    """Where Go's decoder gives up on `data`; None if it does not. Line breaks do not count."""
    match = _NOT_BASE64.search(data)
    at = match.start() if match else len(data)
    symbols = (at - data.count(b"\n", 0, at) - data.count(b"\r", 0, at)) % 4
    if match is None:
        return at - symbols if symbols else None
    if match[0] != b"=" or symbols < 2:
        return at
    end = _past_lines(data, at + 1)
    if symbols == 2:  # a second "=" has to follow
        if end == len(data):
            return end
        if data[end : end + 1] != b"=":
            return end - 1
        end = _past_lines(data, end + 1)
    return end if end < len(data) else None


def _past_lines(data: bytes, start: int) -> int:
    match = _AFTER_LINES.match(data, start)
    return match.end() if match else start
