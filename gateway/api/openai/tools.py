"""The tools of a chat completion, and which of them may be called."""

from collections.abc import Sequence

from gateway.errors import Invalid
from gateway.golang.json_decode import unmarshal_error

_TOOLS = "ChatCompletionRequest.tools"


def chosen_tools(
    tools: Sequence[object], choice: object
) -> tuple[list[dict[str, object]], str | None]:
    """The tools that may be called, and whether one must be: "required", "auto" or None."""
    checked: list[dict[str, object]] = []
    for tool in tools:
        if tool is None:
            raise Invalid("a tool must be an object")
        if not isinstance(tool, dict):
            raise Invalid(unmarshal_error(tool, "api.Tool", field=_TOOLS))
        if tool.get("type", "function") != "function":
            raise Invalid(f"tools of type {tool['type']!r} are not supported")
        function = tool.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise Invalid("a tool must have a function with a name")
        if not isinstance(function.get("parameters") or {}, dict):
            raise Invalid(f"the parameters of tool {function['name']!r} must be an object")
        checked.append({**tool, "type": "function"})
    # The engine knows no other choices than these, so the rest are made by the tools that are left:
    # a single one for a choice that names it, none for "none".
    match choice:
        case None:
            return checked, None
        case "none":
            return [], None
        case "auto" | "required":
            return checked, str(choice)
        case {"type": "function", "function": {"name": str(name)}}:
            return _named(checked, [name]), "required"
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(allowed)}}:
            if mode not in ("auto", "required"):
                raise Invalid(f"invalid 'tool_choice': mode {mode!r}")
            return _named(checked, [_name(tool) for tool in allowed]), mode
    raise Invalid(f"invalid 'tool_choice': {choice!r}")


def _named(tools: list[dict[str, object]], wanted: list[str]) -> list[dict[str, object]]:
    names = {_name(tool) for tool in tools}
    for name in wanted:
        if name not in names:
            raise Invalid(f"'tool_choice' names {name!r}, which is not among the tools")
    return [tool for tool in tools if _name(tool) in wanted]


def _name(tool: object) -> str:
    function = tool.get("function") if isinstance(tool, dict) else None
    return str(function.get("name")) if isinstance(function, dict) else ""
