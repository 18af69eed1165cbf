"""The tools of a request as templates see them: Ollama's structs, whatever else a schema says."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gateway.golang.template import Fields, Listing, Struct
from gateway.templates.encode import encoded


class Kinds(Listing):
    """The types of a property; a single one is not shown as a list."""

    go_type = "api.PropertyType"

    def text(self) -> str:
        return self[0] if len(self) == 1 else f"[{' '.join(self)}]" if self else ""

    def plain(self) -> Any:
        return self[0] if len(self) == 1 else list(self)


class Properties(Fields):
    """The parameters of a tool, by name."""

    go_type = "template.templateProperties"

    def text(self) -> str:
        return encoded(dict(self))


class InnerProperties(Properties):
    """The properties of a parameter. Unlike those of a tool they keep their order in JSON."""

    go_type = "*api.ToolPropertiesMap"

    def text(self) -> str:
        return encoded(self)

    def plain(self) -> Any:
        return dict(self)


@dataclass(frozen=True)
class Property(Struct):
    """One parameter of a tool, or a part of one."""

    go_type = "api.ToolProperty"

    kinds: Kinds
    any_of: tuple["Property", ...]
    items: Any
    description: str
    enum: tuple[Any, ...]
    properties: InnerProperties | None
    required: tuple[str, ...]

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        return {
            "AnyOf": self.any_of,
            "Type": self.kinds,
            "Items": self.items,
            "Description": self.description,
            "Enum": self.enum,
            "Properties": self.properties,
            "Required": self.required,
        }

    def plain(self) -> Any:
        members = {
            "anyOf": self.any_of,
            "type": self.kinds,
            "items": self.items,
            "description": self.description,
            "enum": self.enum,
            "properties": self.properties,
            "required": self.required,
        }
        return {key: value for key, value in members.items() if _given(value)}


@dataclass(frozen=True)
class Parameters(Struct):
    """What a tool takes."""

    go_type = "template.templateToolFunctionParameters"

    kind: str
    definitions: Any
    items: Any
    required: tuple[str, ...]
    properties: Properties | None

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        return {
            "Type": self.kind,
            "Defs": self.definitions,
            "Items": self.items,
            "Required": self.required,
            # a nil map in Go, which prints like an empty one
            "Properties": Properties() if self.properties is None else self.properties,
        }

    def plain(self) -> Any:
        members = {"$defs": self.definitions, "items": self.items, "required": self.required}
        given = {key: value for key, value in members.items() if _given(value)}
        return {"type": self.kind, **given, "properties": self.properties}


@dataclass(frozen=True)
class Function(Struct):
    """What a tool is called, and with what."""

    go_type = "template.templateToolFunction"

    name: str
    description: str
    parameters: Parameters

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        return {
            "Name": self.name,
            "Description": self.description,
            "Parameters": self.parameters,
        }

    def plain(self) -> Any:
        members = {"name": self.name, "description": self.description}
        return members | {"parameters": self.parameters}


@dataclass(frozen=True)
class Tool(Struct):
    """A tool; prints as JSON."""

    go_type = "template.templateTool"

    kind: str
    items: Any
    function: Function

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        return {"Type": self.kind, "Items": self.items, "Function": self.function}

    def text(self) -> str:
        return encoded(self)

    def plain(self) -> Any:
        items = {} if self.items is None else {"items": self.items}
        return {"type": self.kind, **items, "function": self.function}


class Tools(Listing):
    """`.Tools`; no tools at all are a nil list, which prints as JSON does."""

    go_type = "template.templateTools"

    def text(self) -> str:
        return encoded(self)

    def plain(self) -> Any:
        return list(self) or None


def tools_of(tools: Sequence[Mapping[str, Any]]) -> Tools:
    """The tools of a request in the engine's form; what templates have no name for is left out."""
    return Tools(
        Tool(_text(tool.get("type")), floats(tool.get("items")), _function(tool.get("function")))
        for tool in tools
    )


def floats(value: Any) -> Any:
    """A value from JSON with its numbers as Go has them, as floats; but none loses a digit."""
    match value:
        case bool():
            return value
        case int():
            return float(value) if abs(value) <= 2**53 else value
        case Mapping():
            return {key: floats(item) for key, item in value.items()}
        case list() | tuple():
            return [floats(item) for item in value]
    return value


def _function(value: Any) -> Function:
    given = _mapping(value)
    return Function(
        _text(given.get("name")),
        _text(given.get("description")),
        _parameters(given.get("parameters")),
    )


def _parameters(value: Any) -> Parameters:
    given = _mapping(value)
    properties = given.get("properties")
    return Parameters(
        kind=_text(given.get("type")),
        definitions=floats(given.get("$defs")),
        items=floats(given.get("items")),
        required=_texts(given.get("required")),
        properties=Properties(_properties(properties)) if isinstance(properties, Mapping) else None,
    )


def _properties(given: Mapping[str, Any]) -> Iterable[tuple[str, Property]]:
    return ((name, _property(value)) for name, value in given.items())


def _property(value: Any) -> Property:
    given = _mapping(value)
    kinds, inner = given.get("type"), given.get("properties")
    return Property(
        kinds=Kinds([kinds] if isinstance(kinds, str) else _texts(kinds)),
        any_of=tuple(_property(one) for one in _list(given.get("anyOf"))),
        items=floats(given.get("items")),
        description=_text(given.get("description")),
        enum=tuple(floats(_list(given.get("enum")))),
        properties=InnerProperties(_properties(inner)) if isinstance(inner, Mapping) else None,
        required=_texts(given.get("required")),
    )


def _given(value: Any) -> bool:
    """What Go's `omitempty` keeps of these fields; an empty object is something."""
    return value is not None and value not in ("", (), [])


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(one for one in _list(value) if isinstance(one, str))
