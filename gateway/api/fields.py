"""Typed requests: a frozen dataclass whose fields say what each field of the JSON may hold.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class PingRequest:
        model: str = json_field(STRING, "required; a name in the library", default="")
        stream: bool = json_field(BOOL, "events instead of one object", default=True)

    PING = RequestTable(PingRequest, "PingRequest", go="api.PingRequest")
    request = PING.decode(b'{"model": "m"}')

The class is the table: bodies are decoded by it, and the reference pages are checked against it.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from gateway.errors import Invalid
from gateway.golang.json_decode import JsonKind, Struct, decode

_METADATA = "json"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a request: its name in JSON, what it may hold, and what happens to it."""

    name: str
    kind: JsonKind
    doc: str
    """The line of the reference page, in Markdown."""
    refused: bool = False
    """Whether anything but null, false and an empty value is refused by name; `doc` says why."""


def json_field(
    kind: JsonKind,
    doc: str = "",
    *,
    default: Any = MISSING,
    default_factory: Any = MISSING,
    name: str = "",
    refused: bool = False,
) -> Any:
    """A field of a request class. `name`: in JSON, where that is no attribute's name here.

    The default stands for a field that is missing or null.
    """
    metadata = {_METADATA: (name, kind, doc, refused)}
    if default_factory is not MISSING:
        return field(default_factory=default_factory, metadata=metadata)
    return field(default=default, metadata=metadata)


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


RequestT = TypeVar("RequestT", bound=_Dataclass)


class RequestTable(Generic[RequestT]):
    """Reads JSON bodies as instances of a request class.

    `go` is Ollama's own name for the type, which its errors spell out.
    """

    def __init__(self, cls: type[RequestT], struct: str, *, go: str | None = None) -> None:
        self._cls = cls
        self._attributes: dict[str, str] = {}
        table: dict[str, Field] = {}
        for one in fields(cls):
            if _METADATA in one.metadata:
                name, kind, doc, refused = one.metadata[_METADATA]
                name = name or one.name
                table[name] = Field(name, kind, doc, refused)
                self._attributes[name] = one.name
        self.fields: Mapping[str, Field] = table
        """By their names in JSON."""
        self.struct = Struct(struct, {name: one.kind for name, one in table.items()}, go=go)

    def decode(self, data: bytes) -> RequestT:
        """The request of a body; Invalid, in the words of Go's decoder, for what cannot be one."""
        values = decode(data, self.struct)
        names = self._attributes
        return self._cls(**{names[name]: value for name, value in values.items()})

    def refuse(self, values: Mapping[str, object], message: str) -> None:
        """Invalid for a refused field that holds something; `message` has its name and reason."""
        for name, one in self.fields.items():
            if one.refused and values.get(name):
                raise Invalid(message.format(name=name, why=one.doc))
