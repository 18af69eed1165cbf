"""OpenAI's requests, checked and made turns."""

import json
from typing import Any

import pytest

from gateway.api.openai import requests as openai
from gateway.errors import Invalid
from gateway.inference.types import GenerationRequest
from gateway.llama import requests as engine

HI = {"role": "user", "content": "hi"}
TOOLS = [{"type": "function", "function": {"name": "add"}}]
DEFAULTS = {"temperature": 1.0, "top_p": 1.0}
SAMPLING = {"n_predict": 7, "stop": ["END"], "temperature": 0.5}


def chat(**request: Any) -> GenerationRequest:
    return openai.chat(request, [HI])


def posted(**request: Any) -> dict[str, Any]:
    """What the engine gets of a request, when the model and it have settled on SAMPLING."""
    payload: dict[str, Any] = json.loads(engine.chat(chat(**request), [HI], SAMPLING, None).body)
    return payload


# ---- chat


def test_an_empty_request_is_its_messages_and_openais_defaults() -> None:
    extra = {"stream": True}
    assert chat(**extra) == GenerationRequest(
        messages=[HI], tools=[], defaults=DEFAULTS, extra=extra
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
    assert openai.stops(value) == stops
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
    told = json.loads(engine.chat(turn, [HI], {}, "low").body)["chat_template_kwargs"]
    assert told == {**mine, "reasoning_effort": "low"}
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
    assert chat(response_format=form).format == wanted
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
    assert openai.completion(request).keep_alive == seconds


def test_a_request_that_is_nested_too_deeply_is_refused() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    with pytest.raises(Invalid, match=r"^the request cannot be passed on: recursion limit"):
        posted(metadata=deep)


# ---- completion


def test_a_completions_prompt_is_a_conversation_of_one_message() -> None:
    request = {"prompt": "hi", "temperature": 0, "max_tokens": 3, "stop": "x", "tools": TOOLS}
    assert openai.completion(request) == GenerationRequest(
        messages=[HI],
        options={"temperature": 0, "num_predict": 3, "stop": ["x"]},
        defaults=DEFAULTS,
    )


def test_what_only_the_engine_knows_passes_in_completions_too() -> None:
    beyond = {"top_k": 3, "min_p": 0.1, "grammar": "root ::= x", "logit_bias": {"5": 1}}
    ours = {"id_slot": 1, "n_predict": 5, "echo": True, "suffix": "x", "best_of": 1, "n": 1}
    assert openai.completion({**beyond, **ours}).extra == beyond
    form = {"type": "json_object"}
    assert openai.completion({"response_format": form}).format == form
    chances = [{"logprobs": 2}, {"n_probs": 2}, {"logprobs": 2, "n_probs": 3}]
    assert [openai.completion(each).top_logprobs for each in chances] == [2, 2, 2]
    assert openai.completion({"n_probs": 0}).top_logprobs is None


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
