"""Request bodies: bytes in, a checked dict out, refused in the words of Go's `encoding/json`.

Clients match on those words, so they are part of the protocol. Every request goes through here, and
nearly all are sound: those are read by orjson and checked in one pass that keeps no path. At the
first doubt the body is read again by `json_syntax`, which is some fifteen times slower and knows
where it is: that gives the exact error or, for what Go tolerates, the value.
"""

import binascii
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from gateway.errors import Invalid
from gateway.golang.json_syntax import MAX_DEPTH, JsonNumber, first_value, too_deep

# What is none of these is a number; null never comes to a check.
_KINDS = {str: "string", bool: "bool", list: "array", dict: "object"}
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/\r\n]")
_AFTER_LINES = re.compile(rb"[\r\n]*")


def unmarshal_error(value: object, go_type: str, *, field: str = "", exact: bool = False) -> str:
    """The sentence of Go's decoder for a JSON `value` that cannot become its type `go_type`.

    `field` is the place as Go writes it, `ChatRequest.options.seed`; empty for the body itself.
    `exact` quotes a number in full, as Go does where the number is no int.
    """
    kind = _KINDS.get(type(value), "number")
    if exact and kind == "number":
        kind = f"number {value}"
    target = f"struct field {field}" if field else "value"
    return f"json: cannot unmarshal {kind} into Go {target} of type {go_type}"


class JsonPath:
    """The path to a value in a request body, and the faults met so far.

    Go goes on after a value of a wrong type and reports the first one at the end, so faults are
    kept until the whole body is read. Values with a decoder of their own (`Own`, `Custom`) end the
    reading instead: their errors win over earlier ones.
    """

    def __init__(
        self, struct: str = "", path: str = "", faults: list[str] | None = None, fixed: bool = False
    ) -> None:
        self._struct = struct
        self._path = path
        self._faults: list[str] = [] if faults is None else faults
        self._fixed = fixed

    @property
    def path(self) -> str:
        """Names with dots between them; empty for the body itself."""
        return self._path

    def below(self, name: str) -> "JsonPath":
        """The path to the member `name` of an object for which Go has no struct of its own."""
        return self.inside(self._struct, name)

    def inside(self, struct: str, name: str) -> "JsonPath":
        """The path to the member `name` of a `struct` at this one."""
        path = f"{self._path}.{name}" if self._path else name
        return JsonPath(self._struct if self._fixed else struct, path, self._faults, self._fixed)

    def apart(self) -> "JsonPath":
        """The same path with faults of its own.

        Errors below it name the struct of this one: Go's inner decoder does not know its own.
        """
        return JsonPath(self._struct, self._path, fixed=True)

    def settle(self) -> None:
        """Raise Invalid with the first fault, if there was one."""
        if self._faults:
            raise Invalid(self._faults[0])

    def fault(self, text: str) -> None:
        if not self._faults:
            self._faults.append(text)

    def mismatch(self, value: object, wanted: str, *, exact: bool = False) -> None:
        """Note that `value` cannot become Go's type `wanted`; see `unmarshal_error`."""
        field = f"{self._struct}.{self._path}" if self._path else ""
        self.fault(unmarshal_error(value, wanted, field=field, exact=exact))

    def respelled(self) -> None:
        """Called for a member whose name came in another case.

        It may come twice then, which only the careful reading puts in the order Go would.
        """

    def free(self, value: object) -> Any:
        """A value of any shape, with Python's numbers in place of `JsonNumber`s."""
        if type(value) is dict:
            return {key: self.free(item) for key, item in value.items()}
        if type(value) is list:
            return [self.free(item) for item in value]
        if not isinstance(value, JsonNumber):
            return value
        number = value.value()
        if math.isinf(number):
            self.mismatch(value, "float64", exact=True)
        return number


class _Doubt(Exception):
    """Something in the body may be wrong."""


class _FastPath(JsonPath):
    """The path of the first pass, the same for all values: at the first fault that pass ends."""

    def fault(self, text: str) -> None:
        raise _Doubt

    def respelled(self) -> None:
        raise _Doubt

    def free(self, value: object) -> Any:
        return value


_FAST = _FastPath()


class JsonKind(ABC):
    """The values that a member may have."""

    go: str
    """Go's name for it."""
    plain: type | None = None
    """The Python type whose every value may pass as it is."""

    def zero(self) -> object:
        """Go's zero value, which a JSON null becomes inside a list or a map."""
        return None

    def accepts(self, value: object) -> bool:
        """Whether `value` certainly needs no `take`."""
        return False

    @abstractmethod
    def take(self, value: object, at: JsonPath) -> object:
        """The decoded `value`, which is not None. If it is wrong, `at` has the fault."""


class _Scalar(JsonKind):
    def __init__(self, go: str, zero: str | bool) -> None:
        self.go = go
        self.plain = type(zero)
        self._zero = zero

    def zero(self) -> object:
        return self._zero

    def take(self, value: object, at: JsonPath) -> object:
        if type(value) is self.plain:
            return value
        at.mismatch(value, self.go)
        return None


class _Int(JsonKind):
    go = "int"

    def zero(self) -> object:
        return 0

    def take(self, value: object, at: JsonPath) -> object:
        number = value.value() if isinstance(value, JsonNumber) else value
        # By type, here and below: to isinstance a bool is an int.
        if type(number) is int and -(1 << 63) <= number < 1 << 63:
            return number
        at.mismatch(value, self.go, exact=True)
        return None


class _Free(JsonKind):
    """Any JSON, unchecked inside; `only` is the one type the value itself may have."""

    def __init__(self, go: str, only: type | None = None) -> None:
        self.go = go
        self._only = only

    def take(self, value: object, at: JsonPath) -> object:
        if self._only is not None and type(value) is not self._only:
            at.mismatch(value, self.go)
            return None
        return at.free(value)


class _Image(JsonKind):
    """Bytes in standard base64, kept as text without the line breaks that Go allows in it."""

    go = "api.ImageData"

    def zero(self) -> object:
        return ""

    def take(self, value: object, at: JsonPath) -> object:
        if type(value) is not str:
            at.mismatch(value, self.go)
            return None
        # The C decoder is as strict as Go's but for line breaks, which it refuses.
        try:
            binascii.a2b_base64(value, strict_mode=True)
        except ValueError:
            position = _base64_fault(value.encode())
            if position is not None:
                at.fault(f"illegal base64 data at input byte {position}")
                return None
            return value.replace("\r", "").replace("\n", "")
        return value


class ListOf(JsonKind):
    """A list of one kind. `go` names the lists for which Go has a name."""

    def __init__(self, kind: JsonKind, go: str | None = None) -> None:
        self.go = go or f"[]{kind.go}"
        self._kind = kind

    def take(self, value: object, at: JsonPath) -> list[Any] | None:
        if type(value) is not list:
            at.mismatch(value, self.go)
            return None
        kind, plain = self._kind, self._kind.plain
        return [
            item if type(item) is plain else kind.zero() if item is None else kind.take(item, at)
            for item in value
        ]


class MapOf(JsonKind):
    """An object whose every member is of one kind, whatever its name."""

    def __init__(self, kind: JsonKind) -> None:
        self.go = f"map[string]{kind.go}"
        self._kind = kind

    def take(self, value: object, at: JsonPath) -> object:
        if type(value) is not dict:
            at.mismatch(value, self.go)
            return None
        kind = self._kind
        return {
            key: kind.zero() if item is None else kind.take(item, at) for key, item in value.items()
        }


class Custom(JsonKind):
    """The result of `parse` for any value; its Invalid ends the reading."""

    go = "interface {}"

    def __init__(self, parse: Callable[[object], object]) -> None:
        self._parse = parse

    def take(self, value: object, at: JsonPath) -> object:
        return self._parse(at.free(value))


class Own(JsonKind):
    """A kind that has a decoder of its own in Go: the first fault in it ends the reading.

    `refusal` is that decoder's error for anything but an object.
    """

    def __init__(self, kind: JsonKind, refusal: str | None = None) -> None:
        self.go = kind.go
        self.plain = kind.plain
        self._kind = kind
        self._refusal = refusal

    def zero(self) -> object:
        return self._kind.zero()

    def take(self, value: object, at: JsonPath) -> object:
        if self._refusal is not None and type(value) is not dict:
            raise Invalid(self._refusal)
        if at is _FAST:
            return self._kind.take(value, at)
        inner = at.apart()
        result = self._kind.take(value, inner)
        inner.settle()
        return result


class Struct(JsonKind):
    """An object with known members. Names match in any case; unknown members and nulls are dropped.

    The result has its members in the order of `fields`: Go writes them so into a model's prompt.
    """

    def __init__(self, name: str, fields: Mapping[str, JsonKind], *, go: str | None = None) -> None:
        self.name = name
        self.go = go or f"api.{name}"
        # By name, what `take` needs: a look-up and an unpacking are all that a member costs there.
        self._members = {
            name: (rank, name, kind, kind.plain) for rank, (name, kind) in enumerate(fields.items())
        }
        self._folded = {name.lower(): member for name, member in self._members.items()}

    def zero(self) -> object:
        return {}

    def take(self, value: object, at: JsonPath) -> dict[str, Any] | None:
        if type(value) is not dict:
            at.mismatch(value, self.go)
            return None
        members: dict[str, Any] = {}
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
            # Most members are strings and switches: checked here, they save a call each.
            if type(item) is plain:
                members[name] = item
            else:
                inside = at if at is _FAST else at.inside(self.name, name)
                members[name] = kind.take(item, inside)
        if in_order:
            return members
        return {name: members[name] for name in self._members if name in members}


STRING = _Scalar("string", "")
BOOL = _Scalar("bool", False)
INT = _Int()
ANY = _Free("interface {}")
MAP = _Free("map[string]interface {}", dict)
MAP_STRING = MapOf(STRING)
IMAGES = ListOf(_Image())


def decode_leniently(data: bytes) -> object:
    """The first JSON value of `data` as Go tolerates it, whatever follows it; Invalid if none."""
    return JsonPath().free(first_value(data))


def decode(data: bytes, struct: Struct) -> dict[str, Any]:
    """The first JSON value of `data`, which must be as `struct` says; Invalid with Go's words."""
    try:
        value = orjson.loads(data)
        # Counting brackets is cheap, and rules out nearly all that may be nested too deep.
        deep = data.count(b"[") + data.count(b"{") > MAX_DEPTH and too_deep(value)
        if value is not None and not deep:
            return struct.take(value, _FAST) or {}
    except (orjson.JSONDecodeError, _Doubt, Invalid):
        # An Invalid too is read again: the first fault met is not always the one that Go reports.
        pass
    value = first_value(data)
    if value is None:
        return {}
    top = JsonPath()
    members = struct.take(value, top)
    top.settle()
    return members or {}


def _base64_fault(data: bytes) -> int | None:
    """The offset where Go's decoder gives up on `data`; None if it does not.

    Go skips line breaks, and reports the start of an incomplete group of four at the end.
    """
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
