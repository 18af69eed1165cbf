"""Members of OpenAI's requests: their types, and the words of a mismatch."""

from typing import Any

import pytest
from openai.types import completion_create_params as text_params
from openai.types.chat import completion_create_params as chat_params

from gateway.api.fields import OpenRequestTable
from gateway.api.openai.fields import CHAT, COMPLETION
from gateway.errors import Invalid


def refusal(value: Any, table: OpenRequestTable[Any] = CHAT) -> str:
    with pytest.raises(Invalid) as caught:
        table.read(value)
    return caught.value.message


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"model": "m", "stream": True, "messages": [], "stream_options": {}},
        {"max_tokens": 5, "seed": -3, "temperature": 1, "top_p": 0.5, "n": 1},
        {"max_tokens": 5.0, "max_completion_tokens": 1e3},
        {"stop": "a", "keep_alive": -1, "metadata": {"a": "b"}, "store": True},
        {"stop": ["a"], "keep_alive": "5m", "reasoning_effort": "low", "tool_choice": {}},
        {"nobody_knows": object()},
    ],
)
def test_values_of_the_right_type_pass(request_: dict[str, Any]) -> None:
    CHAT.read(request_)


@pytest.mark.parametrize(
    ("member", "value", "kind", "wanted"),
    [
        ("model", 5, "number", "string"),
        ("model", ["m"], "array", "string"),
        ("stream", "true", "string", "bool"),
        ("stream", 1, "number", "bool"),
        ("messages", {}, "object", "[]openai.Message"),
        ("messages", "hi", "string", "[]openai.Message"),
        ("stream_options", True, "bool", "openai.StreamOptions"),
        ("max_tokens", "5", "string", "int"),
        ("max_tokens", 1.5, "number 1.5", "int"),
        ("max_tokens", True, "bool", "int"),
        ("seed", 0.5, "number 0.5", "int"),
        ("temperature", "1", "string", "float64"),
        ("temperature", False, "bool", "float64"),
        ("tools", {}, "object", "[]api.Tool"),
        ("response_format", "json", "string", "openai.ResponseFormat"),
        ("reasoning", [], "array", "openai.Reasoning"),
        ("logprobs", 1, "number", "bool"),
    ],
)
def test_a_mismatch_is_told_as_go_tells_it(member: str, value: Any, kind: str, wanted: str) -> None:
    where = f"Go struct field ChatCompletionRequest.{member}"
    assert refusal({member: value}) == (
        f"json: cannot unmarshal {kind} into {where} of type {wanted}"
    )


@pytest.mark.parametrize(
    ("member", "value", "words"),
    [
        ("n", "2", "'n' must be an integer"),
        ("n", 1.5, "'n' must be an integer"),
        ("max_completion_tokens", "5", "'max_completion_tokens' must be an integer"),
        ("parallel_tool_calls", "yes", "'parallel_tool_calls' must be a boolean"),
        ("logit_bias", [], "'logit_bias' must be an object"),
        ("modalities", "text", "'modalities' must be an array"),
        ("user", 5, "'user' must be a string"),
    ],
)
def test_members_that_ollama_lacks_are_told_in_words_of_ours(
    member: str, value: Any, words: str
) -> None:
    assert refusal({member: value}) == words


def test_the_first_mismatch_of_the_request_is_told() -> None:
    assert "'n' must" in refusal({"model": "m", "n": "1", "stream": "no"})
    assert "ChatCompletionRequest.stream" in refusal({"stream": "no", "n": "1"})


def test_log_probabilities_are_counted_in_completions_and_switched_in_chats() -> None:
    COMPLETION.read({"logprobs": 3, "echo": True, "best_of": 1})
    CHAT.read({"logprobs": True})
    assert refusal({"logprobs": True}, COMPLETION).endswith("of type int")
    assert refusal({"echo": "yes"}, COMPLETION).endswith("CompletionRequest.echo of type bool")


def test_every_member_says_what_happens_to_it() -> None:
    assert all(field.doc for field in (*CHAT.fields.values(), *COMPLETION.fields.values()))
    assert {"messages", "tools"} <= CHAT.fields.keys() - COMPLETION.fields.keys()
    assert {"prompt", "suffix", "echo", "best_of"} <= COMPLETION.fields.keys() - CHAT.fields.keys()


def test_every_member_that_the_official_client_can_send_is_known() -> None:
    chat = {
        name
        for base in (
            chat_params.CompletionCreateParamsBase,
            chat_params.CompletionCreateParamsNonStreaming,
            chat_params.CompletionCreateParamsStreaming,
        )
        for name in base.__annotations__
    }
    assert chat - CHAT.fields.keys() == set()
    text = text_params.CompletionCreateParamsBase.__annotations__.keys()
    assert text - COMPLETION.fields.keys() == set()


# ---- bodies


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"{}", {}),
        (b"null", {}),
        (b'{"a":null,"b":[null],"c":{"d":null}}', {"b": [None], "c": {"d": None}}),
        (b' {"a":1} trailing', {"a": 1}),
        (b'{"a":"\xff"}', {"a": "\ufffd"}),
        (b'{"a":"\\ud800"}', {"a": "\ufffd"}),
        (b'{"a":1,"a":2}', {"a": 2}),
    ],
)
def test_a_body_is_an_object_without_its_nulls(data: bytes, value: Any) -> None:
    assert CHAT.decode(data).extra == value


@pytest.mark.parametrize(
    ("data", "kind"), [(b"[]", "array"), (b'"x"', "string"), (b"5", "number"), (b"true", "bool")]
)
def test_a_body_of_another_kind_is_refused(data: bytes, kind: str) -> None:
    with pytest.raises(Invalid) as caught:
        COMPLETION.decode(data)
    assert caught.value.message == (
        f"json: cannot unmarshal {kind} into Go value of type openai.CompletionRequest"
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"hello", "invalid character 'h' looking for beginning of value"),
        (b'{"model":', "unexpected EOF"),
    ],
)
def test_a_body_that_is_not_json_is_refused_in_ollamas_words(data: bytes, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        CHAT.decode(data)
    assert caught.value.message == message
