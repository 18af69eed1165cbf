"""Messages and tools that the engine must not see wrong."""

from typing import Any

import pytest

from gateway.api.chat_messages import check_messages
from gateway.errors import Invalid

ADD = {"type": "function", "function": {"name": "add"}}
SUB = {"type": "function", "function": {"name": "sub"}}
PNG = "data:image/png;base64,aGk="


def refused(check: Any, value: Any) -> str:
    with pytest.raises(Invalid) as caught:
        check(value)
    return caught.value.message


def one(**message: Any) -> Any:
    [checked] = check_messages([message])
    return checked


def part(value: Any) -> Any:
    [checked] = one(role="user", content=[value])["content"]
    return checked


def call(**function: Any) -> Any:
    [checked] = one(role="assistant", tool_calls=[{"id": "c", "function": function}])["tool_calls"]
    return checked


# ---- messages


@pytest.mark.parametrize("messages", [None, []])
def test_there_must_be_messages(messages: Any) -> None:
    assert refused(check_messages, messages) == "[] is too short - 'messages'"


@pytest.mark.parametrize("messages", ["hi", {"role": "user"}, 5, {}, "", 0])
def test_messages_are_an_array(messages: Any) -> None:
    assert refused(check_messages, messages) == "'messages' must be an array"


@pytest.mark.parametrize(
    ("message", "kind"), [(1, "number"), ("hi", "string"), ([], "array"), (True, "bool")]
)
def test_a_message_is_an_object(message: Any, kind: str) -> None:
    words = f"cannot unmarshal {kind} into Go struct field ChatCompletionRequest.messages of type"
    assert refused(check_messages, [message]) == f"json: {words} openai.Message"


def test_a_message_passes_as_it_is_but_for_its_nulls() -> None:
    message = {"role": "alien", "content": "x", "name": "n", "more": {"a": None}}
    assert one(**message, refusal=None) == message
    assert one(**message, refusal="No.") == message


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (2, "float64"),
        (2.5, "float64"),
        (True, "bool"),
        ({}, "map[string]interface {}"),
        (None, "<nil>"),
    ],
)
def test_content_of_another_type_is_named_as_go_names_it(content: Any, kind: str) -> None:
    message = f"invalid message content type: {kind}"
    assert refused(check_messages, [{"role": "user", "content": content}]) == message


@pytest.mark.parametrize(
    "message", [None, {}, {"role": "user"}, {"role": "assistant", "tool_calls": []}]
)
def test_content_must_be_there_unless_there_are_calls(message: Any) -> None:
    assert refused(check_messages, [message]) == "invalid message content type: <nil>"
    assert one(role="assistant", content=None, tool_calls=[ADD]) == {
        "role": "assistant",
        "tool_calls": [{"type": "function", "function": {"name": "add", "arguments": "{}"}}],
    }


def test_there_must_be_a_role() -> None:
    message = {"role": None, "content": "x"}
    assert refused(check_messages, [message]) == "a message must have a role"


@pytest.mark.parametrize("name", ["role", "reasoning", "name", "tool_call_id"])
@pytest.mark.parametrize(("value", "kind"), [(5, "number"), (["x"], "array"), ({}, "object")])
def test_names_and_ids_are_texts(name: str, value: Any, kind: str) -> None:
    message = {"role": "user", "content": "x", name: value}
    where = f"Go struct field ChatCompletionRequest.messages.{name} of type string"
    assert refused(check_messages, [message]) == f"json: cannot unmarshal {kind} into {where}"


def test_a_refusal_is_what_was_said() -> None:
    output = {"role": "assistant", "content": "No."}
    assert one(role="assistant", content=None, refusal="No.") == output
    assert part({"type": "refusal", "refusal": "No."}) == {"type": "text", "text": "No."}
    assert "content" not in one(role="assistant", refusal="No.", tool_calls=[ADD])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"function_call": {"name": "add", "arguments": "{}"}},
            "'function_call' is not supported: use 'tool_calls'",
        ),
        ({"audio": {"id": "a"}}, "'audio' is not supported: no model here speaks"),
    ],
)
def test_what_stands_for_content_elsewhere_is_refused_by_name(more: Any, message: str) -> None:
    assert refused(check_messages, [{"role": "assistant", **more}]) == message
    assert one(role="assistant", content="x", **more) == {
        "role": "assistant",
        "content": "x",
        **more,
    }


def test_earlier_reasoning_has_the_engines_name() -> None:
    assert one(role="assistant", content="x", reasoning="hm") == {
        "role": "assistant",
        "content": "x",
        "reasoning_content": "hm",
    }


def test_the_callers_messages_are_left_alone() -> None:
    message = {"role": "assistant", "content": None, "reasoning": "hm", "tool_calls": [ADD]}
    check_messages([message])
    assert message == {
        "role": "assistant",
        "content": None,
        "reasoning": "hm",
        "tool_calls": [{"type": "function", "function": {"name": "add"}}],
    }


# ---- tool calls of earlier messages


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"a":1}', '{"a":1}'),
        (' {"a": 1} ', ' {"a": 1} '),
        ("", "{}"),
        (None, "{}"),
        ({"a": "é"}, '{"a":"é"}'),
        ({}, "{}"),
    ],
)
def test_arguments_are_the_text_of_an_object(arguments: Any, text: str) -> None:
    assert call(name="add", arguments=arguments) == {
        "id": "c",
        "type": "function",
        "function": {"name": "add", "arguments": text},
    }


@pytest.mark.parametrize("arguments", ["{bad", "[]", "5", "null", [1], 5, True])
def test_other_arguments_are_refused(arguments: Any) -> None:
    calls = [{"type": "function", "function": {"name": "add", "arguments": arguments}}]
    message = {"role": "assistant", "content": "", "tool_calls": calls}
    assert refused(check_messages, [message]) == "invalid tool call arguments"


@pytest.mark.parametrize(
    "broken", [1, None, {}, {"function": "add"}, {"function": {}}, {"function": {"name": 5}}]
)
def test_a_call_has_a_function_with_a_name(broken: Any) -> None:
    message = {"role": "assistant", "content": "x", "tool_calls": [broken]}
    assert refused(check_messages, [message]) == "a tool call must have a function with a name"


@pytest.mark.parametrize(("calls", "kind"), [({"a": 1}, "object"), ("x", "string"), (5, "number")])
def test_calls_are_an_array(calls: Any, kind: str) -> None:
    message = {"role": "assistant", "content": "x", "tool_calls": calls}
    where = "Go struct field ChatCompletionRequest.messages.tool_calls of type []openai.ToolCall"
    assert refused(check_messages, [message]) == f"json: cannot unmarshal {kind} into {where}"


def test_the_id_of_a_call_is_a_text() -> None:
    message = {"role": "assistant", "tool_calls": [{**ADD, "id": 5}]}
    where = "Go struct field ChatCompletionRequest.messages.tool_calls.id of type string"
    assert refused(check_messages, [message]) == f"json: cannot unmarshal number into {where}"


# ---- content parts


def test_a_text_part_passes() -> None:
    text = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    assert part(text) == text


@pytest.mark.parametrize("content", [[], [{"type": "text", "text": ""}]])
def test_a_list_of_parts_may_be_empty(content: Any) -> None:
    assert one(role="user", content=content)["content"] == content


@pytest.mark.parametrize(
    "value",
    [
        5,
        None,
        "x",
        {},
        {"type": "file", "file": {}},
        {"type": "text"},
        {"type": "text", "text": 5},
        {"type": "video_url", "video_url": {"url": "http://x"}},
        {"type": "input_video", "input_video": {"data": "http://x"}},
        {"type": "image_url"},
        {"type": "image_url", "image_url": {"url": 5}},
        {"type": "image_url", "image_url": {}},
        {"type": ["text"], "text": "x"},
        {"type": "refusal"},
    ],
)
def test_a_part_that_is_not_understood_is_refused(value: Any) -> None:
    message = {"role": "user", "content": [value]}
    assert refused(check_messages, [message]) == "invalid message format"


@pytest.mark.parametrize(
    "given", [PNG, {"url": PNG, "detail": "high"}, {"url": "data:;base64,aGk="}]
)
def test_an_image_is_brought_into_the_object_form(given: Any) -> None:
    wanted = {"type": "image_url", "image_url": {"url": PNG}}
    assert part({"type": "image_url", "image_url": given}) == wanted


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "https://example.com/a.png",
            "image URLs are not currently supported, please use base64 encoded data instead",
        ),
        (
            "http://127.0.0.1/",
            "image URLs are not currently supported, please use base64 encoded data instead",
        ),
        ("HTTP://example.com/", "invalid image input"),
        (" http://example.com/", "invalid image input"),
        ("file:///etc/passwd", "invalid image input"),
        ("ftp://example.com", "invalid image input"),
        ("", "invalid image input"),
        ("aGk=", "invalid image input"),
        ("data:text/plain;base64,aGk=", "invalid image input"),
        ("data:image/png,aGk=", "invalid image input"),
        ("data:image/png;base64,a", "invalid image input"),
        ("data:image/png;base64,aG k=", "invalid image input"),
        ("data:image/png;base64,aGk=é", "invalid image input"),
        ("data:image/png;base64,\ud800", "invalid image input"),
        ("data:image/x;base64,http://example.com/", "invalid image input"),
    ],
)
def test_nothing_but_base64_comes_near_the_engine(url: str, message: str) -> None:
    for given in (url, {"url": url}):
        content = [{"type": "image_url", "image_url": given}]
        assert refused(check_messages, [{"role": "user", "content": content}]) == message


def test_audio_passes_as_it_is() -> None:
    audio = {"data": "aGk=", "format": "wav"}
    assert part({"type": "input_audio", "input_audio": audio, "more": 1}) == {
        "type": "input_audio",
        "input_audio": audio,
    }


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (None, "invalid input_audio format"),
        ("aGk=", "invalid input_audio format"),
        ({}, "invalid input_audio format: missing data"),
        ({"data": ""}, "invalid input_audio format: missing data"),
        ({"data": 5}, "invalid input_audio format: missing data"),
        ({"data": "http://x"}, "invalid input_audio base64 data: illegal character"),
        (
            {"data": "data:audio/wav;base64,aGk="},
            "invalid input_audio base64 data: illegal character",
        ),
    ],
)
def test_audio_that_is_none_is_refused(audio: Any, message: str) -> None:
    content = [{"type": "input_audio", "input_audio": audio}]
    assert refused(check_messages, [{"role": "user", "content": content}]) == message
