"""Anthropic's tools as functions, and which of them may or must be called."""

import re
from collections.abc import Mapping, Sequence
from typing import TypedDict

from gateway.api.anthropic.fields import TOOLS
from gateway.errors import Invalid
from gateway.llama.requests import JsonObject


class _Function(TypedDict, total=False):
    name: str
    description: str
    parameters: JsonObject


class FunctionTool(TypedDict):
    """A tool of a chat completion."""

    type: str
    function: _Function


_DATED = re.compile(r"(.+?)_\d{8}")
_NO_SCHEMA: JsonObject = {"type": "object", "properties": {}}


def _string(description: str, *values: str) -> JsonObject:
    choice = {"enum": list(values)} if values else {}
    return {"type": "string", "description": description, **choice}


def _object(required: Sequence[str], **properties: JsonObject) -> JsonObject:
    return {"type": "object", "properties": properties, "required": list(required)}


_RANGE: JsonObject = {
    "type": "array",
    "items": {"type": "integer"},
    "description": "First and last line.",
}
_EDITS: Mapping[str, JsonObject] = {
    "path": _string("Where it is."),
    "file_text": _string("What `create` writes."),
    "old_str": _string("What `str_replace` replaces."),
    "new_str": _string("What `str_replace` puts in its place."),
    "insert_line": {"type": "integer", "description": "The line after which `insert` inserts."},
    "insert_text": _string("What `insert` inserts."),
    "view_range": _RANGE,
}
# The parameters of tools that the client runs and whose schema it does not send, as Anthropic
# documents them.
_BUILT_IN: Mapping[str, tuple[str, JsonObject]] = {
    "bash": (
        "Run commands in a bash shell that stays open.",
        _object(
            (),
            command=_string("The command."),
            restart={"type": "boolean", "description": "Start the shell anew instead."},
        ),
    ),
    "text_editor": (
        "View, create and edit text files.",
        _object(
            ("command", "path"),
            command=_string("What to do.", "view", "create", "str_replace", "insert"),
            **_EDITS,
        ),
    ),
    "memory": (
        "Keep notes in files below /memories that outlast the conversation.",
        _object(
            ("command",),
            command=_string(
                "What to do.", "view", "create", "str_replace", "insert", "delete", "rename"
            ),
            old_path=_string("What `rename` renames."),
            new_path=_string("Its new name."),
            **_EDITS,
        ),
    ),
}


def functions(tools: Sequence[JsonObject]) -> list[FunctionTool]:
    """The tools in the engine's shape; Invalid for one that cannot be."""
    converted = (_function(f"tools.{number}", tool) for number, tool in enumerate(tools))
    return [function for function in converted if function is not None]


def eager_tools(tools: Sequence[JsonObject]) -> frozenset[str]:
    """The names of those whose input the client wants as it is written, not checked first."""
    return frozenset(str(tool.get("name")) for tool in tools if tool.get("eager_input_streaming"))


def _function(where: str, tool: JsonObject) -> FunctionTool | None:
    """None for a tool that is left out."""
    kind = tool.get("type")
    if not isinstance(kind, str | None):
        raise Invalid(f"{where}.type: must be a string")
    kind = kind or "custom"
    # A type ends in the date of its version, as in bash_20250124.
    dated = _DATED.fullmatch(kind)
    name_of_kind = dated[1] if dated else kind
    if name_of_kind not in TOOLS:
        raise Invalid(f"{where}: tools of type '{kind}' are not supported")
    if name_of_kind.startswith("tool_search"):
        return None  # there is nothing to search for: all tools are always loaded
    name = tool.get("name")
    if not isinstance(name, str) or not name:
        raise Invalid(f"{where}.name: must be a string that is not empty")
    description: object
    if name_of_kind in _BUILT_IN:
        description, schema = _BUILT_IN[name_of_kind]
    else:
        description = tool.get("description")
        if not isinstance(description, str | None):
            raise Invalid(f"{where}.description: must be a string")
        schema = _schema(name, tool.get("input_schema"))
    function: _Function = {"name": name}
    if description:
        function["description"] = description
    function["parameters"] = schema
    return {"type": "function", "function": function}


def _schema(name: str, schema: object) -> JsonObject:
    if schema is None:
        return dict(_NO_SCHEMA)
    if not isinstance(schema, dict) or not isinstance(schema.get("properties", {}), dict | None):
        raise Invalid(f'invalid input_schema for tool "{name}": must be a schema of an object')
    given = {key: value for key, value in schema.items() if value is not None}
    return {**_NO_SCHEMA, **given}


def choose_tools(
    tools: list[FunctionTool], choice: JsonObject | None
) -> tuple[list[FunctionTool], dict[str, object]]:
    """The tools that are left to choose from, and the engine's fields for the choice."""
    if choice is None:
        return tools, {}
    single = choice.get("disable_parallel_tool_use")
    if not isinstance(single, bool | None):
        raise Invalid("tool_choice.disable_parallel_tool_use: must be a boolean")
    extra: dict[str, object] = {"parallel_tool_calls": False} if single else {}
    match choice.get("type"):
        case "auto":
            return tools, extra if tools else {}
        case "none":
            return [], {}
        case "any" | "tool" if not tools:
            raise Invalid("tool_choice: there are no tools to choose from")
        case "any":
            return tools, {**extra, "tool_choice": "required"}
        case "tool":
            # The engine cannot be made to call a certain tool, but it can be left with no other.
            name = choice.get("name")
            named = [tool for tool in tools if tool["function"]["name"] == name]
            if not named:
                raise Invalid(f"tool_choice.name: {name!r} is not among the tools")
            return named, {**extra, "tool_choice": "required"}
    raise Invalid("tool_choice.type: must be 'auto', 'any', 'tool' or 'none'")
