"""The values a template works on, beyond Python's own, and what an error is.

Go's nil is None. bool, int, float, str, list or tuple, and dict with string keys stand for the
Go kinds of the same shape; a dict is a map and is walked in the order of its keys.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, final


class TemplateError(Exception):
    """A template that cannot be parsed or executed; the message is in Go's words."""


@final
class Missing:
    """The type of MISSING."""

    def __repr__(self) -> str:
        return "<no value>"

    def __bool__(self) -> bool:
        return False


# What a map gives for a key it lacks: a nil of interface type. Prints `<no value>`, is false,
# may be compared with anything; a field of it is an error.
MISSING: Final = Missing()


class Struct:
    """Base of Go structs: a fixed set of fields, always true, unknown fields are errors."""

    go_type: ClassVar[str] = "struct"

    @property
    def fields(self) -> Mapping[str, Any]:
        """The exported fields by their Go names, in Go's order."""
        raise NotImplementedError

    def text(self) -> str | None:
        """What its String method returns; None for a struct without one."""
        return None

    def plain(self) -> Any:
        """What a JSON encoder should see."""
        return dict(self.fields)


class Listing(list[Any]):
    """A list that has a String method."""

    go_type: ClassVar[str] = "[]interface {}"

    def text(self) -> str:
        """What the String method returns."""
        raise NotImplementedError

    def plain(self) -> Any:
        """What a JSON encoder should see."""
        return list(self)


class Fields(dict[str, Any]):
    """A map that has a String method."""

    go_type: ClassVar[str] = "map[string]interface {}"

    def text(self) -> str:
        """What the String method returns."""
        raise NotImplementedError

    def plain(self) -> Any:
        """What a JSON encoder should see."""
        return dict(sorted(self.items()))


def text_of(value: Any) -> str | None:
    """What the value's String method returns; None where it has none."""
    return value.text() if isinstance(value, Struct | Listing | Fields) else None


def type_name(value: Any) -> str:
    """The Go type of a value, for errors and `%T`."""
    match value:
        case None:
            return "<nil>"
        case Missing():
            return "interface {}"
        case Struct() | Listing() | Fields():
            return value.go_type
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float64"
        case complex():
            return "complex128"
        case str():
            return "string"
        case bytes():
            return "[]uint8"
        case list() | tuple():
            return "[]interface {}"
        case Mapping():
            return "map[string]interface {}"
    return "func()" if callable(value) else type(value).__name__


def truth(value: Any) -> bool:
    """Whether `if` takes the value for true: not zero, not empty, not nil. Structs always are."""
    if isinstance(value, Struct):
        return True
    return bool(value)


def octets(text: str) -> bytes:
    """The UTF-8 bytes of a string; half characters left by `slice` come back."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def from_octets(data: bytes) -> str:
    """The string of some bytes, whole characters or not; `octets` undoes it."""
    return data.decode("utf-8", "surrogateescape")
