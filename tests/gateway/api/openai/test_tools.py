"""The tools of a chat completion, and which may be called."""

from typing import Any

import pytest

from gateway.api.openai.tools import chosen_tools
from gateway.errors import Invalid

ADD = {"type": "function", "function": {"name": "add"}}
SUB = {"type": "function", "function": {"name": "sub"}}
PNG = "data:image/png;base64,aGk="


def refused(tools: Any, choice: Any) -> str:
    with pytest.raises(Invalid) as caught:
        chosen_tools(tools, choice)
    return caught.value.message


def test_tools_pass_and_a_missing_type_is_set() -> None:
    tool: dict[str, Any] = {"function": {"name": "add", "parameters": None}}
    tools, choice = chosen_tools([tool], None)
    assert tools == [{"type": "function", "function": {"name": "add", "parameters": None}}]
    assert (choice, "type" in tool) == (None, False)
    assert chosen_tools([], None) == ([], None)


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        (
            [1],
            "json: cannot unmarshal number into Go struct field ChatCompletionRequest.tools of "
            "type api.Tool",
        ),
        ([None], "a tool must be an object"),
        ([{"type": "custom", "name": "x"}], "tools of type 'custom' are not supported"),
        ([{"type": 5}], "tools of type 5 are not supported"),
        ([{}], "a tool must have a function with a name"),
        ([{"function": "add"}], "a tool must have a function with a name"),
        ([{"function": {"name": None}}], "a tool must have a function with a name"),
        (
            [{"function": {"name": "add", "parameters": "abc"}}],
            "the parameters of tool 'add' must be an object",
        ),
    ],
)
def test_a_tool_is_a_function_with_a_name(tools: Any, message: str) -> None:
    assert refused(tools, None) == message


def only(*names: str, mode: str = "auto") -> Any:
    """A choice among these tools."""
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


@pytest.mark.parametrize(
    ("choice", "tools", "word"),
    [
        ("auto", [ADD, SUB], "auto"),
        ("none", [], None),
        ("required", [ADD, SUB], "required"),
        (SUB, [SUB], "required"),
        (only("sub"), [SUB], "auto"),
        (only("sub", "add", mode="required"), [ADD, SUB], "required"),
        (only(), [], "auto"),
    ],
)
def test_a_choice_is_made_by_the_tools_that_are_left(choice: Any, tools: Any, word: Any) -> None:
    assert chosen_tools([ADD, SUB], choice) == (tools, word)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("sometimes", "invalid 'tool_choice': 'sometimes'"),
        (5, "invalid 'tool_choice': 5"),
        (["auto"], "invalid 'tool_choice': ['auto']"),
        ({}, "invalid 'tool_choice': {}"),
        ({"function": {"name": "add"}}, "invalid 'tool_choice': {'function': {'name': 'add'}}"),
        (
            {"type": "function", "function": "add"},
            "invalid 'tool_choice': {'type': 'function', 'function': 'add'}",
        ),
        (SUB, "'tool_choice' names 'sub', which is not among the tools"),
        (only("add", "sub"), "'tool_choice' names 'sub', which is not among the tools"),
        (only("add", mode="none"), "invalid 'tool_choice': mode 'none'"),
    ],
)
def test_another_choice_is_refused(choice: Any, message: str) -> None:
    assert refused([ADD], choice) == message
