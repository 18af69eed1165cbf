"""Typed requests: a frozen dataclass whose fields say what each field of the JSON may hold.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class PingRequest:
        model: str = json_field(STRING, "required; a name in the library", default="")
        stream: bool = json_field(BOOL, "events instead of one object", default=True)

    PING = RequestTable(PingRequest, "PingRequest")
    request = PING.decode(b'{"model": "m"}')

The class is the table: bodies are decoded by it, and the reference pages are checked against it.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

import orjson

from gateway.errors import Invalid
from gateway.golang.json_decode import (
    JsonKind,
    JsonPath,
    Struct,
    decode,
    decode_leniently,
    unmarshal_error,
)

_METADATA = "json"


@dataclass(frozen=True, slots=True)
class RequestField:
    """A field of a request: its name in JSON, what it may hold, and what happens to it."""

    name: str
    kind: JsonKind
    doc: str
    """The line of the reference page, in Markdown."""
    refused: bool = False
    """Whether anything but null, false and an empty value is refused by name; `doc` says why."""
    passed_on: bool = False
    """Whether the engine gets it as it came."""


def json_field(
    kind: JsonKind,
    doc: str = "",
    *,
    default: Any = MISSING,
    default_factory: Any = MISSING,
    name: str = "",
    refused: bool = False,
    passed_on: bool = False,
) -> Any:
    """A field of a request class. `name`: in JSON, where that is no attribute's name here.

    The default stands for a field that is missing or null.
    """
    metadata = {_METADATA: (name, kind, doc, refused, passed_on)}
    if default_factory is not MISSING:
        return field(default_factory=default_factory, metadata=metadata)
    return field(default=default, metadata=metadata)


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


RequestT = TypeVar("RequestT", bound=_Dataclass)


def _fields_of(cls: type[_Dataclass]) -> Mapping[str, tuple[str, RequestField]]:
    """The fields of a request class by their names in JSON, each with its attribute's name."""
    table: dict[str, tuple[str, RequestField]] = {}
    # All that were declared: `fields` leaves class variables out.
    for one in cls.__dataclass_fields__.values():
        if _METADATA in one.metadata:
            name, *rest = one.metadata[_METADATA]
            name = name or one.name
            table[name] = one.name, RequestField(name, *rest)
    return table


class RequestTable(Generic[RequestT]):
    """Reads JSON bodies as instances of a request class, as Go reads them.

    Names match in any case, and unknown fields are dropped; `unknown` is the attribute that gets
    their names, if there is one. A class variable is a field that is checked and then dropped, for
    nothing depends on it. `go` is Ollama's own name for the type, which its errors spell out.
    """

    def __init__(
        self, cls: type[RequestT], struct: str, *, go: str | None = None, unknown: str = ""
    ) -> None:
        table = _fields_of(cls)
        self._cls = cls
        attributes = {one.name for one in fields(cls)}
        self._attributes = {name: attr for name, (attr, _) in table.items() if attr in attributes}
        self.fields = {name: one for name, (_, one) in table.items()}
        """By their names in JSON."""
        kinds = {name: one.kind for name, one in self.fields.items()}
        if unknown:
            self._attributes[_UNKNOWN] = unknown
        self.struct = (_NotingStruct if unknown else Struct)(struct, kinds, go=go)

    def decode(self, data: bytes) -> RequestT:
        """The request of a body; Invalid, in the words of Go's decoder, for what cannot be one."""
        values = decode(data, self.struct)
        names = self._attributes
        return self._cls(**{names[name]: value for name, value in values.items() if name in names})


_UNKNOWN = ""
"""No field can have this name, for there is no attribute of it."""


class _NotingStruct(Struct):
    """A struct whose result has the names of the fields that it dropped, under `_UNKNOWN`."""

    def __init__(self, name: str, fields: Mapping[str, JsonKind], *, go: str | None = None) -> None:
        super().__init__(name, fields, go=go)
        self._known = frozenset(fields)

    def take(self, value: object, at: JsonPath) -> dict[str, Any] | None:
        members = super().take(value, at)
        if members is not None and isinstance(value, dict) and not value.keys() <= self._known:
            unknown = tuple(name for name in value if name.lower() not in self._known)
            members[_UNKNOWN] = unknown
        return members


class OpenRequestTable(Generic[RequestT]):
    """Reads JSON bodies whose other fields belong to the engine.

    What the table does not name, and what it
    passes on, is in the request's `extra`. The first field of a wrong type, in the body's order,
    is refused. `struct` is Ollama's name for the type.
    """

    def __init__(self, cls: type[RequestT], struct: str) -> None:
        self._cls = cls
        self._struct = struct
        self._table = _fields_of(cls)
        self.fields = {name: one for name, (_, one) in self._table.items()}

    def decode(self, data: bytes) -> RequestT:
        """The request of a body that is not empty; Invalid for what cannot be one."""
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError:
            # Go's decoder takes some of what orjson refuses, and has its own words for the rest.
            body = decode_leniently(data)
        if body is None:
            body = {}
        if not isinstance(body, dict):
            raise Invalid(unmarshal_error(body, f"openai.{self._struct}"))
        return self.read(body)

    def read(self, body: Mapping[str, object]) -> RequestT:
        """The request of a decoded body."""
        extra: dict[str, object] = {}
        values: dict[str, Any] = {"extra": extra}
        for name, value in body.items():
            if value is None:
                continue
            # Exactly by its name, for the engine will see it so.
            known = self._table.get(name)
            if known is None:
                extra[name] = value
                continue
            attribute, one = known
            # Nearly every value has the plain type, which takes no call to see.
            if not (type(value) is one.kind.plain or one.kind.accepts(value)):
                path = JsonPath().inside(self._struct, name)
                one.kind.take(value, path)
                path.settle()
            values[attribute] = value
            if one.passed_on:
                extra[name] = value
        return self._cls(**values)


class NumberKind(JsonKind):
    """An integer or a fraction."""

    go = "float64"

    def take(self, value: object, at: JsonPath) -> object:
        number = at.free(value)
        # By type: to isinstance a bool is an int.
        if type(number) in (int, float):
            return number
        at.mismatch(value, self.go)
        return None


class ObjectKind(JsonKind):
    """An object whose fields are checked where they are used. `go`: Ollama's name for the type."""

    def __init__(self, go: str) -> None:
        self.go = go

    def zero(self) -> object:
        return {}

    def take(self, value: object, at: JsonPath) -> object:
        if type(value) is dict:
            return at.free(value)
        at.mismatch(value, self.go)
        return None


PlainType = Literal["boolean", "integer", "number", "string", "object", "array", "any"]
_PYTHON_TYPES: Mapping[PlainType, type] = {
    "boolean": bool,
    "string": str,
    "object": dict,
    "array": list,
}
_INT64 = 1 << 63


class PlainKind(JsonKind):
    """A field whose type alone is checked; its value stays as it came.

    A mismatch is reported in Go's words where Ollama has the field and so a type for it, `go`;
    else in our own. `inner`: what the fields of an object may hold.
    """

    def __init__(
        self,
        name: PlainType,
        go: str = "",
        inner: "Mapping[str, PlainKind] | None" = None,
    ) -> None:
        self.go = go
        self.plain = None if inner else _PYTHON_TYPES.get(name)
        self._name = name
        self._inner = inner or {}

    def take(self, value: object, at: JsonPath) -> object:
        if not self._has_type(value):
            if self.go:
                at.mismatch(value, self.go, exact=self.go == "int")
            else:
                article = "an" if self._name[0] in "aio" else "a"
                at.fault(f"'{at.path}' must be {article} {self._name}")
        elif isinstance(value, dict):
            for name, kind in self._inner.items():
                if (item := value.get(name)) is not None:
                    kind.take(item, at.below(name))
        return value

    def accepts(self, value: object) -> bool:
        if not self._has_type(value):
            return False
        if not self._inner or not isinstance(value, dict):
            return True
        return all(
            value.get(name) is None or kind.accepts(value[name])
            for name, kind in self._inner.items()
        )

    def _has_type(self, value: object) -> bool:
        if self._name == "any":
            return True
        if (wanted := _PYTHON_TYPES.get(self._name)) is not None:
            return isinstance(value, wanted)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self._name == "number" or (value % 1 == 0 and -_INT64 <= value < _INT64)
