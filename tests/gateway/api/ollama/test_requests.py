"""Ollama's requests as turns."""

from typing import Any

import pytest

from gateway.api.ollama import requests as ollama
from gateway.errors import Invalid
from gateway.inference.types import Turn

HI = {"role": "user", "content": "hi"}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"x": [1]}}}]
JSON = {"type": "json_object"}


def schema(form: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "schema", "schema": form}}


message = ollama.message


# ---- chat


def test_a_plain_chat_is_its_messages_and_may_be_shortened() -> None:
    assert ollama.chat({"messages": [HI]}) == Turn(messages=[HI], truncate=True)
    assert ollama.chat({}) == Turn(messages=[], truncate=True)


def test_all_that_a_chat_may_say() -> None:
    body = {
        "messages": [HI],
        "tools": TOOLS,
        "think": "high",
        "format": "json",
        "options": {"seed": 3, "stop": ["x"], "stream": False},
        "keep_alive": 60.0,
        "truncate": False,
        "shift": True,
        "logprobs": True,
        "top_logprobs": 5,
    }
    assert ollama.chat(body) == Turn(
        messages=[HI],
        tools=TOOLS,
        think="high",
        format=JSON,
        options={"seed": 3, "stop": ["x"], "stream": False},
        keep_alive=60.0,
        truncate=False,
        shift=True,
        top_logprobs=5,
    )


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        (None, None),
        ("", None),
        ("json", JSON),
        ({"type": "object"}, schema({"type": "object"})),
        ({}, schema({})),
    ],
)
def test_a_format_is_a_response_format(form: Any, wanted: Any) -> None:
    for turn in (ollama.chat({"format": form}), ollama.generate({"format": form})):
        assert turn.format == wanted


@pytest.mark.parametrize("think", [None, True, False, "high"])
def test_thinking_is_what_the_request_says_of_it(think: bool | str | None) -> None:
    body = {} if think is None else {"think": think}
    for turn in (ollama.chat(body), ollama.generate(body)):
        assert turn.think is think


def test_tools_are_passed_on_unless_there_are_none() -> None:
    assert ollama.chat({"tools": TOOLS}).tools == TOOLS
    assert ollama.chat({"tools": []}).tools == ()
    assert ollama.chat({"tools": None}).tools == ()


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"logprobs": True}, 0),
        ({"logprobs": True, "top_logprobs": 0}, 0),
        ({"logprobs": True, "top_logprobs": 5}, 5),
        ({"logprobs": False, "top_logprobs": 5}, None),
        ({"top_logprobs": 5}, None),
    ],
)
def test_alternatives_alone_are_no_wish_for_logprobs(
    body: dict[str, Any], wanted: int | None
) -> None:
    for turn in (ollama.chat(body), ollama.generate(body)):
        assert turn.top_logprobs == wanted


# ---- generate


def test_a_prompt_is_a_conversation_of_one_message() -> None:
    assert ollama.generate({"prompt": "hi"}) == Turn(messages=[HI], truncate=True)
    assert ollama.generate({}).messages == [{"role": "user", "content": ""}]


def test_a_prompt_may_have_a_system_text_and_images() -> None:
    turn = ollama.generate({"prompt": "hi", "system": "Be.", "images": ["AAA="]})
    image = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AAA="}}
    text = {"type": "text", "text": "hi"}
    assert turn.system == "Be."
    assert turn.messages == [{"role": "user", "content": [text, image]}]


def test_a_context_takes_the_place_of_stored_messages() -> None:
    assert ollama.generate({"prompt": "hi"}).stored
    assert not ollama.generate({"prompt": "hi", "context": []}).stored
    assert not ollama.generate({"prompt": "hi", "context": [1]}).stored


# ---- messages


def test_a_message_may_lack_everything() -> None:
    assert message({}) == {"role": "", "content": ""}


def test_earlier_thinking_goes_by_the_engines_name() -> None:
    said = {"role": "assistant", "content": "x"}
    assert message({**said, "thinking": "hm"}) == {**said, "reasoning_content": "hm"}
    assert message({**said, "thinking": ""}) == said


def test_images_follow_the_text_and_an_empty_text_is_left_out() -> None:
    one, two = (
        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}
        for data in ("AAA=", "BBB=")
    )
    said = message({"role": "user", "content": "look", "images": ["AAA=", "BBB="]})
    assert said["content"] == [{"type": "text", "text": "look"}, one, two]
    assert message({"role": "user", "content": "", "images": ["AAA="]})["content"] == [one]
    assert message({"role": "user", "content": "x", "images": []})["content"] == "x"


def test_earlier_tool_calls_have_their_arguments_as_text() -> None:
    calls = [
        {"id": "c1", "function": {"index": 3, "name": "add", "arguments": {"b": "é", "a": 1}}},
        {"function": {"name": "now", "arguments": None}},
        {},
    ]
    assert message({"role": "assistant", "tool_calls": calls})["tool_calls"] == [
        {
            "type": "function",
            "function": {"name": "add", "arguments": '{"b":"é","a":1}'},
            "id": "c1",
        },
        {"type": "function", "function": {"name": "now", "arguments": "{}"}},
        {"type": "function", "function": {"name": "", "arguments": "{}"}},
    ]


def test_a_tool_result_names_its_tool_and_its_call() -> None:
    said = {"role": "tool", "content": "3"}
    assert message({**said, "tool_name": "add", "tool_call_id": "c1"}) == {
        **said,
        "name": "add",
        "tool_call_id": "c1",
    }
    assert message({**said, "tool_name": "", "tool_call_id": ""}) == said


# ---- checks


@pytest.mark.parametrize("number", [0, 1, 20])
def test_up_to_twenty_alternatives_can_be_had(number: int) -> None:
    ollama.check({"top_logprobs": number})
    ollama.check({})


@pytest.mark.parametrize("number", [-1, 21])
def test_more_alternatives_cannot(number: int) -> None:
    with pytest.raises(Invalid, match=r"^top_logprobs must be between 0 and 20$"):
        ollama.check({"top_logprobs": number})


@pytest.mark.parametrize(
    ("form", "quoted"),
    [
        ("xml", r'"\"xml\""'),
        (" ", r'"\" \""'),
        (5, '"5"'),
        ([], '"[]"'),
        (True, '"true"'),
        (0, '"0"'),
        (False, '"false"'),
    ],
)
def test_a_format_that_cannot_be_had_is_quoted(form: Any, quoted: str) -> None:
    words = f'invalid format: {quoted}; expected "json" or a valid JSON Schema object'
    for make in (ollama.chat, ollama.generate):
        with pytest.raises(Invalid) as caught:
            make({"format": form})
        assert caught.value.message == words
