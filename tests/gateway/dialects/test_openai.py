"""OpenAI's requests, checked and patched for the engine."""

import json
from typing import Any

import pytest

from gateway.dialects import openai
from gateway.errors import Invalid

HI = {"role": "user", "content": "hi"}
SETTINGS = {"n_predict": 40960, "stop": ["END"], "temperature": 1.0, "top_p": 0.9, "seed": -1}
ALWAYS = {"stream": True, "return_progress": True, "cache_prompt": True}
TOOLS = [{"type": "function", "function": {"name": "add"}}]


def chat(think: bool | str | None = None, **request: Any) -> dict[str, Any]:
    call = openai.chat(request, [HI], SETTINGS, think)
    assert call.path == "/v1/chat/completions"
    payload: dict[str, Any] = json.loads(call.body)
    return payload


def added(**request: Any) -> dict[str, Any]:
    """What a request changes in the payload of an empty one; None for what it takes away."""
    plain, payload = chat(stream=True), chat(stream=True, **request)
    gone: dict[str, Any] = dict.fromkeys(plain.keys() - payload.keys())
    changed = {key: value for key, value in payload.items() if plain.get(key, ...) != value}
    return {**gone, **changed}


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
    assert openai.body(data) == value


@pytest.mark.parametrize("data", [b"[]", b'"x"', b"5", b"true"])
def test_a_body_of_another_kind_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid, match=r"^the request body must be a JSON object$"):
        openai.body(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "missing request body"),
        (b"hello", "invalid character 'h' looking for beginning of value"),
        (b'{"model":', "unexpected EOF"),
    ],
)
def test_a_body_that_is_not_json_is_refused_in_ollamas_words(data: bytes, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        openai.body(data)
    assert caught.value.message == message


# ---- check


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("stream", "yes", "'stream' must be a boolean"),
        ("stream", 1, "'stream' must be a boolean"),
        ("logprobs", 3, "'logprobs' must be a boolean"),
        ("parallel_tool_calls", 0, "'parallel_tool_calls' must be a boolean"),
        ("stream_options", "x", "'stream_options' must be an object"),
        ("response_format", "json", "'response_format' must be an object"),
        ("logit_bias", [], "'logit_bias' must be an object"),
        ("chat_template_kwargs", 1, "'chat_template_kwargs' must be an object"),
        ("reasoning", "x", "'reasoning' must be an object"),
        ("seed", "a", "'seed' must be an integer"),
        ("seed", 1.5, "'seed' must be an integer"),
        ("seed", float("inf"), "'seed' must be an integer"),
        ("n", True, "'n' must be an integer"),
        ("n", 0, "'n' must be 1: a request gets one reply"),
        ("n", 2, "'n' must be 1: a request gets one reply"),
        ("max_tokens", "5", "'max_tokens' must be an integer"),
        ("max_tokens", 2.7, "'max_tokens' must be an integer"),
        ("max_completion_tokens", [], "'max_completion_tokens' must be an integer"),
        ("top_logprobs", {}, "'top_logprobs' must be an integer"),
        ("temperature", "hot", "'temperature' must be a number"),
        ("top_p", False, "'top_p' must be a number"),
        ("frequency_penalty", [], "'frequency_penalty' must be a number"),
        ("presence_penalty", "0", "'presence_penalty' must be a number"),
        ("top_logprobs", 21, "top_logprobs must be between 0 and 20"),
        ("top_logprobs", -1, "top_logprobs must be between 0 and 20"),
    ],
)
def test_a_member_of_the_wrong_type_is_refused(member: str, value: Any, message: str) -> None:
    for check in (openai.check, openai.check_completion):
        if check is openai.check_completion and member == "logprobs":
            continue
        with pytest.raises(Invalid) as caught:
            check({member: value})
        assert caught.value.message == message


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"stream": False, "logprobs": True, "top_logprobs": 20},
        {"max_tokens": 3.0, "seed": 2**40, "n": 1.0},
        {"temperature": -1, "top_p": 7, "max_tokens": -2},
        {"unknown": object(), "model": 5},
    ],
)
def test_other_members_and_odd_values_pass(request_: dict[str, Any]) -> None:
    openai.check(request_)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"prompt": ["a"]}, "'prompt' must be a string"),
        ({"prompt": 5}, "'prompt' must be a string"),
        ({"suffix": 5}, "'suffix' must be a string"),
        ({"stop": 5}, "invalid type for 'stop' field"),
        ({"stop": {}}, "invalid type for 'stop' field"),
        ({"stop": ["a", 1]}, "invalid type for 'stop' field"),
        ({"logprobs": True}, "'logprobs' must be an integer"),
        ({"logprobs": 1.0}, "'logprobs' must be an integer"),
        ({"logprobs": 21}, "top_logprobs must be between 0 and 20"),
        ({"logprobs": -1}, "top_logprobs must be between 0 and 20"),
        ({"stream": "x"}, "'stream' must be a boolean"),
    ],
)
def test_a_completion_is_checked_too(request_: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid) as caught:
        openai.check_completion(request_)
    assert caught.value.message == message


def test_a_completion_may_have_all_of_its_members() -> None:
    openai.check_completion(
        {"prompt": "", "suffix": "", "stop": ["a"], "logprobs": 20, "stream": True, "echo": 5}
    )
    openai.check_completion({"stop": "a"})


# ---- chat


def test_an_empty_request_has_the_models_settings_and_is_streamed() -> None:
    assert chat(stream=True) == {**SETTINGS, **ALWAYS, "messages": [HI]}


def test_a_whole_reply_is_streamed_too_and_wants_its_usage() -> None:
    wanted = {"stream_options": {"include_usage": True}}
    for request in ({}, {"stream": False}, {"stream_options": {"include_usage": False}}):
        assert chat(**request) == {**chat(stream=True), **wanted}


def test_stream_options_of_a_stream_are_the_clients() -> None:
    options = {"include_usage": True, "include_obfuscation": False}
    assert added(stream_options=options) == {"stream_options": options}


def test_the_clients_sampling_lies_over_the_models() -> None:
    mine = {"temperature": 0, "top_p": 0.5, "seed": 7}
    assert added(**mine) == mine
    more = {"frequency_penalty": 0.1, "presence_penalty": 0.2, "top_k": 3, "min_p": 0.1}
    assert added(**more) == more


@pytest.mark.parametrize(
    "member",
    [
        "id_slot",
        "n_keep",
        "n_predict",
        "cache_prompt",
        "lora",
        "response_fields",
        "return_progress",
        "verbose",
        "sse_ping_interval",
        "grammar_lazy",
        "grammar_triggers",
        "preserved_tokens",
        "model",
        "keep_alive",
        "reasoning",
        "reasoning_effort",
        "functions",
        "function_call",
        "messages",
    ],
)
def test_members_that_are_the_gateways_are_dropped(member: str) -> None:
    assert added(**{member: "x"}) == {}


def test_members_that_nobody_knows_pass() -> None:
    unknown = {"user": "u", "grammar": "root ::= x", "new_member": {"a": [1, None]}}
    assert added(**unknown) == unknown


@pytest.mark.parametrize(
    ("request_", "limit"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_tokens": 3.0}, 3),
        ({"max_completion_tokens": 2, "max_tokens": 5}, 2),
        ({"max_tokens": 0}, 0),
        ({"max_tokens": -2}, 40960),
        ({"max_completion_tokens": -1, "max_tokens": 5}, 40960),
        ({"max_tokens": 10**9}, 40960),
        ({}, 40960),
    ],
)
def test_the_limit_of_tokens_is_never_above_the_models(request_: Any, limit: int) -> None:
    assert openai.limit(request_, 40960) == limit
    payload = chat(**request_)
    assert payload["n_predict"] == limit
    assert "max_tokens" not in payload
    assert "max_completion_tokens" not in payload


@pytest.mark.parametrize(
    ("value", "stops"),
    [
        (None, ["END"]),
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ("", ["END"]),
        (["", "a", 1, None], ["a"]),
        ([""], ["END"]),
        ([], ["END"]),
        ({}, ["END"]),
        (5, ["END"]),
    ],
)
def test_stops_replace_the_models_if_any_is_left(value: Any, stops: list[str]) -> None:
    assert openai.stops(value, ["END"]) == stops
    assert chat(stop=value)["stop"] == stops


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        ({"logprobs": True}, {"logprobs": True, "top_logprobs": 1}),
        ({"logprobs": True, "top_logprobs": 0}, {"logprobs": True, "top_logprobs": 1}),
        ({"logprobs": True, "top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"logprobs": False, "top_logprobs": 3}, {"logprobs": False}),
        ({"top_logprobs": 3}, {}),
    ],
)
def test_logprobs_ask_for_at_least_one_or_for_none(request_: Any, wanted: Any) -> None:
    assert added(**request_) == wanted


@pytest.mark.parametrize(
    ("think", "kwargs"),
    [
        (True, {"enable_thinking": True}),
        (False, {"enable_thinking": False}),
        ("low", {"enable_thinking": True, "reasoning_effort": "low"}),
    ],
)
def test_thinking_is_told_to_the_template(think: bool | str, kwargs: dict[str, Any]) -> None:
    assert chat(think)["chat_template_kwargs"] == kwargs
    mine = {"enable_thinking": "mine", "more": 1}
    assert chat(think, chat_template_kwargs=mine)["chat_template_kwargs"] == {**kwargs, **mine}


def test_without_a_word_on_thinking_the_template_hears_only_the_client() -> None:
    assert "chat_template_kwargs" not in chat()
    assert chat(chat_template_kwargs={"a": 1})["chat_template_kwargs"] == {"a": 1}


def test_tools_are_checked_before_they_pass() -> None:
    assert added(tools=TOOLS, tool_choice="required") == {"tools": TOOLS, "tool_choice": "required"}
    with pytest.raises(Invalid, match=r"^'tools' must be an array$"):
        chat(tools={})


def test_a_request_that_is_nested_too_deeply_is_refused() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    with pytest.raises(Invalid, match=r"^the request cannot be passed on: recursion limit"):
        chat(metadata=deep)


# ---- effort


@pytest.mark.parametrize(
    ("word", "effort"),
    [
        ("none", False),
        ("minimal", "low"),
        ("low", "low"),
        ("medium", "medium"),
        ("high", "high"),
        ("max", "max"),
        ("xhigh", "max"),
        ("ultra", "max"),
        ("", None),
    ],
)
def test_effort_is_ollamas_thinking_in_either_spelling(word: str, effort: Any) -> None:
    assert openai.effort({"reasoning_effort": word}) == effort
    assert openai.effort({"reasoning": {"effort": word}}) == effort


def test_no_word_on_effort_is_none_and_the_newer_spelling_wins() -> None:
    assert openai.effort({}) is None
    assert openai.effort({"reasoning": {}}) is None
    assert openai.effort({"reasoning": {"effort": "low"}, "reasoning_effort": "high"}) == "low"


@pytest.mark.parametrize("word", ["bogus", "LOW", 5, True, ["low"], {}])
def test_another_effort_is_refused(word: Any) -> None:
    with pytest.raises(Invalid) as caught:
        openai.effort({"reasoning_effort": word})
    assert caught.value.message == (
        f'invalid reasoning value: "{word}" (must be "minimal", "low", "medium", "high", '
        '"xhigh", "ultra", "max", or "none")'
    )


# ---- errors


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (404, "not_found_error"),
        (403, "api_error"),
        (500, "api_error"),
        (503, "api_error"),
    ],
)
def test_an_error_has_openais_envelope(status: int, kind: str) -> None:
    error = {"message": "m", "type": kind, "param": None, "code": None}
    assert openai.error_body("m", status) == {"error": error}
    assert openai.error_body("m", status, "c") == {"error": {**error, "code": "c"}}
