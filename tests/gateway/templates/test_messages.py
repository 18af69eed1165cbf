"""Messages as templates see them."""

from typing import Any

import pytest

from gateway.golang.json_encode import marshal
from gateway.templates.messages import TemplateMessage, ThinkFlags, template_messages

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}


def call(name: str, arguments: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


def field(value: Any, *names: str) -> Any:
    """The field of a field … of a struct, as `.A.B` in a template."""
    for name in names:
        value = value.fields[name]
    return value


def one(message: dict[str, Any]) -> TemplateMessage:
    (converted,), _ = template_messages([message])
    return converted


def test_a_message_has_all_of_gos_fields() -> None:
    assert one({"role": "user", "content": "hi"}).fields == {
        "Role": "user",
        "Content": "hi",
        "Thinking": "",
        "Images": (),
        "ToolCalls": (),
        "ToolName": "",
        "ToolCallID": "",
    }


def test_thinking_and_results_have_other_names_there() -> None:
    message = {"role": "assistant", "content": None, "reasoning_content": "Hm."}
    assert one(message) == TemplateMessage("assistant", thinking="Hm.")
    result = {"role": "tool", "content": "18", "name": "get_weather", "tool_call_id": "call_1"}
    assert one(result) == TemplateMessage(
        "tool", "18", tool_name="get_weather", tool_call_id="call_1"
    )


def test_calls_have_an_index_and_arguments_that_print_as_json() -> None:
    calls = [call("f", '{"b": 1000000, "a": "<"}', id="call_1"), call("g", "")]
    first, second = field(one({"role": "assistant", "tool_calls": calls}), "ToolCalls")
    assert (field(first, "ID"), field(second, "ID")) == ("call_1", "")
    function = field(first, "Function").fields
    assert (function["Index"], function["Name"]) == (0, "f")
    assert function["Arguments"].text() == '{"a":"\\u003c","b":1000000}'
    assert isinstance(function["Arguments"]["b"], float)
    assert field(second, "Function", "Index") == 1
    assert field(second, "Function", "Arguments").text() == "{}"


def test_markers_count_over_all_messages() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE]},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": [IMAGE, IMAGE]},
    ]
    converted, media = template_messages(messages)
    assert [message.content for message in converted] == ["[img-0]a", "b", "[img-1][img-2]"]
    assert [message.images for message in converted] == [("QUJD",), (), ("QUJD", "QUJD")]
    assert media == ("QUJD",) * 3


def test_json_of_a_message_has_gos_field_names() -> None:
    assert marshal([one({"role": "user", "content": [IMAGE]})]) == (
        '[{"Role":"user","Content":"[img-0]","Thinking":"","Images":["QUJD"],"ToolCalls":null,'
        '"ToolName":"","ToolCallID":""}]'
    )
    message = one({"role": "assistant", "content": "", "tool_calls": [call("f", "{}", id="i")]})
    assert (
        '"Images":null,"ToolCalls":[{"ID":"i","Function":{"Index":0,"Name":"f","Arguments":{}}}]'
        in (marshal(message))
    )


@pytest.mark.parametrize(
    ("think", "data"),
    [
        (ThinkFlags(True), {"Think": True, "ThinkLevel": "", "IsThinkSet": True}),
        (ThinkFlags(True, "low"), {"Think": True, "ThinkLevel": "low", "IsThinkSet": True}),
        (ThinkFlags(False, given=False), {"Think": False, "ThinkLevel": "", "IsThinkSet": False}),
    ],
)
def test_templates_see_the_thinking_flags(think: ThinkFlags, data: dict[str, Any]) -> None:
    assert think.data == data
