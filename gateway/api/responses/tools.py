"""The tools of a request to the Responses API: as functions for a model, and which it may call.

A model only ever sees functions. A function that stands for a tool of another kind has a name by
which a call is given the form of that tool again, see `calls`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.errors import Invalid
from gateway.llama.requests import JsonObject

TOOLS: Mapping[str, str] = {
    "function": "in the flat form; without `parameters` it has none. `strict` has no effect, and "
    "with `defer_loading` it is shown at once all the same",
    "custom": "shown as a function with one text, `input`; a call comes back as a "
    "`custom_tool_call` with that text. A `format` of type `grammar` is shown to the model, but "
    "nothing holds it to the grammar",
    "namespace": "its tools, functions and custom ones, are shown as `namespace__name`; a call "
    "has `namespace` and `name` apart",
    "tool_search": "with `execution` `client`: shown as a function, and a call comes back as a "
    "`tool_search_call`. Else left out: every tool is shown at once",
    "web_search": "left out, as if it were not there: this server has no search",
    "image_generation": "left out likewise: no model here draws",
}
# Codex puts these into every request, whether the server has them or not.
_HOSTED = ("web_search", "image_generation")
_CALL_TYPES = {
    "function": "function_call",
    "custom": "custom_tool_call",
    "tool_search": "tool_search_call",
}
_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}
_SYNTAXES = {"lark": "Lark grammar", "regex": "regular expression"}
INPUT = "input"
"""The one parameter of a function that stands for a custom tool."""


@dataclass(frozen=True, slots=True)
class ResponsesTool:
    """A tool that a model may call."""

    kind: str
    """function, custom or tool_search."""
    name: str
    namespace: str
    function: JsonObject
    """The tool as a chat completion has it."""

    @property
    def call_type(self) -> str:
        """Of the items that are its calls."""
        return _CALL_TYPES[self.kind]


def function_name(name: str, namespace: str) -> str:
    """By which a model knows a tool; a name that begins with its namespace stays as it is."""
    prefix = f"{namespace.rstrip('_')}__"
    return name if not namespace or name.startswith(prefix) else prefix + name


def read_tools(tools: Iterable[JsonObject], where: str = "tools") -> dict[str, ResponsesTool]:
    """Every tool that can be called, by the name of its function; Invalid for other kinds."""
    by_function: dict[str, ResponsesTool] = {}
    for number, tool in enumerate(tools):
        add_tools(by_function, _read(_without_nulls(tool), f"{where}[{number}]"))
    return by_function


def add_tools(tools: dict[str, ResponsesTool], more: Mapping[str, ResponsesTool]) -> None:
    """Add `more`: a tool that is there already is replaced; Invalid for another of its name."""
    for function, tool in more.items():
        other = tools.setdefault(function, tool)
        # A call comes back by the function's name alone: two tools could not be told apart.
        if (other.kind, other.name, other.namespace) != (tool.kind, tool.name, tool.namespace):
            raise Invalid(f"two tools would both be called {function!r}")
        tools[function] = tool


def is_left_out(tool: JsonObject) -> bool:
    """Whether a tool is accepted, but not there for the model."""
    kind = tool.get("type")
    return kind in _HOSTED or (kind == "tool_search" and tool.get("execution") != "client")


def echoed_tool(tool: JsonObject) -> JsonObject:
    """A tool as the reply repeats it; Ollama gives every function these fields."""
    if tool.get("type") != "function":
        return tool
    return {"description": None, "strict": None, "parameters": None, **tool}


def choose_functions(
    choice: object, tools: Mapping[str, ResponsesTool]
) -> tuple[list[JsonObject], str]:
    """The functions that the model is shown, and whether it has to call one: auto or required."""
    # A choice among the tools is made by leaving out the others: that holds with every template.
    functions = [tool.function for tool in tools.values()]
    if isinstance(choice, str):
        if choice not in ("none", "auto", "required"):
            raise Invalid(f"invalid 'tool_choice': {choice!r}")
        if choice == "required" and not tools:
            raise Invalid("'tool_choice' is 'required', but there are no tools")
        return ([], "auto") if choice == "none" else (functions, choice)
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind in ("function", "custom"):
        return _named_functions([choice], tools), "required"
    if isinstance(choice, dict) and kind == "allowed_tools":
        allowed, mode = choice.get("tools"), choice.get("mode", "auto")
        if mode not in ("auto", "required") or not isinstance(allowed, list) or not allowed:
            raise Invalid("'tool_choice' of type 'allowed_tools' needs a mode and tools")
        return _named_functions(allowed, tools), mode
    raise Invalid(f"invalid 'tool_choice': {kind!r} is not a kind that is supported")


def _named_functions(
    choices: Iterable[object], tools: Mapping[str, ResponsesTool]
) -> list[JsonObject]:
    """The functions of the tools that a choice names, be it without their namespace."""
    chosen: set[str] = set()
    for choice in choices:
        name = choice.get("name") if isinstance(choice, dict) else None
        if isinstance(choice, dict) and choice.get("type") == "namespace":
            named = {key for key, tool in tools.items() if name and name == tool.namespace}
        else:
            named = {key for key, tool in tools.items() if name in (key, tool.name)}
        if not named:
            raise Invalid(f"'tool_choice' names {name!r}, which is not among the tools")
        chosen |= named
    return [tool.function for key, tool in tools.items() if key in chosen]


def _read(tool: JsonObject, where: str, namespace: str = "") -> dict[str, ResponsesTool]:
    """A tool, or those of a namespace, by their functions' names."""
    kind = tool.get("type")
    if is_left_out(tool):
        return {}
    if kind == "namespace" and not namespace:
        inner = tool.get("tools", ())
        if not isinstance(inner, list) or not all(isinstance(each, dict) for each in inner):
            raise Invalid(f"{where}: the tools of a namespace must be an array of objects")
        inner_namespace = _name(tool, where)
        tools: dict[str, ResponsesTool] = {}
        for number, each in enumerate(inner):
            place = f"{where}.tools[{number}]"
            add_tools(tools, _read(_without_nulls(each), place, inner_namespace))
        return tools
    if not isinstance(kind, str) or kind not in _CALL_TYPES:
        raise Invalid(f"{where}: tools of type {kind!r} are not supported")
    name = "tool_search" if kind == "tool_search" else _name(tool, where)
    description = tool.get("description", "")
    if not isinstance(description, str):
        raise Invalid(f"{where}: the description of {name!r} must be a string")
    key = function_name(name, namespace)
    function: dict[str, object] = {"parameters": _parameters(tool, name, where), "name": key}
    if "description" in tool:
        function["description"] = description
    return {key: ResponsesTool(kind, name, namespace, {"type": "function", "function": function})}


def _name(tool: JsonObject, where: str) -> str:
    name = tool.get("name")
    if not isinstance(name, str) or not name:
        raise Invalid(f"{where}: a {tool['type']} must have a name")
    return name


def _parameters(tool: JsonObject, name: str, where: str) -> JsonObject:
    if tool["type"] == "custom":
        description = _custom_description(tool.get("format", {}), where)
        text = {"type": "string", "description": description}
        return {"type": "object", "properties": {INPUT: text}, "required": [INPUT]}
    parameters = tool.get("parameters", _NO_PARAMETERS)
    if not isinstance(parameters, dict):
        raise Invalid(f"{where}: the parameters of {name!r} must be an object")
    return parameters


def _custom_description(form: object, where: str) -> str:
    """A custom tool's format, in words for the model: nothing else can hold it to that."""
    match form:
        case dict() if form.get("type", "text") == "text":
            return "The whole input of the tool, as plain text."
        case {"type": "grammar", "syntax": str(syntax), "definition": str(definition)} if (
            syntax in _SYNTAXES
        ):
            kind = _SYNTAXES[syntax]
            return (
                f"The whole input of the tool, as plain text that fits this {kind}:\n{definition}"
            )
    raise Invalid(f"{where}: invalid 'format' (must be text, or a lark or regex grammar)")


def _without_nulls(tool: JsonObject) -> JsonObject:
    return {key: item for key, item in tool.items() if item is not None}
