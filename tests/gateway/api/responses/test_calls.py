"""Tool calls of the Responses API: the events of each kind, and the text within arguments."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.api.responses.calls import FreeText, ItemEvents, begin_call
from gateway.api.responses.tools import read_tools

TOOLS = read_tools(
    [
        {"type": "function", "name": "add"},
        {"type": "custom", "name": "patch"},
        {"type": "tool_search", "execution": "client"},
        {"type": "namespace", "name": "mcp__sums", "tools": [{"type": "function", "name": "add"}]},
    ]
)
STATUSES = pytest.mark.parametrize("status", ["completed", "incomplete"])


def written(
    name: str, pieces: list[str], status: str = "completed"
) -> tuple[ItemEvents, dict[str, Any]]:
    """All events of a call, and its item in the end."""
    call = begin_call(TOOLS.get(name), name, "t00", "call_x")
    item = call.item
    assert item["status"] == "in_progress"
    events = [event for piece in pieces for event in call.feed(piece)] + call.finish(status)
    assert call.item is item
    return events, item


@STATUSES
def test_a_function_has_its_arguments_as_they_come(status: str) -> None:
    events, item = written("add", ['{"a"', ":1}"], status)
    assert events == [
        ("function_call_arguments.delta", {"delta": '{"a"'}),
        ("function_call_arguments.delta", {"delta": ":1}"}),
        ("function_call_arguments.done", {"name": "add", "arguments": '{"a":1}'}),
    ]
    assert item == {
        "id": "fc_t00",
        "type": "function_call",
        "status": status,
        "call_id": "call_x",
        "name": "add",
        "arguments": '{"a":1}',
    }


def test_a_function_in_a_namespace_has_both_names() -> None:
    _, item = written("mcp__sums__add", ["{}"])
    assert (item["namespace"], item["name"]) == ("mcp__sums", "add")


def test_a_name_that_no_tool_has_is_a_function() -> None:
    _, item = written("mul", ["{}"])
    assert (item["type"], item["name"], "namespace" in item) == ("function_call", "mul", False)


def test_a_call_without_an_id_gets_one() -> None:
    assert begin_call(None, "add", "t00", "").item["call_id"] == "call_t00"


def test_no_arguments_are_none_given_unless_they_were_cut() -> None:
    assert written("add", [])[1]["arguments"] == "{}"
    assert written("add", [], "incomplete")[1]["arguments"] == ""


@STATUSES
def test_a_custom_tool_has_the_text_alone(status: str) -> None:
    events, item = written("patch", ['{"inp', 'ut": "*** Be', "gin\\n", '"}'], status)
    assert events == [
        ("custom_tool_call_input.delta", {"delta": "*** Be"}),
        ("custom_tool_call_input.delta", {"delta": "gin\n"}),
        ("custom_tool_call_input.done", {"input": "*** Begin\n"}),
    ]
    assert item == {
        "id": "ctc_t00",
        "type": "custom_tool_call",
        "status": status,
        "call_id": "call_x",
        "name": "patch",
        "input": "*** Begin\n",
    }


@STATUSES
def test_a_search_has_an_object_and_no_events(status: str) -> None:
    events, item = written("tool_search", ['{"query"', ': "a"}'], status)
    assert events == []
    assert item == {
        "id": "tsc_t00",
        "type": "tool_search_call",
        "status": status,
        "call_id": "call_x",
        "execution": "client",
        "arguments": {"query": "a"},
    }


def test_a_search_that_was_cut_has_no_arguments() -> None:
    assert written("tool_search", ['{"query"'], "incomplete")[1]["arguments"] == {}


def read(*pieces: str) -> str:
    text = FreeText()
    output = "".join(text.feed(piece) for piece in pieces) + text.flush()
    assert output == text.text
    return output


@settings(deadline=None)
@given(st.text(), st.booleans(), st.lists(st.integers(0, 60), max_size=6))
def test_a_text_is_the_same_however_it_is_cut(text: str, plain: bool, cuts: list[int]) -> None:
    whole = json.dumps({"input": text}, ensure_ascii=not plain)
    places = [0, *sorted(cuts), len(whole)]
    pieces = [whole[start:end] for start, end in pairwise(places)]
    assert read(*pieces) == text


def test_a_text_comes_as_soon_as_it_is_certain() -> None:
    text = FreeText()
    pieces = [' { "input" :', ' "a', "\\", "n\\u00", "e9\\ud83d", "\\ude00b", '", "x": "c"}']
    assert [text.feed(piece) for piece in pieces] == ["", "a", "", "\n", "é", "😀b", ""]
    assert text.flush() == ""


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"patch": "a"}', "a"),
        ('{"patch": "a", "why": "b"}', '{"patch": "a", "why": "b"}'),
        ('{"patch": 1}', '{"patch": 1}'),
        ("*** Begin Patch", "*** Begin Patch"),
        ("{}", "{}"),
        ("", ""),
        ('{"why": "b", "input": "a"}', "a"),
        ('{"input": "a\nb"}', "a\nb"),
        ('{"input": "a', "a"),
        ('{"input": "a\\', "a"),
        ('{"input": "\\ud83d!"}', "?!"),
        ('{"input": "a", "input": "b"}', "a"),
    ],
)
def test_other_arguments_are_read_as_they_may_be_meant(arguments: str, text: str) -> None:
    assert read(arguments) == text
    assert read(*arguments) == text


def test_long_arguments_without_the_text_are_not_searched_again_and_again() -> None:
    text = FreeText()
    assert text.feed("*** Begin Patch\n" * 8) == ""
    assert text.feed('{"input": "a"}') == ""
    assert text.flush() == "*** Begin Patch\n" * 8 + '{"input": "a"}'
