"""The tools of a request as templates see them: Ollama's structs, with its fields alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gateway.golang.json_encode import marshal
from gateway.golang.template import GoList, GoMap, GoStruct

_TYPESCRIPT = {
    "string": "string",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "array": "any[]",
    "object": "Record<string, any>",
    "null": "null",
}


class PropertyTypes(GoList):
    """The types of a property; a single one is not shown as a list."""

    go_type = "api.PropertyType"

    def text(self) -> str:
        return self[0] if len(self) == 1 else f"[{' '.join(self)}]" if self else ""

    def plain(self) -> object:
        return self[0] if len(self) == 1 else list(self)


class ToolProperties(GoMap):
    """The parameters of a tool, by name."""

    go_type = "template.templateProperties"

    def text(self) -> str:
        return marshal(dict(self))


class InnerProperties(ToolProperties):
    """The properties of a parameter. Unlike those of a tool they keep their order in JSON."""

    go_type = "*api.ToolPropertiesMap"

    def text(self) -> str:
        return marshal(self)

    def plain(self) -> object:
        return dict(self)


@dataclass(frozen=True)
class ToolProperty(GoStruct):
    """One parameter of a tool, or a part of one."""

    go_type = "api.ToolProperty"

    kinds: PropertyTypes
    any_of: tuple["ToolProperty", ...]
    items: object
    description: str
    enum: tuple[object, ...]
    properties: InnerProperties | None
    required: tuple[str, ...]

    @cached_property
    def fields(self) -> Mapping[str, object]:
        return {
            "AnyOf": self.any_of,
            "Type": self.kinds,
            "Items": self.items,
            "Description": self.description,
            "Enum": self.enum,
            "Properties": self.properties,
            "Required": self.required,
        }

    def plain(self) -> object:
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
class ToolParameters(GoStruct):
    go_type = "template.templateToolFunctionParameters"

    kind: str
    definitions: object
    items: object
    required: tuple[str, ...]
    properties: ToolProperties | None

    @cached_property
    def fields(self) -> Mapping[str, object]:
        return {
            "Type": self.kind,
            "Defs": self.definitions,
            "Items": self.items,
            "Required": self.required,
            # a nil map in Go, which prints like an empty one
            "Properties": ToolProperties() if self.properties is None else self.properties,
        }

    def plain(self) -> object:
        members = {"$defs": self.definitions, "items": self.items, "required": self.required}
        given = {key: value for key, value in members.items() if _given(value)}
        return {"type": self.kind, **given, "properties": self.properties}


@dataclass(frozen=True)
class ToolFunction(GoStruct):
    go_type = "template.templateToolFunction"

    name: str
    description: str
    parameters: ToolParameters

    @cached_property
    def fields(self) -> Mapping[str, object]:
        return {
            "Name": self.name,
            "Description": self.description,
            "Parameters": self.parameters,
        }

    def plain(self) -> object:
        members = {"name": self.name, "description": self.description}
        return members | {"parameters": self.parameters}


@dataclass(frozen=True)
class TemplateTool(GoStruct):
    """Prints as JSON."""

    go_type = "template.templateTool"

    kind: str
    items: object
    function: ToolFunction

    @cached_property
    def fields(self) -> Mapping[str, object]:
        return {"Type": self.kind, "Items": self.items, "Function": self.function}

    def text(self) -> str:
        return marshal(self)

    def plain(self) -> object:
        items = {} if self.items is None else {"items": self.items}
        return {"type": self.kind, **items, "function": self.function}


class TemplateTools(GoList):
    """`.Tools`; no tools at all are a nil list, which prints as JSON does."""

    go_type = "template.templateTools"

    def text(self) -> str:
        return marshal(self)

    def plain(self) -> object:
        return list(self) or None


def template_tools(tools: Sequence[Mapping[str, object]]) -> TemplateTools:
    """The tools of a request in the engine's form; members that Go's structs lack are left out."""
    converted = TemplateTools()
    for tool in tools:
        function = _mapping(tool.get("function"))
        parameters = _mapping(function.get("parameters"))
        properties = parameters.get("properties")
        converted.append(
            TemplateTool(
                _text(tool.get("type")),
                floats(tool.get("items")),
                ToolFunction(
                    _text(function.get("name")),
                    _text(function.get("description")),
                    ToolParameters(
                        kind=_text(parameters.get("type")),
                        definitions=floats(parameters.get("$defs")),
                        items=floats(parameters.get("items")),
                        required=_texts(parameters.get("required")),
                        properties=ToolProperties(_properties(properties))
                        if isinstance(properties, Mapping)
                        else None,
                    ),
                ),
            )
        )
    return converted


def typescript_type(value: object) -> str:
    """A property's type in TypeScript; `any` for whatever is no property."""
    if not isinstance(value, ToolProperty):
        return "any"
    if value.any_of:
        return " | ".join(typescript_type(one) for one in value.any_of)
    return " | ".join(_TYPESCRIPT.get(kind, "any") for kind in value.kinds) or "any"


def floats(value: object) -> Any:
    """A value from JSON with its integers as floats, as Go has them.

    Beyond 2**53 they stay: as floats they would lose digits.
    """
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


def _properties(given: Mapping[str, object]) -> Iterable[tuple[str, ToolProperty]]:
    return ((name, _property(value)) for name, value in given.items())


def _property(value: object) -> ToolProperty:
    given = _mapping(value)
    kinds, inner = given.get("type"), given.get("properties")
    return ToolProperty(
        kinds=PropertyTypes([kinds] if isinstance(kinds, str) else _texts(kinds)),
        any_of=tuple(_property(one) for one in _list(given.get("anyOf"))),
        items=floats(given.get("items")),
        description=_text(given.get("description")),
        enum=tuple(floats(_list(given.get("enum")))),
        properties=InnerProperties(_properties(inner)) if isinstance(inner, Mapping) else None,
        required=_texts(given.get("required")),
    )


def _given(value: object) -> bool:
    """Whether Go's `omitempty` keeps a field of this value; it keeps an empty object."""
    return value is not None and value not in ("", (), [])


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple(one for one in _list(value) if isinstance(one, str))
