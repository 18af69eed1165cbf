r"""Go's values as Python's: what the template language, `fmt` and the JSON encoder work on.

Go's nil is None. bool, int, float, str, list or tuple, and dict with string keys stand for the
Go kinds of the same shape; a dict is a map and is walked in the order of its keys. Go's strings
are bytes: one that was cut inside a character holds the odd bytes as lone surrogates.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, final


class TemplateError(Exception):
    """A template that cannot be parsed or executed; the message is in Go's words."""


@final
class MissingValue:
    """The type of MISSING."""

    def __repr__(self) -> str:
        return "<no value>"

    def __bool__(self) -> bool:
        return False


# What a map gives for a key it lacks: a nil of interface type. Prints `<no value>`, is false,
# may be compared with anything; a field of it is an error.
MISSING: Final = MissingValue()


class GoStruct:
    """Base of Go structs: a fixed set of fields, always true, unknown fields are errors."""

    go_type: ClassVar[str] = "struct"

    @property
    def fields(self) -> Mapping[str, object]:
        """The exported fields by their Go names, in Go's order."""
        raise NotImplementedError

    def text(self) -> str | None:
        """The result of its String method; None for a struct without one."""
        return None

    def plain(self) -> object:
        """The value that a JSON encoder should write instead."""
        return dict(self.fields)


class GoList(list[Any]):
    """A list that has a String method."""

    go_type: ClassVar[str] = "[]interface {}"

    def text(self) -> str:
        """The result of the String method."""
        raise NotImplementedError

    def plain(self) -> object:
        """The value that a JSON encoder should write instead."""
        return list(self)


class GoMap(dict[str, Any]):
    """A map that has a String method."""

    go_type: ClassVar[str] = "map[string]interface {}"

    def text(self) -> str:
        """The result of the String method."""
        raise NotImplementedError

    def plain(self) -> object:
        """The value that a JSON encoder should write instead."""
        return dict(sorted(self.items()))


def string_method(value: object) -> str | None:
    """The result of the value's String method; None where it has none."""
    return value.text() if isinstance(value, GoStruct | GoList | GoMap) else None


def type_name(value: object) -> str:
    """The Go type of a value, for errors and `%T`."""
    match value:
        case None:
            return "<nil>"
        case MissingValue():
            return "interface {}"
        case GoStruct() | GoList() | GoMap():
            return value.go_type
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float64"
        case str():
            return "string"
        case bytes():
            return "[]uint8"
        case list() | tuple():
            return "[]interface {}"
        case Mapping():
            return "map[string]interface {}"
    return type(value).__name__


def truth(value: object) -> bool:
    """Whether `if` takes the value for true: not zero, not empty, not nil. Structs always are."""
    return isinstance(value, GoStruct) or bool(value)


def utf8(text: str) -> bytes:
    """The UTF-8 bytes of a string; half characters left by `slice` come back."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Surrogates that no cut has left: JSON may escape them, in pairs or alone.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def from_utf8(data: bytes) -> str:
    """The string of some bytes, whole characters or not; `utf8` undoes it."""
    return data.decode("utf-8", "surrogateescape")
