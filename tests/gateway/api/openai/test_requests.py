"""OpenAI's requests, checked and made turns."""

import json
from typing import Any

import pytest

from gateway.api.openai import requests as openai
from gateway.api.openai.fields import CHAT, COMPLETION
from gateway.errors import Invalid
from gateway.inference.types import GenerationRequest
from gateway.llama import requests as engine

HI = {"role": "user", "content": "hi"}
TOOLS = [{"type": "function", "function": {"name": "add"}}]
DEFAULTS = {"temperature": 1.0, "top_p": 1.0}
SAMPLING = {"n_predict": 7, "stop": ["END"], "temperature": 0.5}


def chat(**request: Any) -> GenerationRequest:
    return openai.chat(CHAT.read(request), [HI])


def completion(**request: Any) -> GenerationRequest:
    return openai.completion(COMPLETION.read(request))


def check_chat(request: dict[str, Any]) -> None:
    openai.check_chat(CHAT.read(request))


def check_completion(request: dict[str, Any]) -> None:
    openai.check_completion(COMPLETION.read(request))


def posted(**request: Any) -> dict[str, Any]:
    """What the engine gets of a request, when the model and it have settled on SAMPLING."""
    made = chat(**request)
    call = engine.chat(
        [HI],
        SAMPLING,
        None,
        tools=made.tools,
        response_format=made.response_format,
        top_logprobs=made.top_logprobs,
        extra=made.extra,
    )
    payload: dict[str, Any] = json.loads(call.body)
    return payload


# ---- chat


def test_an_empty_request_is_its_messages_and_openais_defaults() -> None:
    extra = {"stream": True}
    assert chat(**extra) == GenerationRequest(
        model="", messages=[HI], defaults=DEFAULTS, extra=extra
    )


def test_a_whole_reply_wants_its_usage() -> None:
    wanted = {"stream_options": {"include_usage": True}}
    for request in ({}, {"stream": False}, {"stream_options": {"include_usage": False}}):
        assert chat(**request).extra.items() >= wanted.items()


def test_stream_options_of_a_stream_are_the_clients() -> None:
    options = {"include_usage": True, "include_obfuscation": False}
    assert chat(stream=True, stream_options=options).extra["stream_options"] == options
    assert "stream_options" not in chat(stream=True).extra


def test_the_clients_sampling_is_the_turns() -> None:
    mine = {"temperature": 0, "top_p": 0.5, "seed": 7}
    more = {"frequency_penalty": 0.1, "presence_penalty": 0.2}
    assert chat(**mine, **more).options == {**mine, **more}
    beyond = {"top_k": 3, "min_p": 0.1}
    assert posted(**beyond).items() >= beyond.items()


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
        "chat_format",
        "chat_parser",
        "generation_prompt",
        "reasoning_in_content",
        "model",
        "functions",
        "function_call",
    ],
)
def test_members_that_are_the_gateways_are_dropped(member: str) -> None:
    assert posted(stream=True, **{member: "x"}) == posted(stream=True)


def test_what_the_gateway_heeds_itself_is_not_passed_on() -> None:
    ours = {"keep_alive": 5, "reasoning": {"effort": "low"}, "reasoning_effort": "high", "n": 1}
    assert posted(stream=True, **ours) == posted(stream=True)


@pytest.mark.parametrize("member", ["cache_prompt", "stream"])
def test_a_client_cannot_change_how_the_engine_is_asked(member: str) -> None:
    assert posted(**{member: False})[member] is True


def test_members_that_nobody_knows_pass() -> None:
    unknown = {"user": "u", "grammar": "root ::= x", "new_member": {"a": [1, None]}}
    assert posted(**unknown).items() >= unknown.items()


@pytest.mark.parametrize(
    ("request_", "limit"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_tokens": 3.0}, 3),
        ({"max_completion_tokens": 2, "max_tokens": 5}, 2),
        ({"max_tokens": 0}, 0),
        ({"max_tokens": -2}, None),
        ({"max_completion_tokens": -1, "max_tokens": 5}, None),
        ({"max_tokens": 10**9}, 10**9),
        ({}, None),
    ],
)
def test_the_limit_of_tokens_is_the_clients(request_: Any, limit: int | None) -> None:
    assert chat(**request_).options.get("num_predict") == limit
    payload = posted(**request_)
    assert payload["n_predict"] == 7
    assert "max_tokens" not in payload
    assert "max_completion_tokens" not in payload


@pytest.mark.parametrize(
    ("value", "stops"),
    [
        (None, []),
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ("", []),
        (["", "a", 1, None], ["a"]),
        ([""], []),
        ([], []),
        ({}, []),
        (5, []),
    ],
)
def test_stops_replace_the_models_if_any_is_left(value: Any, stops: list[str]) -> None:
    assert openai.stop_texts(value) == stops
    assert chat(stop=value).options == ({"stop": stops} if stops else {})
    assert posted(stop=value)["stop"] == ["END"]


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        ({"logprobs": True}, 0),
        ({"logprobs": True, "top_logprobs": 0}, 0),
        ({"logprobs": True, "top_logprobs": 3}, 3),
        ({"logprobs": False, "top_logprobs": 3}, None),
        ({"top_logprobs": 3}, None),
        ({"n_probs": 2}, 2),
        ({"n_probs": 0}, None),
        ({"n_probs": 2, "logprobs": True}, 2),
        ({"n_probs": 2, "logprobs": True, "top_logprobs": 3}, 3),
    ],
)
def test_alternatives_alone_are_no_wish_for_logprobs(request_: Any, wanted: int | None) -> None:
    turn = chat(stream=True, **request_)
    assert (turn.top_logprobs, turn.extra) == (wanted, {"stream": True})


def test_thinking_is_what_the_client_says_of_it() -> None:
    assert chat().think is None
    assert chat(reasoning_effort="none").think is False
    assert chat(reasoning={"effort": "low"}).think == "low"


def test_what_the_template_hears_from_the_client_goes_over_what_it_hears_from_us() -> None:
    mine = {"enable_thinking": "mine", "more": 1}
    turn = chat(chat_template_kwargs=mine)
    sent = json.loads(engine.chat([HI], {}, "low", extra=turn.extra).body)
    assert sent["chat_template_kwargs"] == {**mine, "reasoning_effort": "low"}
    assert posted(chat_template_kwargs={"a": 1})["chat_template_kwargs"] == {"a": 1}
    assert "chat_template_kwargs" not in posted()


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "json_object"}),
        ({"type": "json_object", "schema": {"type": "object"}},) * 2,
        ({"type": "json_schema"},) * 2,
        ({"type": "json_schema", "json_schema": {"schema": {}}},) * 2,
        ({"type": "json_schema", "json_schema": {"schema": None}},) * 2,
        (
            {"type": "json_schema", "schema": {"const": 1}},
            {"type": "json_schema", "json_schema": {"schema": {"const": 1}}},
        ),
        ({}, None),
        ({"type": ""}, None),
        ({"schema": {}}, None),
    ],
)
def test_a_format_of_text_is_none(form: Any, wanted: Any) -> None:
    assert chat(response_format=form).response_format == wanted
    assert posted(response_format=form).get("response_format") == wanted


def test_tools_are_those_that_the_choice_leaves() -> None:
    turn = chat(tools=TOOLS, tool_choice="required", stream=True)
    assert (turn.tools, turn.extra) == (TOOLS, {"stream": True, "tool_choice": "required"})
    turn = chat(tools=TOOLS, tool_choice="none", stream=True)
    assert (turn.tools, turn.extra) == ([], {"stream": True})
    assert posted(tools=TOOLS)["tools"] == TOOLS


@pytest.mark.parametrize(("text", "seconds"), [(None, None), ("90s", 90.0), (5, 5.0)])
def test_a_client_may_say_how_long_the_model_stays(text: Any, seconds: float | None) -> None:
    request = {} if text is None else {"keep_alive": text}
    assert chat(**request).keep_alive == seconds
    assert completion(**request).keep_alive == seconds


def test_a_request_that_is_nested_too_deeply_is_refused() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    with pytest.raises(Invalid, match=r"^the request cannot be passed on: recursion limit"):
        posted(metadata=deep)


# ---- completion


def test_a_completions_prompt_is_a_conversation_of_one_message() -> None:
    request = {"prompt": "hi", "temperature": 0, "max_tokens": 3, "stop": "x", "tools": TOOLS}
    assert completion(**request) == GenerationRequest(
        model="",
        messages=[HI],
        kind="generate",
        text_only=True,
        options={"temperature": 0, "num_predict": 3, "stop": ["x"]},
        defaults=DEFAULTS,
    )


def test_what_only_the_engine_knows_passes_in_completions_too() -> None:
    beyond = {"top_k": 3, "min_p": 0.1, "grammar": "root ::= x", "logit_bias": {"5": 1}}
    ours = {"id_slot": 1, "n_predict": 5, "echo": True, "suffix": "x", "best_of": 1, "n": 1}
    assert completion(**beyond, **ours).extra == beyond
    form = {"type": "json_object"}
    assert completion(response_format=form).response_format == form
    chances = [{"logprobs": 2}, {"n_probs": 2}, {"logprobs": 2, "n_probs": 3}]
    assert [completion(**each).top_logprobs for each in chances] == [2, 2, 2]
    assert completion(n_probs=0).top_logprobs is None


# ---- refused


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
        (check_chat, "ChatCompletionRequest"),
        (check_completion, "CompletionRequest"),
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
        (check_chat, "ChatCompletionRequest", "float64"),
        (check_completion, "CompletionRequest", "float32"),
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
        check_chat(request_)
    assert caught.value.message.startswith(message.replace("STRUCT", "ChatCompletionRequest"))


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (
            {"type": "sound"},
            "invalid 'response_format': 'sound' (must be text, json_object, json_schema)",
        ),
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
        chat(response_format=form)
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
    check_chat(request_)


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
        check_completion(request_)
    assert caught.value.message == message.replace("STRUCT", "CompletionRequest")


def test_a_completion_may_have_all_of_its_members() -> None:
    check_completion(
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
    check_completion({"stop": "a", "logprobs": 1.0})
