"""Ollama's requests as calls on the engine."""

import json
from typing import Any

import pytest

from gateway.dialects import ollama
from gateway.dialects.call import Call
from gateway.errors import Invalid

HI = {"role": "user", "content": "hi"}
ALWAYS = {"stream": True, "return_progress": True, "cache_prompt": True}
FIELDS = ["content", "stop", "tokens", "stop_type", "timings", "truncated"]


def sent(call: Call) -> tuple[str, Any]:
    return call.path, json.loads(call.body)


def chat(body: dict[str, Any], think: bool | str | None = None) -> dict[str, Any]:
    """What a chat with one message adds to what every chat has."""
    path, payload = sent(ollama.chat(body, [HI], {}, think))
    assert path == "/v1/chat/completions"
    plain = {"messages": [HI], **ALWAYS}
    assert payload.items() >= plain.items()
    return {key: value for key, value in payload.items() if key not in plain}


def message(**members: Any) -> Any:
    return sent(ollama.render([members], None))[1]["messages"][0]


def completion(body: dict[str, Any]) -> dict[str, Any]:
    path, payload = sent(ollama.completion(body, "a\u2028b", {"seed": 1}))
    plain = {"prompt": "a\u2028b", "seed": 1, **ALWAYS, "return_tokens": True}
    assert path == "/completion"
    assert payload.items() >= plain.items()
    return {key: value for key, value in payload.items() if key not in plain}


# ---- chat


def test_a_plain_chat_is_streamed_with_its_progress() -> None:
    assert chat({}) == {}


def test_sampling_goes_with_it_and_cannot_turn_the_stream_off() -> None:
    call = ollama.chat({}, [HI], {"seed": 3, "stop": ["x"], "stream": False}, None)
    assert sent(call)[1] == {"messages": [HI], "seed": 3, "stop": ["x"], **ALWAYS}


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        (None, {}),
        ("", {}),
        ("json", {"response_format": {"type": "json_object"}}),
        (
            {"type": "object"},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "schema", "schema": {"type": "object"}},
                }
            },
        ),
        (
            {},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "schema", "schema": {}},
                }
            },
        ),
    ],
)
def test_a_format_constrains_a_chat(form: Any, wanted: dict[str, Any]) -> None:
    assert chat({"format": form}) == wanted


@pytest.mark.parametrize(
    ("think", "kwargs"),
    [
        (None, None),
        (True, {"enable_thinking": True}),
        (False, {"enable_thinking": False}),
        ("high", {"enable_thinking": True, "reasoning_effort": "high"}),
    ],
)
def test_thinking_is_told_to_the_template(think: bool | str | None, kwargs: Any) -> None:
    assert chat({}, think) == ({} if kwargs is None else {"chat_template_kwargs": kwargs})


def test_tools_are_passed_on_unless_there_are_none() -> None:
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"x": [1]}}}]
    assert chat({"tools": tools}) == {"tools": tools}
    assert chat({"tools": []}) == {}


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"logprobs": True}, {"logprobs": True, "top_logprobs": 1}),
        ({"logprobs": True, "top_logprobs": 0}, {"logprobs": True, "top_logprobs": 1}),
        ({"logprobs": True, "top_logprobs": 5}, {"logprobs": True, "top_logprobs": 5}),
        ({"logprobs": False, "top_logprobs": 5}, {}),
        ({"top_logprobs": 5}, {}),
    ],
)
def test_logprobs_always_ask_for_at_least_one(body: dict[str, Any], wanted: Any) -> None:
    assert chat(body) == wanted


# ---- messages


def test_a_message_may_lack_everything() -> None:
    assert message() == {"role": "", "content": ""}


def test_earlier_thinking_is_left_out() -> None:
    assert message(role="assistant", content="x", thinking="hm") == {
        "role": "assistant",
        "content": "x",
    }


def test_images_follow_the_text_and_an_empty_text_is_left_out() -> None:
    one, two = (
        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}
        for data in ("AAA=", "BBB=")
    )
    said = message(role="user", content="look", images=["AAA=", "BBB="])
    assert said["content"] == [{"type": "text", "text": "look"}, one, two]
    assert message(role="user", content="", images=["AAA="])["content"] == [one]
    assert message(role="user", content="x", images=[])["content"] == "x"


def test_earlier_tool_calls_have_their_arguments_as_text() -> None:
    calls = [
        {"id": "c1", "function": {"index": 3, "name": "add", "arguments": {"b": "é", "a": 1}}},
        {"function": {"name": "now", "arguments": None}},
        {},
    ]
    assert message(role="assistant", content="", tool_calls=calls)["tool_calls"] == [
        {
            "type": "function",
            "function": {"name": "add", "arguments": '{"b":"é","a":1}'},
            "id": "c1",
        },
        {"type": "function", "function": {"name": "now", "arguments": "{}"}},
        {"type": "function", "function": {"name": "", "arguments": "{}"}},
    ]


def test_a_tool_result_names_its_tool_and_its_call() -> None:
    said = message(role="tool", content="3", tool_name="add", tool_call_id="c1")
    assert said == {"role": "tool", "content": "3", "name": "add", "tool_call_id": "c1"}
    assert message(role="tool", content="3", tool_name="", tool_call_id="") == {
        "role": "tool",
        "content": "3",
    }


# ---- what a conversation is


SYSTEM = {"role": "system", "content": "own"}
STORED = {"role": "assistant", "content": "stored"}
GIVEN = {"role": "system", "content": "given"}


@pytest.mark.parametrize(
    ("system", "messages", "whole"),
    [
        ("own", [HI], [SYSTEM, STORED, HI]),
        ("", [HI], [STORED, HI]),
        ("own", [GIVEN, HI], [STORED, GIVEN, HI]),
        ("own", [HI, GIVEN], [SYSTEM, STORED, HI, GIVEN]),
        ("own", [], [SYSTEM, STORED]),
    ],
)
def test_a_conversation_begins_with_the_models_own_words(
    system: str, messages: list[dict[str, Any]], whole: list[Any]
) -> None:
    assert ollama.conversation(system, (STORED,), messages) == whole


# ---- render, tokenize, detokenize


def test_a_prompt_is_rendered_by_the_engine() -> None:
    assert sent(ollama.render([HI], None)) == ("/apply-template", {"messages": [HI]})
    tools = [{"type": "function"}]
    assert sent(ollama.render([HI], "low", tools))[1] == {
        "messages": [HI],
        "chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": "low"},
        "tools": tools,
    }


def test_tokens_go_to_and_fro() -> None:
    assert sent(ollama.tokenize("é")) == ("/tokenize", {"content": "é"})
    assert sent(ollama.detokenize(iter([1, 2]))) == ("/detokenize", {"tokens": [1, 2]})


# ---- completion


def test_a_completion_asks_for_what_is_needed_and_no_more() -> None:
    assert completion({}) == {"response_fields": FIELDS}


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        (None, {}),
        ("", {}),
        ("json", {"json_schema": {"type": "object"}}),
        ({"type": "array"}, {"json_schema": {"type": "array"}}),
    ],
)
def test_a_format_constrains_a_completion(form: Any, wanted: dict[str, Any]) -> None:
    assert completion({"format": form}) == {"response_fields": FIELDS, **wanted}


@pytest.mark.parametrize(("top", "probs"), [({}, 1), ({"top_logprobs": 7}, 7)])
def test_logprobs_of_a_completion_have_another_name(top: dict[str, Any], probs: int) -> None:
    assert completion({"logprobs": True, **top}) == {
        "response_fields": [*FIELDS, "completion_probabilities"],
        "n_probs": probs,
    }


# ---- checks


@pytest.mark.parametrize("number", [0, 1, 20])
def test_up_to_twenty_alternatives_can_be_had(number: int) -> None:
    ollama.check_logprobs({"top_logprobs": number})
    ollama.check_logprobs({})


@pytest.mark.parametrize("number", [-1, 21])
def test_more_alternatives_cannot(number: int) -> None:
    with pytest.raises(Invalid, match=r"^top_logprobs must be between 0 and 20$"):
        ollama.check_logprobs({"top_logprobs": number})


@pytest.mark.parametrize("form", [None, "", "json", {}, {"type": "object"}])
def test_a_format_that_can_be_had(form: Any) -> None:
    ollama.check_format({"format": form})
    ollama.check_format({})


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
def test_a_format_that_cannot_is_quoted_whoever_finds_it(form: Any, quoted: str) -> None:
    message = f'invalid format: {quoted}; expected "json" or a valid JSON Schema object'
    for find in (
        lambda: ollama.check_format({"format": form}),
        lambda: ollama.chat({"format": form}, [HI], {}, None),
        lambda: ollama.completion({"format": form}, "x", {}),
    ):
        with pytest.raises(Invalid) as caught:
            find()
        assert caught.value.message == message
