"""OpenAI's requests: what is read, and what is refused."""

from typing import Any

import pytest

from gateway.api.openai import requests as openai
from gateway.errors import Invalid

# ---- body


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
    assert openai.body(data, "ChatCompletionRequest") == value


@pytest.mark.parametrize(
    ("data", "kind"), [(b"[]", "array"), (b'"x"', "string"), (b"5", "number"), (b"true", "bool")]
)
def test_a_body_of_another_kind_is_refused(data: bytes, kind: str) -> None:
    with pytest.raises(Invalid) as caught:
        openai.body(data, "CompletionRequest")
    assert caught.value.message == (
        f"json: cannot unmarshal {kind} into Go value of type openai.CompletionRequest"
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "missing request body"),
        (b" \n", "missing request body"),
        (b"hello", "invalid character 'h' looking for beginning of value"),
        (b'{"model":', "unexpected EOF"),
    ],
)
def test_a_body_that_is_not_json_is_refused_in_ollamas_words(data: bytes, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        openai.body(data, "ChatCompletionRequest")
    assert caught.value.message == message


def test_no_body_at_all_may_have_words_of_its_own() -> None:
    with pytest.raises(Invalid, match=r"^EOF$"):
        openai.body(b"", "CompletionRequest", empty="EOF")


# ---- check


def mismatch(kind: str, member: str, go: str) -> str:
    """Ollama's words; STRUCT is its name for the request."""
    return f"json: cannot unmarshal {kind} into Go struct field STRUCT.{member} of type {go}"


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("model", 5, mismatch("number", "model", "string")),
        ("stream", "yes", mismatch("string", "stream", "bool")),
        ("stream", 1, mismatch("number", "stream", "bool")),
        ("stream_options", "x", mismatch("string", "stream_options", "openai.StreamOptions")),
        ("logit_bias", [], "'logit_bias' must be an object"),
        ("response_format", "json", mismatch("string", "response_format", "openai.ResponseFormat")),
        ("seed", "a", mismatch("string", "seed", "int")),
        ("seed", 1.5, mismatch("number 1.5", "seed", "int")),
        ("seed", float("inf"), mismatch("number inf", "seed", "int")),
        ("max_tokens", 2**63, mismatch(f"number {2**63}", "max_tokens", "int")),
        (
            "stream_options",
            {"include_usage": 1},
            mismatch("number", "stream_options.include_usage", "bool"),
        ),
        (
            "response_format",
            {"type": 5},
            mismatch("number", "response_format.type", "string"),
        ),
        ("max_completion_tokens", "x", "'max_completion_tokens' must be an integer"),
        ("grammar", 5, "'grammar' must be a string"),
        ("json_schema", "x", "'json_schema' must be an object"),
        ("n_probs", 21, "n_probs must be between 0 and 20"),
        ("n_probs", "x", "'n_probs' must be an integer"),
        (
            "post_sampling_probs",
            False,
            "'post_sampling_probs' is not supported: log probabilities are those before sampling",
        ),
        ("logit_bias", {"5": "x"}, "'logit_bias': that of '5' must be a number"),
        ("logit_bias", {"5": True}, "'logit_bias': that of '5' must be a number"),
        ("logit_bias", {"5": None}, "'logit_bias': that of '5' must be a number"),
        ("stop", 5, "invalid type for 'stop' field"),
        ("stop", {}, "invalid type for 'stop' field"),
        ("stop", ["a", 1], "invalid type for 'stop' field"),
        ("n", True, "'n' must be an integer"),
        ("n", 0, "'n' must be 1: a request gets one reply"),
        ("n", 2, "'n' must be 1: a request gets one reply"),
        ("max_tokens", "5", mismatch("string", "max_tokens", "int")),
        ("max_tokens", 2.7, mismatch("number 2.7", "max_tokens", "int")),
    ],
)
def test_a_member_that_cannot_be_so_is_refused(member: str, value: Any, message: str) -> None:
    for check, struct in (
        (openai.check, "ChatCompletionRequest"),
        (openai.check_completion, "CompletionRequest"),
    ):
        with pytest.raises(Invalid) as caught:
            check({member: value})
        assert caught.value.message == message.replace("STRUCT", struct)


@pytest.mark.parametrize(
    ("member", "value", "kind"),
    [
        ("temperature", "hot", "string"),
        ("top_p", False, "bool"),
        ("frequency_penalty", [], "array"),
        ("presence_penalty", {}, "object"),
    ],
)
def test_numbers_are_half_as_long_in_completions(member: str, value: Any, kind: str) -> None:
    for check, struct, go in (
        (openai.check, "ChatCompletionRequest", "float64"),
        (openai.check_completion, "CompletionRequest", "float32"),
    ):
        with pytest.raises(Invalid) as caught:
            check({member: value})
        assert caught.value.message == mismatch(kind, member, go).replace("STRUCT", struct)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            {"grammar": "root ::= x", "json_schema": {}},
            "'grammar' and 'json_schema' cannot both constrain a reply",
        ),
        ({"logprobs": 3}, mismatch("number", "logprobs", "bool")),
        ({"reasoning_effort": 5}, mismatch("number", "reasoning_effort", "string")),
        ({"reasoning": {"effort": 5}}, mismatch("number", "reasoning.effort", "string")),
        ({"messages": "hi"}, mismatch("string", "messages", "[]openai.Message")),
        ({"tools": {}}, mismatch("object", "tools", "[]api.Tool")),
        ({"reasoning": "x"}, mismatch("string", "reasoning", "openai.Reasoning")),
        ({"parallel_tool_calls": 0}, "'parallel_tool_calls' must be a boolean"),
        ({"chat_template_kwargs": 1}, "'chat_template_kwargs' must be an object"),
        ({"max_completion_tokens": []}, "'max_completion_tokens' must be an integer"),
        ({"top_logprobs": {}}, mismatch("object", "top_logprobs", "int")),
        ({"top_logprobs": 21}, "top_logprobs must be between 0 and 20"),
        ({"top_logprobs": -1}, "top_logprobs must be between 0 and 20"),
        ({"modalities": ["text", "audio"]}, "'modalities' must be [\"text\"]"),
        ({"audio": {}}, "'audio' is not supported: no model here speaks"),
        ({"web_search_options": {}}, "'web_search_options' is not supported: there is no search"),
        ({"functions": []}, "'functions' is not supported: use 'tools'"),
        ({"function_call": "auto"}, "'function_call' is not supported: use 'tool_choice'"),
    ],
)
def test_a_chat_is_refused_what_it_cannot_have(request_: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid) as caught:
        openai.check(request_)
    assert caught.value.message.startswith(message.replace("STRUCT", "ChatCompletionRequest"))


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (
            {"type": "sound"},
            "invalid 'response_format': 'sound' (must be text, json_object, json_schema)",
        ),
        ({"type": 5}, "invalid 'response_format': 5 (must be text, json_object, json_schema)"),
        ({"type": []}, "invalid 'response_format': [] (must be text, json_object, json_schema)"),
        ({"type": "json_object", "schema": 1}, "'response_format': 'schema' must be an object"),
        (
            {"type": "json_schema", "json_schema": "x"},
            "'response_format': 'json_schema' must be an object",
        ),
        (
            {"type": "json_schema", "json_schema": {"schema": "x"}},
            "'response_format': 'schema' must be an object",
        ),
        ({"type": "json_schema", "schema": 5}, "'response_format': 'schema' must be an object"),
    ],
)
def test_a_format_that_is_none_is_refused(form: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid) as caught:
        openai.chat({"response_format": form}, [])
    assert caught.value.message == message


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"stream": False, "logprobs": True, "top_logprobs": 20},
        {"max_tokens": 3.0, "seed": 2**40, "n": 1.0},
        {"temperature": -1, "top_p": 7, "max_tokens": -2},
        {"logit_bias": {"5": -100, "6": 0.5, "7": False}, "stop": ["", "a"], "n_probs": 20},
        {"unknown": object(), "model": "", "modalities": ["text"]},
    ],
)
def test_other_members_and_odd_values_pass(request_: dict[str, Any]) -> None:
    openai.check(request_)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"prompt": ["a"]}, mismatch("array", "prompt", "string")),
        ({"prompt": 5}, mismatch("number", "prompt", "string")),
        ({"suffix": 5}, mismatch("number", "suffix", "string")),
        ({"echo": 5}, mismatch("number", "echo", "bool")),
        ({"logprobs": True}, mismatch("bool", "logprobs", "int")),
        ({"logprobs": 1.5}, mismatch("number 1.5", "logprobs", "int")),
        ({"logprobs": 21}, "top_logprobs must be between 0 and 20"),
        ({"logprobs": -1}, "top_logprobs must be between 0 and 20"),
        ({"best_of": 2}, "'best_of' must be 1: a request gets one reply"),
    ],
)
def test_a_completion_is_checked_too(request_: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid) as caught:
        openai.check_completion(request_)
    assert caught.value.message == message.replace("STRUCT", "CompletionRequest")


def test_a_completion_may_have_all_of_its_members() -> None:
    openai.check_completion(
        {
            "prompt": "",
            "suffix": "",
            "stop": ["a"],
            "logprobs": 20,
            "stream": True,
            "echo": True,
            "best_of": 1,
        }
    )
    openai.check_completion({"stop": "a", "logprobs": 1.0})
