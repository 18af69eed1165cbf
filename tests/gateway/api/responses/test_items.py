"""Items of the Responses API, checked and in one form."""

from typing import Any

import pytest

from gateway.api.responses.items import ITEMS, read_items, referenced_ids, resolve_references
from gateway.errors import Invalid

PIXEL = "data:image/png;base64,aGk="


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def call(ident: str, arguments: str = '{"a":1}') -> dict[str, Any]:
    return {"type": "function_call", "call_id": ident, "name": "add", "arguments": arguments}


def output(ident: str, text: Any = "3") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": ident, "output": text}


def test_a_text_is_a_message_of_the_user() -> None:
    part = {"type": "input_text", "text": "hi"}
    message = {"type": "message", "role": "user", "id": "msg_ti00", "status": "completed"}
    assert read_items("hi", "t") == [{**message, "content": [part]}]


@pytest.mark.parametrize("nothing", [None, "", []])
def test_nothing_is_no_item(nothing: Any) -> None:
    assert read_items(nothing, "t") == []


def test_ids_are_kept_or_made() -> None:
    given = [{"id": "msg_own", **user("a")}, call("c"), output("c"), {"type": "reasoning"}]
    assert [item["id"] for item in read_items(given, "t")] == [
        "msg_own",
        "fc_ti01",
        "fco_ti02",
        "rs_ti03",
    ]
    items = read_items([{"type": "additional_tools", "id": None, "tools": []}], "t")
    assert items == [{"type": "additional_tools", "id": "at_ti00", "tools": []}]


def test_a_text_of_the_assistant_is_kept_as_its_output() -> None:
    (item,) = read_items([{"role": "assistant", "content": "a"}], "t")
    assert item["content"] == [{"type": "output_text", "text": "a", "annotations": []}]


def test_images_say_their_detail() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": PIXEL}]
    assert (
        read_items([{"role": "user", "content": parts}], "t")[0]["content"][1]["detail"] == "auto"
    )


def test_references_are_replaced_by_what_they_mean() -> None:
    given = read_items([user("a"), {"type": "item_reference", "id": "msg_1"}], "t")
    assert referenced_ids(given) == ["msg_1"]
    stored = read_items([{"id": "msg_1", **user("b")}], "t")[0]
    assert resolve_references(given, {"msg_1": stored}) == [given[0], stored]
    with pytest.raises(Invalid, match=r"^Item with id 'msg_1' not found\.$"):
        resolve_references(given, {})


def test_every_kind_of_item_that_is_named_is_known() -> None:
    fitting = {
        "message": {"role": "user", "content": ""},
        "function_call": call("c"),
        "function_call_output": output("c"),
        "item_reference": {"id": "x"},
        "custom_tool_call": {"call_id": "c", "name": "f", "input": ""},
        "custom_tool_call_output": {"call_id": "c", "output": ""},
        "tool_search_output": {"tools": []},
        "additional_tools": {"tools": []},
        "agent_message": {"author": "a", "content": ""},
    }
    for kind in ITEMS:
        assert read_items([{**fitting.get(kind, {}), "type": kind}], "t")[0]["type"] == kind


NOT_LIST = "json: cannot unmarshal {} into Go value of type []json.RawMessage"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (5, f"input must be a string or array: {NOT_LIST.format('number')}"),
        (True, f"input must be a string or array: {NOT_LIST.format('bool')}"),
        ({}, f"input must be a string or array: {NOT_LIST.format('object')}"),
        ([1], "input[0]: an input item must be an object"),
        ([{}], "input[0]: input item missing required 'type' field"),
        ([user("a"), {"type": "zzz"}], 'input[1]: unknown input item type: "zzz"'),
        ([{"type": 5}], 'input[0]: unknown input item type: "5"'),
        ([{"type": "item_reference"}], "input[0]: an item_reference must have an id"),
        ([{"role": "zzz", "content": "a"}], 'input[0]: unknown role: "zzz"'),
        ([{"type": "message", "content": "a"}], 'input[0]: unknown role: "None"'),
        (
            [{"role": "user", "content": 5}],
            f"input[0]: content must be a string or array: {NOT_LIST.format('number')}",
        ),
        (
            [{"role": "user"}],
            "input[0]: content must be a string or array: unexpected end of JSON input",
        ),
        (
            [{"role": "user", "content": [{"type": "zzz"}]}],
            "input[0]: content[0]: unknown content type: zzz",
        ),
        ([{"role": "user", "content": ["a"]}], "input[0]: content[0]: unknown content type: None"),
        (
            [{"role": "user", "content": [{"type": "input_text"}]}],
            "input[0]: content[0]: a part of type input_text must have a text",
        ),
        (
            [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}],
            "file inputs are not currently supported",
        ),
        (
            [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}],
            "input[0]: content[0]: an input_image must have an image_url; files are not kept here",
        ),
        ([{**call("c"), "name": None}], "input[0]: a function_call must have a name"),
        ([{**call("c"), "namespace": 1}], "input[0]: namespace must be a string"),
        (
            [{"type": "custom_tool_call", "call_id": "c", "input": ""}],
            "input[0]: a custom_tool_call must have a name",
        ),
        (
            [{"type": "custom_tool_call", "call_id": "c", "name": "f"}],
            "input[0]: a custom_tool_call must have an input",
        ),
        (
            [{"type": "custom_tool_call_output", "output": ""}],
            "input[0]: a custom_tool_call_output must have a call_id",
        ),
        (
            [{"type": "tool_search_call", "arguments": "{}"}],
            "input[0]: the arguments of a tool_search_call must be an object",
        ),
        ([{"type": "tool_search_call", "call_id": 1}], "input[0]: call_id must be a string"),
        (
            [{"type": "tool_search_output", "call_id": 1, "tools": []}],
            "input[0]: call_id must be a string",
        ),
        ([{"type": "tool_search_output"}], "input[0]: tools must be an array of objects"),
        (
            [{"type": "additional_tools", "tools": [1]}],
            "input[0]: tools must be an array of objects",
        ),
        (
            [{"type": "agent_message", "content": "a"}],
            "input[0]: an agent_message must have an author",
        ),
        (
            [{"type": "local_shell_call", "call_id": "c"}],
            'input[0]: unknown input item type: "local_shell_call"',
        ),
        ([{**call("c"), "call_id": 1}], "input[0]: a function_call must have a call_id"),
        ([{**call("c"), "arguments": {}}], "input[0]: arguments must be a string"),
        (
            [call("c", "[]")],
            "failed to parse function call arguments: they must be a JSON object",
        ),
        (
            [{**output("c"), "call_id": None}],
            "input[0]: a function_call_output must have a call_id",
        ),
        (
            [output("c", 5)],
            f"input[0]: output must be a string or array: {NOT_LIST.format('number')}",
        ),
        (
            [{"type": "reasoning", "encrypted_content": 1}],
            "input[0]: encrypted_content must be a string",
        ),
        (
            [{"type": "reasoning", "summary": "a"}],
            "input[0]: summary must be an array of texts",
        ),
        (
            [{"type": "reasoning", "content": [{}]}],
            "input[0]: content must be an array of texts",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_place(given: Any, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_items(given, "t")
    assert caught.value.message == message


def test_arguments_that_are_not_json_are_refused() -> None:
    with pytest.raises(Invalid, match=r"^failed to parse function call arguments: "):
        read_items([call("c", "{")], "t")
