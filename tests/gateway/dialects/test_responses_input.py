"""Items of the Responses API, and the messages they become."""

from typing import Any

import pytest

from gateway.dialects.responses_input import ITEMS, items, messages, references, resolved
from gateway.errors import Invalid

PIXEL = "data:image/png;base64,aGk="


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(*given: Any) -> list[dict[str, Any]]:
    return messages(items(list(given), "t"))


def call(ident: str, arguments: str = '{"a":1}') -> dict[str, Any]:
    return {"type": "function_call", "call_id": ident, "name": "add", "arguments": arguments}


def output(ident: str, text: Any = "3") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": ident, "output": text}


def called(ident: str, arguments: str = '{"a":1}') -> dict[str, Any]:
    function = {"name": "add", "arguments": arguments}
    return {"id": ident, "type": "function", "function": function}


def answered(ident: str, content: Any = "3") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": ident, "name": "add", "content": content}


def test_a_text_is_a_message_of_the_user() -> None:
    part = {"type": "input_text", "text": "hi"}
    message = {"type": "message", "role": "user", "id": "msg_ti00", "status": "completed"}
    assert items("hi", "t") == [{**message, "content": [part]}]
    assert messages(items("hi", "t")) == [user("hi")]


@pytest.mark.parametrize("nothing", [None, "", []])
def test_nothing_is_no_item(nothing: Any) -> None:
    assert items(nothing, "t") == []
    assert messages([]) == []


def test_ids_are_kept_or_made() -> None:
    given = [{"id": "msg_own", **user("a")}, call("c"), output("c"), {"type": "reasoning"}]
    assert [item["id"] for item in items(given, "t")] == [
        "msg_own",
        "fc_ti01",
        "fco_ti02",
        "rs_ti03",
    ]


def test_parts_of_text_are_one_text() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    assert said({"role": "developer", "content": parts}) == [{"role": "developer", "content": "ab"}]
    parts = [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "no"}]
    assert said({"role": "assistant", "content": parts}) == [
        {"role": "assistant", "content": "ano"}
    ]


def test_a_text_of_the_assistant_is_kept_as_its_output() -> None:
    (item,) = items([{"role": "assistant", "content": "a"}], "t")
    assert item["content"] == [{"type": "output_text", "text": "a", "annotations": []}]


def test_images_stand_between_texts() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": PIXEL}]
    assert items([{"role": "user", "content": parts}], "t")[0]["content"][1]["detail"] == "auto"
    assert said({"role": "user", "content": parts}) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": PIXEL}},
            ],
        }
    ]


def test_calls_and_their_results() -> None:
    assert said(user("q"), call("c1"), call("c2", ""), output("c1"), output("c2")) == [
        user("q"),
        {"role": "assistant", "content": "", "tool_calls": [called("c1"), called("c2", "{}")]},
        answered("c1"),
        answered("c2"),
    ]


def test_a_text_belongs_to_the_call_beside_it() -> None:
    text = {"role": "assistant", "content": "I add. "}
    joined = {"role": "assistant", "content": "I add. ", "tool_calls": [called("c")]}
    assert said(text, call("c"), output("c")) == [joined, answered("c")]
    assert said(call("c"), text, output("c")) == [joined, answered("c")]


def test_a_text_after_the_result_is_another_message() -> None:
    text = {"role": "assistant", "content": "3."}
    assert said(call("c"), output("c"), text)[-1] == text
    assert said(text, text) == [text, text]


def test_the_result_of_an_unknown_call_has_no_name() -> None:
    assert said(output("c")) == [{"role": "tool", "tool_call_id": "c", "content": "3"}]


def test_a_result_may_have_parts() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    assert said(call("c"), output("c", parts))[-1] == answered("c", "ab")
    image = [{"type": "input_image", "image_url": PIXEL}]
    shown = [{"type": "image_url", "image_url": {"url": PIXEL}}]
    assert said(call("c"), output("c", image))[-1] == answered("c", shown)


SUMMARY = [{"type": "summary_text", "text": "in short"}]
CONTENT = [{"type": "reasoning_text", "text": "in "}, {"type": "reasoning_text", "text": "full"}]


@pytest.mark.parametrize(
    ("reasoning", "thought"),
    [
        ({"encrypted_content": "whole", "summary": SUMMARY, "content": CONTENT}, "whole"),
        ({"summary": SUMMARY, "content": CONTENT}, "in full"),
        ({"summary": SUMMARY, "encrypted_content": None}, "in short"),
    ],
)
def test_reasoning_goes_with_what_follows(reasoning: dict[str, Any], thought: str) -> None:
    item = {"type": "reasoning", **reasoning}
    text = {"role": "assistant", "content": "a"}
    assert said(item, text) == [{**text, "reasoning_content": thought}]
    assert said(item, call("c"))[0]["reasoning_content"] == thought
    assert said(item, user("b"))[0] == {
        "role": "assistant",
        "content": "",
        "reasoning_content": thought,
    }
    assert said(user("b"), item)[-1]["reasoning_content"] == thought


def test_reasoning_between_calls_begins_another_message() -> None:
    thought = {"type": "reasoning", "encrypted_content": "hm"}
    first, second = said(call("c1"), thought, call("c2"))
    assert first["tool_calls"] == [called("c1")]
    assert (second["reasoning_content"], second["tool_calls"]) == ("hm", [called("c2")])


def test_reasoning_of_nothing_is_nothing() -> None:
    assert said({"type": "reasoning", "summary": []}) == []


def test_searches_are_left_out() -> None:
    assert said(user("a"), {"type": "web_search_call", "id": "ws_1"}) == [user("a")]


def test_references_are_replaced_by_what_they_mean() -> None:
    given = items([user("a"), {"type": "item_reference", "id": "msg_1"}], "t")
    assert references(given) == ["msg_1"]
    found = items([{"id": "msg_1", **user("b")}], "t")[0]
    assert messages(resolved(given, {"msg_1": found})) == [user("a"), user("b")]
    with pytest.raises(Invalid, match=r"^Item with id 'msg_1' not found\.$"):
        resolved(given, {})


def test_every_kind_of_item_that_is_named_is_known() -> None:
    fitting = {
        "message": {"role": "user", "content": ""},
        "function_call": call("c"),
        "function_call_output": output("c"),
        "item_reference": {"id": "x"},
    }
    for kind in ITEMS:
        assert items([{**fitting.get(kind, {}), "type": kind}], "t")[0]["type"] == kind


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
        items(given, "t")
    assert caught.value.message == message


def test_arguments_that_are_not_json_are_refused() -> None:
    with pytest.raises(Invalid, match=r"^failed to parse function call arguments: "):
        items([call("c", "{")], "t")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "http://example.com/a.png",
            "image URLs are not currently supported, please use base64 encoded data instead",
        ),
        ("data:image/png;base64,?", "invalid image input"),
    ],
)
def test_images_are_data(url: str, message: str) -> None:
    given = [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]
    with pytest.raises(Invalid) as caught:
        messages(items(given, "t"))
    assert caught.value.message == message
