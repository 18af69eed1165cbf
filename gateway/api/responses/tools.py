"""The tools of a request to the Responses API: as functions for a model, and which it may call.

A model only ever sees functions. What stands for a tool of another kind has a name by which its
calls are told again, see `responses_calls`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import Invalid

Given = Mapping[str, Any]

TOOLS: Mapping[str, str] = {
    "function": "in the flat form; without `parameters` it has none. `strict` has no effect, and "
    "with `defer_loading` it is shown at once all the same",
    "custom": "shown as a function with one text, `input`; a call comes back as a "
    "`custom_tool_call` with that text. A `format` of type `grammar` is told to the model, but "
    "nothing holds it to the grammar",
    "namespace": "its tools, functions and custom ones, are shown as `namespace__name`; a call "
    "has `namespace` and `name` apart",
    "tool_search": "with `execution` `client`: shown as a function, and a call comes back as a "
    "`tool_search_call`. Else left out: every tool is shown at once",
    "web_search": "left out, as if it were not there: this server has no search",
    "image_generation": "left out likewise: no model here draws",
}
_HOSTED = ("web_search", "image_generation")
"""What Codex puts into every request, whether the server has it or not."""
_CALLS = {
    "function": "function_call",
    "custom": "custom_tool_call",
    "tool_search": "tool_search_call",
}
_NO_PARAMETERS: Given = {"type": "object", "properties": {}}
_SYNTAXES = {"lark": "Lark grammar", "regex": "regular expression"}
INPUT = "input"
"""The one parameter of a function that stands for a custom tool."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that a model may call."""

    kind: str
    """function, custom or tool_search."""
    name: str
    namespace: str
    function: Given
    """The tool as a chat completion has it."""

    @property
    def call(self) -> str:
        """The type of the items that are its calls."""
        return _CALLS[self.kind]


def known_as(name: str, namespace: str) -> str:
    """How a model knows a tool; a name that says its namespace already stays as it is."""
    prefix = f"{namespace.rstrip('_')}__"
    return name if not namespace or name.startswith(prefix) else prefix + name


def tools(given: Iterable[Given], where: str = "tools") -> dict[str, Tool]:
    """All that there is to call, by the names that the model knows; Invalid for other kinds."""
    found: dict[str, Tool] = {}
    for number, tool in enumerate(given):
        merge(found, _read(_without_nulls(tool), f"{where}[{number}]"))
    return found


def merge(found: dict[str, Tool], more: Mapping[str, Tool]) -> None:
    """Add tools to others; one that is there already is replaced, another of its name Invalid."""
    for known, tool in more.items():
        other = found.setdefault(known, tool)
        if (other.kind, other.name, other.namespace) != (tool.kind, tool.name, tool.namespace):
            raise Invalid(f"two tools would both be called {known!r}")
        found[known] = tool


def left_out(tool: Given) -> bool:
    """Whether a tool is accepted, but not there for the model."""
    kind = tool.get("type")
    return kind in _HOSTED or (kind == "tool_search" and tool.get("execution") != "client")


def shown(tool: Given) -> dict[str, Any]:
    """A tool as the reply repeats it; Ollama gives every function these members."""
    if tool.get("type") != "function":
        return dict(tool)
    return {"description": None, "strict": None, "parameters": None, **tool}


def chosen(choice: Any, there: Mapping[str, Tool]) -> tuple[list[Given], str]:
    """The functions that the model is shown, and whether it has to call one: auto or required.

    A choice among the tools is made by leaving out the others: that holds with every template.
    """
    functions = [tool.function for tool in there.values()]
    if isinstance(choice, str):
        if choice not in ("none", "auto", "required"):
            raise Invalid(f"invalid 'tool_choice': {choice!r}")
        if choice == "required" and not there:
            raise Invalid("'tool_choice' is 'required', but there are no tools")
        return ([], "auto") if choice == "none" else (functions, choice)
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind in ("function", "custom"):
        return _named([choice], there), "required"
    if kind == "allowed_tools":
        allowed, mode = choice.get("tools"), choice.get("mode", "auto")
        if mode not in ("auto", "required") or not isinstance(allowed, list) or not allowed:
            raise Invalid("'tool_choice' of type 'allowed_tools' needs a mode and tools")
        return _named(allowed, there), mode
    raise Invalid(f"invalid 'tool_choice': {kind!r} is not a kind that is supported")


def _named(wanted: Iterable[Any], there: Mapping[str, Tool]) -> list[Given]:
    """The functions of the tools that a choice names, be it without their namespace."""
    names = set()
    for choice in wanted:
        name = choice.get("name") if isinstance(choice, dict) else None
        found = {known for known, tool in there.items() if name in (known, tool.name)}
        if isinstance(choice, dict) and choice.get("type") == "namespace":
            found = {known for known, tool in there.items() if name and name == tool.namespace}
        if not found:
            raise Invalid(f"'tool_choice' names {name!r}, which is not among the tools")
        names |= found
    return [tool.function for known, tool in there.items() if known in names]


def _read(tool: Given, where: str, namespace: str = "") -> dict[str, Tool]:
    """A tool, or those of a namespace."""
    kind = tool.get("type")
    if left_out(tool):
        return {}
    if kind == "namespace" and not namespace:
        inner = tool.get("tools", ())
        if not isinstance(inner, list) or not all(isinstance(each, dict) for each in inner):
            raise Invalid(f"{where}: the tools of a namespace must be an array of objects")
        space = _name(tool, where)
        found: dict[str, Tool] = {}
        for number, each in enumerate(inner):
            merge(found, _read(_without_nulls(each), f"{where}.tools[{number}]", space))
        return found
    if not isinstance(kind, str) or kind not in _CALLS:
        raise Invalid(f"{where}: tools of type {kind!r} are not supported")
    name = "tool_search" if kind == "tool_search" else _name(tool, where)
    description = tool.get("description", "")
    if not isinstance(description, str):
        raise Invalid(f"{where}: the description of {name!r} must be a string")
    known = known_as(name, namespace)
    function: dict[str, Any] = {"parameters": _parameters(tool, name, where), "name": known}
    if "description" in tool:
        function["description"] = description
    return {known: Tool(kind, name, namespace, {"type": "function", "function": function})}


def _name(tool: Given, where: str) -> str:
    name = tool.get("name")
    if not isinstance(name, str) or not name:
        raise Invalid(f"{where}: a {tool['type']} must have a name")
    return name


def _parameters(tool: Given, name: str, where: str) -> Given:
    if tool["type"] == "custom":
        told = {"type": "string", "description": _asked(tool.get("format", {}), where)}
        return {"type": "object", "properties": {INPUT: told}, "required": [INPUT]}
    parameters = tool.get("parameters", _NO_PARAMETERS)
    if not isinstance(parameters, dict):
        raise Invalid(f"{where}: the parameters of {name!r} must be an object")
    return parameters


def _asked(form: Any, where: str) -> str:
    """What a custom tool's format asks of its text, in words."""
    kind = form.get("type", "text") if isinstance(form, dict) else None
    if kind == "text":
        return "The whole input of the tool, as plain text."
    what = _SYNTAXES.get(str(form.get("syntax"))) if kind == "grammar" else None
    definition = form.get("definition") if what else None
    if not isinstance(definition, str):
        raise Invalid(f"{where}: invalid 'format' (must be text, or a lark or regex grammar)")
    return f"The whole input of the tool, as plain text that fits this {what}:\n{definition}"


def _without_nulls(tool: Given) -> Given:
    return {key: item for key, item in tool.items() if item is not None}
