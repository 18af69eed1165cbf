"""The messages that items of the Responses API become."""

from typing import Any

import pytest

from gateway.api.responses.items import read_items
from gateway.api.responses.messages import chat_messages
from gateway.errors import Invalid

PIXEL = "data:image/png;base64,aGk="
TEXT = {"type": "text", "text": "a"}
SUMMARY = [{"type": "summary_text", "text": "in short"}]
CONTENT = [{"type": "reasoning_text", "text": "in "}, {"type": "reasoning_text", "text": "full"}]
SHOWN = {"type": "image_url", "image_url": {"url": PIXEL}}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def converted(*given: Any, instructions: str = "") -> list[dict[str, Any]]:
    return chat_messages(read_items(list(given), "t"), instructions)


def call(ident: str, arguments: str = '{"a":1}') -> dict[str, Any]:
    return {"type": "function_call", "call_id": ident, "name": "add", "arguments": arguments}


def output(ident: str, text: Any = "3") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": ident, "output": text}


def called(ident: str, arguments: str = '{"a":1}', name: str = "add") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": ident, "type": "function", "function": function}


def answered(ident: str, content: Any = "3", name: str = "add") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": ident, "name": name, "content": content}


def test_a_text_is_a_message_of_the_user() -> None:
    assert chat_messages(read_items("hi", "t")) == [user("hi")]
    assert chat_messages([]) == []


def test_images_stand_between_texts() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": PIXEL}]
    assert converted({"role": "user", "content": parts}) == [
        {"role": "user", "content": [TEXT, SHOWN]},
    ]


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def test_instructions_are_the_first_system_message() -> None:
    assert converted(user("q"), instructions="Be brief.") == [system("Be brief."), user("q")]
    assert chat_messages([], "Be brief.") == [system("Be brief.")]


def test_system_messages_next_to_each_other_are_one() -> None:
    developer = {"role": "developer", "content": "You may read."}
    assert converted(developer, user("q")) == [system("You may read."), user("q")]
    assert converted(
        developer, system(""), system("Now."), user("q"), instructions="Be brief."
    ) == [
        system("Be brief.\n\nYou may read.\n\nNow."),
        user("q"),
    ]
    assert converted(system("a"), user("q"), developer) == [
        system("a"),
        user("q"),
        system("You may read."),
    ]


def test_an_image_of_the_system_stands_behind_its_text() -> None:
    image = {"role": "system", "content": [{"type": "input_image", "image_url": PIXEL}]}
    assert converted(system("a"), image) == [{"role": "system", "content": [TEXT, SHOWN]}]


def test_a_call_of_a_custom_tool_has_its_text_as_an_argument() -> None:
    custom = {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": 'say "é"'}
    result = {"type": "custom_tool_call_output", "call_id": "c", "output": "done"}
    assert converted(custom, result) == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [called("c", '{"input": "say \\"é\\""}', "patch")],
        },
        answered("c", "done", "patch"),
    ]


def test_a_call_that_was_cut_short_is_left_out() -> None:
    custom = {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "a"}
    for cut in (call("c", '{"a"'), custom):
        assert converted(user("q"), {**cut, "status": "incomplete"}, user("go on")) == [
            user("q"),
            user("go on"),
        ]


def test_a_call_in_a_namespace_has_the_name_of_its_function() -> None:
    first, second = converted({**call("c"), "namespace": "mcp__sums__"}, output("c"))
    assert first["tool_calls"] == [called("c", name="mcp__sums__add")]
    assert second == answered("c", name="mcp__sums__add")


def test_a_search_for_tools_is_a_call_and_its_result() -> None:
    search = {"type": "tool_search_call", "call_id": "c", "arguments": {"query": "é"}}
    output_item = {
        "type": "tool_search_output",
        "call_id": "c",
        "tools": [{"type": "function", "name": "add"}, {"type": "function", "name": "sub"}],
    }
    search_call = called("c", '{"query": "é"}', "tool_search")
    assert converted(search, output_item) == [
        {"role": "assistant", "content": "", "tool_calls": [search_call]},
        answered("c", "There are now: add, sub", "tool_search"),
    ]
    nothing = converted(search, {**output_item, "tools": []})[-1]
    assert nothing == answered("c", "No tools were found.", "tool_search")


def test_a_search_that_a_server_made_is_left_out() -> None:
    search = {"type": "tool_search_call", "arguments": {}}
    output_item = {"type": "tool_search_output", "tools": []}
    more = {"type": "additional_tools", "role": "developer", "tools": []}
    assert converted(more, user("q"), search, output_item) == [user("q")]


def test_another_agent_speaks_as_a_user_with_a_name() -> None:
    part = {"type": "input_text", "text": "Done."}
    message = {
        "type": "agent_message",
        "author": "/root/a",
        "recipient": "/root",
        "content": [part],
    }
    assert converted(user("q"), message) == [user("q"), user("Message from /root/a:\nDone.")]


def test_parts_of_text_are_one_text() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    assert converted({"role": "user", "content": parts}) == [user("ab")]
    parts = [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "no"}]
    assert converted({"role": "assistant", "content": parts}) == [
        {"role": "assistant", "content": "ano"}
    ]


def test_calls_and_their_results() -> None:
    assert converted(user("q"), call("c1"), call("c2", ""), output("c1"), output("c2")) == [
        user("q"),
        {"role": "assistant", "content": "", "tool_calls": [called("c1"), called("c2", "{}")]},
        answered("c1"),
        answered("c2"),
    ]


def test_a_text_belongs_to_the_call_beside_it() -> None:
    text = {"role": "assistant", "content": "I add. "}
    joined = {"role": "assistant", "content": "I add. ", "tool_calls": [called("c")]}
    assert converted(text, call("c"), output("c")) == [joined, answered("c")]
    assert converted(call("c"), text, output("c")) == [joined, answered("c")]


def test_a_text_after_the_result_is_another_message() -> None:
    text = {"role": "assistant", "content": "3."}
    assert converted(call("c"), output("c"), text)[-1] == text
    assert converted(text, text) == [text, text]


def test_the_result_of_an_unknown_call_has_no_name() -> None:
    assert converted(output("c")) == [{"role": "tool", "tool_call_id": "c", "content": "3"}]


def test_a_result_may_have_parts() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    assert converted(call("c"), output("c", parts))[-1] == answered("c", "ab")
    image = [{"type": "input_image", "image_url": PIXEL}]
    shown = [{"type": "image_url", "image_url": {"url": PIXEL}}]
    assert converted(call("c"), output("c", image))[-1] == answered("c", shown)


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
    assert converted(item, text) == [{**text, "reasoning_content": thought}]
    assert converted(item, call("c"))[0]["reasoning_content"] == thought
    assert converted(item, user("b"))[0] == {
        "role": "assistant",
        "content": "",
        "reasoning_content": thought,
    }
    assert converted(user("b"), item)[-1]["reasoning_content"] == thought


def test_reasoning_between_calls_begins_another_message() -> None:
    thought = {"type": "reasoning", "encrypted_content": "hm"}
    first, second = converted(call("c1"), thought, call("c2"))
    assert first["tool_calls"] == [called("c1")]
    assert (second["reasoning_content"], second["tool_calls"]) == ("hm", [called("c2")])


def test_reasoning_of_nothing_is_nothing() -> None:
    assert converted({"type": "reasoning", "summary": []}) == []


def test_searches_are_left_out() -> None:
    assert converted(user("a"), {"type": "web_search_call", "id": "ws_1"}) == [user("a")]


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
        chat_messages(read_items(given, "t"))
    assert caught.value.message == message
