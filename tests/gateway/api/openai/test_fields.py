"""Members of OpenAI's requests: their types, and the words of a mismatch."""

from typing import Any

import pytest
from openai.types import completion_create_params as text_params
from openai.types.chat import completion_create_params as chat_params

from gateway.api.openai.fields import CHAT, COMPLETION, check_types
from gateway.errors import Invalid


def refusal(value: Any, fields: Any = CHAT) -> str:
    with pytest.raises(Invalid) as caught:
        check_types(value, fields, "ChatCompletionRequest")
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
    check_types(request_, CHAT, "ChatCompletionRequest")


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
    check_types({"logprobs": 3, "echo": True, "best_of": 1}, COMPLETION, "CompletionRequest")
    check_types({"logprobs": True}, CHAT, "ChatCompletionRequest")
    assert refusal({"logprobs": True}, COMPLETION).endswith("of type int")
    assert refusal({"echo": "yes"}, COMPLETION).endswith("ChatCompletionRequest.echo of type bool")


def test_every_member_says_what_happens_to_it() -> None:
    assert all(field.fate for field in (*CHAT.values(), *COMPLETION.values()))
    assert {"messages", "tools"} <= CHAT.keys() - COMPLETION.keys()
    assert {"prompt", "suffix", "echo", "best_of"} <= COMPLETION.keys() - CHAT.keys()


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
    assert chat - CHAT.keys() == set()
    assert (
        text_params.CompletionCreateParamsBase.__annotations__.keys() - COMPLETION.keys() == set()
    )
