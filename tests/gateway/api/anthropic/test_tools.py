"""Anthropic's tools as functions."""

from typing import Any

import pytest

from gateway.api.anthropic.tools import choose_tools, eager_tools, functions
from gateway.errors import Invalid

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
ADD = {"name": "add", "description": "adds", "input_schema": SCHEMA}
NOW = {"name": "now"}
FUNCTIONS = functions([ADD, NOW])


def refused(tool: Any) -> str:
    with pytest.raises(Invalid) as caught:
        functions([tool])
    return caught.value.message


def test_a_tool_is_a_function() -> None:
    function = {"name": "add", "description": "adds", "parameters": SCHEMA}
    assert functions([ADD]) == [{"type": "function", "function": function}]
    assert functions([{**ADD, "type": "custom", "strict": True}]) == functions([ADD])


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        (None, {"type": "object", "properties": {}}),
        ({}, {"type": "object", "properties": {}}),
        ({"type": "object"}, {"type": "object", "properties": {}}),
        ({"properties": None}, {"type": "object", "properties": {}}),
        ({"$defs": {}}, {"type": "object", "properties": {}, "$defs": {}}),
    ],
)
def test_a_schema_always_has_properties(schema: Any, made: dict[str, Any]) -> None:
    [tool] = functions([{"name": "now", "input_schema": schema}])
    assert tool["function"]["parameters"] == made
    assert "description" not in tool["function"]


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        ({}, "tools.0.name: must be a string that is not empty"),
        ({"name": 5}, "tools.0.name: must be a string that is not empty"),
        ({"name": "n", "type": 5}, "tools.0.type: must be a string"),
        ({"name": "n", "description": 5}, "tools.0.description: must be a string"),
        (
            {"name": "n", "input_schema": "x"},
            'invalid input_schema for tool "n": must be a schema of an object',
        ),
        (
            {"name": "n", "input_schema": {"properties": []}},
            'invalid input_schema for tool "n": must be a schema of an object',
        ),
        (
            {"name": "web_search", "type": "web_search_20250305"},
            "tools.0: tools of type 'web_search_20250305' are not supported",
        ),
        (
            {"name": "computer", "type": "computer_20250124"},
            "tools.0: tools of type 'computer_20250124' are not supported",
        ),
    ],
)
def test_a_tool_that_cannot_be_is_refused_by_name(tool: Any, message: str) -> None:
    assert refused(tool) == message


@pytest.mark.parametrize(
    ("kind", "name", "parameters"),
    [
        ("bash_20250124", "bash", {"command", "restart"}),
        (
            "text_editor_20250728",
            "str_replace_based_edit_tool",
            {
                "command",
                "path",
                "file_text",
                "old_str",
                "new_str",
                "insert_line",
                "insert_text",
                "view_range",
            },
        ),
        (
            "memory_20250818",
            "memory",
            {
                "command",
                "path",
                "file_text",
                "old_str",
                "new_str",
                "insert_line",
                "insert_text",
                "view_range",
                "old_path",
                "new_path",
            },
        ),
    ],
)
def test_tools_that_the_client_runs_have_their_known_parameters(
    kind: str, name: str, parameters: set[str]
) -> None:
    [tool] = functions([{"type": kind, "name": name}])
    function = tool["function"]
    assert function["name"] == name
    schema: Any = function["parameters"]
    assert set(schema["properties"]) == parameters
    assert set(schema["required"]) <= parameters
    assert function["description"]


def test_a_search_for_tools_is_not_needed() -> None:
    search = {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"}
    assert functions([search, {**NOW, "defer_loading": True}]) == functions([NOW])


def test_eager_tools_are_known_by_name() -> None:
    assert eager_tools([ADD, {**NOW, "eager_input_streaming": True}]) == {"now"}


# ---- the choice


@pytest.mark.parametrize(
    ("choice", "left", "extra"),
    [
        (None, ["add", "now"], {}),
        ({"type": "auto"}, ["add", "now"], {}),
        (
            {"type": "auto", "disable_parallel_tool_use": True},
            ["add", "now"],
            {"parallel_tool_calls": False},
        ),
        ({"type": "any"}, ["add", "now"], {"tool_choice": "required"}),
        (
            {"type": "any", "disable_parallel_tool_use": True},
            ["add", "now"],
            {"parallel_tool_calls": False, "tool_choice": "required"},
        ),
        ({"type": "tool", "name": "now"}, ["now"], {"tool_choice": "required"}),
        ({"type": "none"}, [], {}),
    ],
)
def test_the_choice_of_tools(choice: Any, left: list[str], extra: dict[str, Any]) -> None:
    tools, fields = choose_tools(FUNCTIONS, choice)
    assert [tool["function"]["name"] for tool in tools] == left
    assert fields == extra


def test_without_tools_there_is_little_to_choose() -> None:
    assert choose_tools([], {"type": "auto", "disable_parallel_tool_use": True}) == ([], {})
    assert choose_tools([], {"type": "none"}) == ([], {})
    for kind in ("any", "tool"):
        with pytest.raises(Invalid, match=r"^tool_choice: there are no tools to choose from$"):
            choose_tools([], {"type": kind})


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"type": "zzz"}, "tool_choice.type: must be 'auto', 'any', 'tool' or 'none'"),
        ({}, "tool_choice.type: must be 'auto', 'any', 'tool' or 'none'"),
        ({"type": "tool", "name": "x"}, "tool_choice.name: 'x' is not among the tools"),
        ({"type": "tool"}, "tool_choice.name: None is not among the tools"),
    ],
)
def test_a_choice_that_cannot_be(choice: Any, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        choose_tools(FUNCTIONS, choice)
    assert caught.value.message == message


@pytest.mark.parametrize("value", [1, 0, "", []])
def test_one_call_at_most_is_a_boolean(value: Any) -> None:
    with pytest.raises(Invalid) as caught:
        choose_tools(FUNCTIONS, {"type": "auto", "disable_parallel_tool_use": value})
    assert caught.value.message == "tool_choice.disable_parallel_tool_use: must be a boolean"
