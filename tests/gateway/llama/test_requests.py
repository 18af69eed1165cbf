"""What is posted to the engine, member by member."""

from typing import Any

import orjson
import pytest

from gateway.errors import Invalid
from gateway.llama import requests as engine
from gateway.llama.requests import Call

HI = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "add"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
FORM = {"type": "json_schema", "json_schema": {"name": "schema", "schema": SCHEMA}}
ALWAYS = {"stream": True, "cache_prompt": True}
FIELDS = ["content", "stop", "stop_type", "stopping_word", "timings", "truncated"]


def posted(call: Call, path: str) -> Any:
    assert call.path == path
    return orjson.loads(call.body)


def chat(think: engine.ThinkLevel = None, **more: Any) -> Any:
    return posted(engine.chat(HI, {"seed": 7}, think, **more), "/v1/chat/completions")


def completion(prompt: engine.Prompt = "hi", **more: Any) -> Any:
    return posted(engine.completion(prompt, {"seed": 7}, **more), "/completion")


# ---- progress


@pytest.mark.parametrize(("spare", "reported"), [(0, False), (-1, True)])
def test_progress_is_told_of_prompts_that_may_not_fit_a_batch(spare: int, reported: bool) -> None:
    whole = engine.chat(HI, {}, None)
    size = len(whole.body) + spare
    sent = posted(engine.chat(HI, {}, None, batch=size), engine.CHAT)
    assert ("return_progress" in sent) == reported
    long = "a" * (engine.BATCH + spare)
    assert completion(long)["return_progress"] is True
    assert "return_progress" not in completion(long, batch=2 * len(long))


# ---- chats


def test_a_plain_chat_has_its_messages_and_options() -> None:
    assert chat() == {"seed": 7, **ALWAYS, "messages": HI}


@pytest.mark.parametrize(
    ("last", "more", "goes_on"),
    [
        ({"role": "assistant", "content": "It"}, {}, (True, False)),
        ({"role": "assistant", "content": "", "tool_calls": [{}]}, {}, (None, None)),
        ({"role": "user", "content": "It"}, {}, (None, None)),
        (
            {"role": "assistant", "content": "It"},
            {"extra": {"add_generation_prompt": True}},
            (None, True),
        ),
    ],
)
def test_a_reply_that_has_begun_is_gone_on_with(last: Any, more: Any, goes_on: Any) -> None:
    sent = posted(engine.chat([*HI, last], {}, None, **more), engine.CHAT)
    members = ("continue_final_message", "add_generation_prompt")
    assert tuple(sent.get(member) for member in members) == goes_on


def test_a_reply_that_has_begun_is_shown_as_it_is_gone_on_with() -> None:
    talk = [*HI, {"role": "assistant", "content": "It"}, {"role": "assistant", "content": "is"}]
    begun = {"continue_final_message": True, "add_generation_prompt": False}
    assert posted(engine.apply_template(talk, None), "/apply-template") == {
        "messages": talk,
        **begun,
    }


def test_tools_and_a_format_are_added_where_there_are_some() -> None:
    assert chat(tools=[TOOL], response_format=FORM) == {
        "seed": 7,
        **ALWAYS,
        "messages": HI,
        "tools": [TOOL],
        "response_format": FORM,
    }


@pytest.mark.parametrize(("requested", "top"), [(0, 1), (1, 1), (5, 5)])
def test_log_probabilities_come_with_one_alternative_at_least(requested: int, top: int) -> None:
    payload = chat(top_logprobs=requested)
    assert payload["n_probs"] == top
    assert not {"logprobs", "top_logprobs"} & payload.keys()


@pytest.mark.parametrize(
    ("think", "kwargs"),
    [
        (None, None),
        (True, {"enable_thinking": True}),
        (False, {"enable_thinking": False}),
        ("high", {"enable_thinking": True, "reasoning_effort": "high"}),
    ],
)
def test_thinking_is_told_to_the_chat_template(think: engine.ThinkLevel, kwargs: Any) -> None:
    assert chat(think).get("chat_template_kwargs") == kwargs
    rendered = posted(engine.apply_template(HI, think), "/apply-template")
    assert rendered.get("chat_template_kwargs") == kwargs


def test_the_clients_own_words_to_the_template_win() -> None:
    extra = {"chat_template_kwargs": {"enable_thinking": False, "style": "dry"}}
    assert chat("low", extra=extra)["chat_template_kwargs"] == {
        "enable_thinking": False,
        "reasoning_effort": "low",
        "style": "dry",
    }


def test_more_members_pass_but_not_those_that_shape_the_stream() -> None:
    extra = {"logit_bias": {"5": 1}, "seed": 9, "stream": False, "cache_prompt": False}
    assert chat(extra=extra) == {
        "seed": 9,
        "logit_bias": {"5": 1},
        **ALWAYS,
        "messages": HI,
    }


def test_a_conversation_is_rendered_with_its_tools() -> None:
    assert posted(engine.apply_template(HI, None), "/apply-template") == {"messages": HI}
    with_tools = posted(engine.apply_template(HI, None, [TOOL]), "/apply-template")
    assert with_tools == {"messages": HI, "tools": [TOOL]}


# ---- completions


def test_a_plain_completion_names_the_fields_of_its_last_event() -> None:
    assert completion() == {"seed": 7, **ALWAYS, "prompt": "hi", "response_fields": FIELDS}
    assert completion([1, 2])["prompt"] == [1, 2]


def test_a_schema_constrains_a_completion() -> None:
    assert completion(schema=SCHEMA)["json_schema"] == SCHEMA
    assert completion(schema={})["json_schema"] == {}
    assert "json_schema" not in completion()


def test_a_schema_wins_over_a_grammar() -> None:
    extra = {"grammar": 'root ::= "a"'}
    assert completion(extra=extra)["grammar"] == extra["grammar"]
    assert "grammar" not in completion(extra=extra, schema=SCHEMA)


@pytest.mark.parametrize(("requested", "count"), [(0, 1), (3, 3)])
def test_a_completions_log_probabilities_are_a_field_of_their_own(
    requested: int, count: int
) -> None:
    payload = completion(top_logprobs=requested)
    assert payload["n_probs"] == count
    assert payload["response_fields"] == [*FIELDS, "completion_probabilities"]
    assert completion()["response_fields"] == FIELDS  # and stays out of the next one


def test_a_completion_leaves_out_what_only_a_chat_template_could_heed() -> None:
    extra = {
        "tool_choice": "required",
        "parallel_tool_calls": True,
        "chat_template_kwargs": {"a": 1},
        "stream_options": {"include_usage": True},
        "logit_bias": {"5": 1},
        "prompt": "another",
        "stream": False,
    }
    assert completion(extra=extra) == {
        "seed": 7,
        "logit_bias": {"5": 1},
        **ALWAYS,
        "prompt": "hi",
        "response_fields": FIELDS,
    }


def test_a_prompt_with_media_is_an_object() -> None:
    assert completion(engine.with_media("a <m>", ("QUJD",)))["prompt"] == {
        "prompt_string": "a <m>",
        "multimodal_data": ["QUJD"],
    }


def test_a_call_can_go_past_the_cache() -> None:
    call = engine.uncached(engine.completion("hi", {"seed": 7}))
    assert posted(call, "/completion") == {**completion(), "cache_prompt": False}


# ---- tokens


def test_tokens_of_a_text() -> None:
    assert posted(engine.tokenize("hi"), "/tokenize") == {"content": "hi"}
    special = posted(engine.tokenize("hi", special=True), "/tokenize")
    assert special == {"content": "hi", "add_special": True}


def test_tokens_of_texts_between_images() -> None:
    assert posted(engine.tokenize(["a", "b"]), "/tokenize") == {"content": ["a", "b"]}


def test_a_chat_is_counted_by_its_own_body() -> None:
    call = engine.chat(HI, {"seed": 7}, None)
    assert engine.count_tokens(call) == Call("/v1/chat/completions/input_tokens", call.body)


def test_a_text_of_tokens() -> None:
    assert posted(engine.detokenize(iter((1, 2))), "/detokenize") == {"tokens": [1, 2]}


# ---- formats


@pytest.mark.parametrize(
    ("form", "schema"),
    [
        (FORM, SCHEMA),
        ({"type": "json_object"}, {"type": "object"}),
        ({"type": "json_object", "schema": SCHEMA}, SCHEMA),
        ({"type": "json_schema", "json_schema": {"name": "a"}}, {"type": "object"}),
        ({"type": "json_schema"}, {"type": "object"}),
    ],
)
def test_the_schema_of_a_format(form: dict[str, Any], schema: dict[str, Any]) -> None:
    assert engine.schema_of(form) == schema


@pytest.mark.parametrize("value", ["\ud800", 1 << 70])
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(Invalid, match="the request cannot be passed on: "):
        engine.completion("hi", {"seed": value})
