"""Tools of the Responses API as functions, and which of them a request lets the model call."""

from typing import Any

import pytest

from gateway.api.responses.tools import (
    TOOLS,
    ResponsesTool,
    add_tools,
    choose_functions,
    echoed_tool,
    function_name,
    is_left_out,
    read_tools,
)
from gateway.errors import Invalid

ADD: dict[str, Any] = {"type": "function", "name": "add", "parameters": {"type": "object"}}
PATCH: dict[str, Any] = {"type": "custom", "name": "patch", "description": "Edits files."}
SPACE: dict[str, Any] = {
    "type": "namespace",
    "name": "mcp__sums__",
    "description": "Sums.",
    "tools": [ADD, PATCH],
}
SEARCH: dict[str, Any] = {
    "type": "tool_search",
    "execution": "client",
    "description": "Finds tools.",
    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
}
SERVERS = {"type": "tool_search"}


def function(name: str, parameters: Any, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


def one(tool: dict[str, Any]) -> Any:
    (only,) = read_tools([tool]).values()
    return only


def test_a_function_is_shown_as_it_is() -> None:
    tool = one({**ADD, "description": "adds", "strict": True, "defer_loading": True})
    assert tool.function == function("add", {"type": "object"}, description="adds")
    assert (tool.name, tool.namespace, tool.call_type) == ("add", "", "function_call")
    bare = one({"type": "function", "name": "add", "parameters": None, "description": None})
    assert bare.function == function("add", {"type": "object", "properties": {}})


def description(form: Any) -> str:
    tool = one({**PATCH, "format": form})
    assert tool.call_type == "custom_tool_call"
    parameters = tool.function["function"]["parameters"]
    text = parameters["properties"]["input"].pop("description")
    wanted = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    assert tool.function == function("patch", wanted, description="Edits files.")
    return str(text)


def test_a_custom_tool_is_a_function_with_one_text() -> None:
    plain = "The whole input of the tool, as plain text"
    assert description(None) == description({"type": "text"}) == f"{plain}."
    lark = {"type": "grammar", "syntax": "lark", "definition": 'start: "a"'}
    assert description(lark) == f'{plain} that fits this Lark grammar:\nstart: "a"'
    regex = {"type": "grammar", "syntax": "regex", "definition": "a+"}
    assert description(regex) == f"{plain} that fits this regular expression:\na+"


def test_tools_of_a_namespace_have_its_name_before_theirs() -> None:
    by_function = read_tools([SPACE, ADD])
    assert list(by_function) == ["mcp__sums__add", "mcp__sums__patch", "add"]
    assert [(tool.namespace, tool.name, tool.call_type) for tool in by_function.values()] == [
        ("mcp__sums__", "add", "function_call"),
        ("mcp__sums__", "patch", "custom_tool_call"),
        ("", "add", "function_call"),
    ]
    inner = by_function["mcp__sums__add"].function
    assert inner == function("mcp__sums__add", {"type": "object"})


@pytest.mark.parametrize(
    ("name", "namespace", "known"),
    [
        ("add", "", "add"),
        ("add", "sums", "sums__add"),
        ("add", "mcp__sums__", "mcp__sums__add"),
        ("sums__add", "sums", "sums__add"),
        ("sums", "sums", "sums__sums"),
    ],
)
def test_a_namespace_is_not_repeated(name: str, namespace: str, known: str) -> None:
    assert function_name(name, namespace) == known


def test_a_search_of_the_clients_own_is_a_function() -> None:
    tool = one(SEARCH)
    assert (tool.name, tool.call_type) == ("tool_search", "tool_search_call")
    wanted = function("tool_search", SEARCH["parameters"], description="Finds tools.")
    assert tool.function == wanted


@pytest.mark.parametrize("tool", [SERVERS, {"type": "web_search"}, {"type": "image_generation"}])
def test_what_only_a_service_has_is_left_out(tool: dict[str, Any]) -> None:
    assert is_left_out(tool)
    assert list(read_tools([tool, ADD])) == ["add"]


def test_every_kind_that_is_named_is_accepted() -> None:
    given = {"function": ADD, "custom": PATCH, "namespace": SPACE, "tool_search": SEARCH}
    for kind in TOOLS:
        read_tools([given.get(kind, {"type": kind})])


def description_of(tool: ResponsesTool) -> Any:
    function: Any = tool.function["function"]
    return function["description"]


def test_a_tool_that_comes_again_replaces_the_first() -> None:
    by_function = read_tools([ADD, {**ADD, "description": "adds"}])
    assert description_of(by_function["add"]) == "adds"
    add_tools(by_function, read_tools([PATCH, {**ADD, "description": "sums"}], "more"))
    assert list(by_function) == ["add", "patch"]
    assert description_of(by_function["add"]) == "sums"


def test_a_function_is_repeated_with_ollamas_fields() -> None:
    assert echoed_tool(ADD) == {**ADD, "description": None, "strict": None}
    assert echoed_tool(PATCH) == PATCH


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        ({"type": "web_search_preview"}, "tools of type 'web_search_preview' are not supported"),
        ({"type": "local_shell"}, "tools of type 'local_shell' are not supported"),
        ({"type": ["function"]}, "tools of type ['function'] are not supported"),
        ({}, "tools of type None are not supported"),
        ({"type": "custom"}, "a custom must have a name"),
        ({**ADD, "name": ""}, "a function must have a name"),
        ({**ADD, "parameters": "x"}, "the parameters of 'add' must be an object"),
        ({**PATCH, "description": 1}, "the description of 'patch' must be a string"),
        (
            {**PATCH, "format": "text"},
            "invalid 'format' (must be text, or a lark or regex grammar)",
        ),
        (
            {**PATCH, "format": {"type": "grammar", "syntax": "gbnf", "definition": "a"}},
            "invalid 'format' (must be text, or a lark or regex grammar)",
        ),
        (
            {**PATCH, "format": {"type": "grammar", "syntax": "lark"}},
            "invalid 'format' (must be text, or a lark or regex grammar)",
        ),
        ({**SPACE, "name": None}, "a namespace must have a name"),
        ({**SPACE, "tools": ["x"]}, "the tools of a namespace must be an array of objects"),
    ],
)
def test_what_cannot_be_served_is_refused(tool: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_tools([tool])
    assert caught.value.message == f"tools[0]: {message}"


def test_namespaces_do_not_nest() -> None:
    with pytest.raises(Invalid) as caught:
        read_tools([{**SPACE, "tools": [ADD, SPACE]}])
    assert caught.value.message == "tools[0].tools[1]: tools of type 'namespace' are not supported"


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(Invalid, match=r"^two tools would both be called 'add'$"):
        read_tools([ADD, {**PATCH, "name": "add"}])
    with pytest.raises(Invalid, match=r"^two tools would both be called 'mcp__sums__add'$"):
        read_tools([SPACE, {**ADD, "name": "mcp__sums__add"}])


SUMS = ["mcp__sums__add", "mcp__sums__patch"]


@pytest.mark.parametrize(
    ("choice", "names", "mode"),
    [
        ("auto", [*SUMS, "patch", "tool_search"], "auto"),
        ("none", [], "auto"),
        ("required", [*SUMS, "patch", "tool_search"], "required"),
        ({"type": "function", "name": "add"}, ["mcp__sums__add"], "required"),
        ({"type": "function", "name": "mcp__sums__add"}, ["mcp__sums__add"], "required"),
        ({"type": "custom", "name": "patch"}, ["mcp__sums__patch", "patch"], "required"),
        (
            {"type": "allowed_tools", "tools": [{"type": "namespace", "name": "mcp__sums__"}]},
            SUMS,
            "auto",
        ),
    ],
)
def test_a_choice_leaves_the_tools_that_it_names(choice: Any, names: list[str], mode: str) -> None:
    functions, how = choose_functions(choice, read_tools([SPACE, PATCH, SEARCH]))
    left: Any = functions
    assert [tool["function"]["name"] for tool in left] == names
    assert how == mode


def test_a_choice_of_what_is_left_out_is_refused() -> None:
    there = read_tools([{"type": "web_search"}])
    with pytest.raises(Invalid, match="'tool_choice' is 'required', but there are no tools"):
        choose_functions("required", there)
    with pytest.raises(Invalid, match="'web_search' is not a kind that is supported"):
        choose_functions({"type": "web_search"}, there)
    with pytest.raises(Invalid, match="names 'add', which is not among the tools"):
        choose_functions({"type": "function", "name": "add"}, there)
