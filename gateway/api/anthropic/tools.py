"""Tools of the Anthropic dialect as functions, and which of them may or must be called."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.api.anthropic.fields import TOOLS
from gateway.errors import Invalid

_DATED = re.compile(r"(.+?)_\d{8}")
_NO_SCHEMA: Mapping[str, Any] = {"type": "object", "properties": {}}


def _string(what: str, *among: str) -> dict[str, Any]:
    choice = {"enum": list(among)} if among else {}
    return {"type": "string", "description": what, **choice}


def _object(required: Sequence[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


_RANGE = {"type": "array", "items": {"type": "integer"}, "description": "First and last line."}
_EDITS = {
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
_BUILT_IN: Mapping[str, tuple[str, Mapping[str, Any]]] = {
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


def functions(tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The tools in the engine's shape; Invalid for one that cannot be."""
    return [made for at, tool in enumerate(tools) if (made := _function(f"tools.{at}", tool))]


def eager(tools: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The names of those whose input the client wants as it is written, not checked first."""
    return frozenset(str(tool.get("name")) for tool in tools if tool.get("eager_input_streaming"))


def _function(at: str, tool: Mapping[str, Any]) -> dict[str, Any] | None:
    sent = tool.get("type")
    if not isinstance(sent, str | None):
        raise Invalid(f"{at}.type: must be a string")
    sent = sent or "custom"
    dated = _DATED.fullmatch(sent)
    kind = dated[1] if dated else sent
    if kind not in TOOLS:
        raise Invalid(f"{at}: tools of type '{sent}' are not supported")
    if kind.startswith("tool_search"):
        return None
    name = tool.get("name")
    if not isinstance(name, str) or not name:
        raise Invalid(f"{at}.name: must be a string that is not empty")
    if kind in _BUILT_IN:
        description, schema = _BUILT_IN[kind]
        return _spelled(name, description, schema)
    return _spelled(name, _description(at, tool), _schema(name, tool.get("input_schema")))


def _spelled(name: str, description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    told = {"description": description} if description else {}
    return {"type": "function", "function": {"name": name, **told, "parameters": schema}}


def _description(at: str, tool: Mapping[str, Any]) -> str:
    text = tool.get("description")
    if not isinstance(text, str | None):
        raise Invalid(f"{at}.description: must be a string")
    return text or ""


def _schema(name: str, schema: Any) -> dict[str, Any]:
    if schema is None:
        return dict(_NO_SCHEMA)
    if not isinstance(schema, dict) or not isinstance(schema.get("properties", {}), dict | None):
        raise Invalid(f'invalid input_schema for tool "{name}": must be a schema of an object')
    given = {key: value for key, value in schema.items() if value is not None}
    return {**_NO_SCHEMA, **given}


def choose(
    tools: list[dict[str, Any]], choice: Mapping[str, Any] | None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The tools that are left to choose from, and what the engine is told of the choice."""
    if choice is None:
        return tools, {}
    kind = choice.get("type")
    extra: dict[str, Any] = {"parallel_tool_calls": False} if _alone(choice) else {}
    match kind:
        case "auto":
            return tools, extra if tools else {}
        case "none":
            return [], {}
        case "any" | "tool" if not tools:
            raise Invalid("tool_choice: there are no tools to choose from")
        case "any":
            return tools, {**extra, "tool_choice": "required"}
        case "tool":
            return _named(tools, choice.get("name")), {**extra, "tool_choice": "required"}
    raise Invalid("tool_choice.type: must be 'auto', 'any', 'tool' or 'none'")


def _alone(choice: Mapping[str, Any]) -> bool:
    value = choice.get("disable_parallel_tool_use")
    if not isinstance(value, bool | None):
        raise Invalid("tool_choice.disable_parallel_tool_use: must be a boolean")
    return bool(value)


def _named(tools: list[dict[str, Any]], name: Any) -> list[dict[str, Any]]:
    """The engine cannot be told to call a certain tool, but it can be left with no other."""
    found = [tool for tool in tools if tool["function"]["name"] == name]
    if not found:
        raise Invalid(f"tool_choice.name: {name!r} is not among the tools")
    return found
