"""Anthropic's requests as requests for a generation."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.anthropic.fields import BLOCKS, MESSAGES
from gateway.api.anthropic.object import AnthropicReplyOptions
from gateway.api.anthropic.requests import AnthropicRequest, read_request
from gateway.errors import Invalid
from gateway.inference.types import GenerationRequest

HI = {"role": "user", "content": "hi"}
ADD = {"name": "add"}
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
MARK = {"cache_control": {"type": "ephemeral"}}
TEXT = {"type": "text", "text": "hi"}


def read(**body: Any) -> AnthropicRequest:
    body = {"model": "m", "max_tokens": 5, "messages": [HI], **body}
    return read_request(json.dumps(body).encode())


# Fields and types that mean something, wherever they turn up, around values of every kind.
_NAMES = [
    *MESSAGES.fields,
    *("type", "role", "content", "text", "source", "data", "media_type", "input", "id", "name"),
    *("thinking", "tool_use_id", "edits", "keep", "effort", "format", "schema", "input_schema"),
    *("properties", "budget_tokens", "display", "disable_parallel_tool_use", "title", "context"),
]
_WORDS = [*BLOCKS, "user", "assistant", "system", "base64", "text", "content", "enabled", "tool"]
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.sampled_from(_WORDS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4)
    ),
    max_leaves=12,
)
_BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(sorted(BLOCKS))},
    optional={name: _VALUES for name in _NAMES if name != "type"},
)
_MESSAGES = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system"]),
        "content": st.text() | st.lists(_BLOCKS, max_size=3),
    }
)


@given(
    st.dictionaries(st.sampled_from(sorted(MESSAGES.fields)), _VALUES, max_size=3),
    st.lists(_MESSAGES, max_size=4),
)
def test_anything_is_read_or_refused(body: dict[str, Any], messages: list[Any]) -> None:
    body = {"model": "m", "max_tokens": 5, "messages": messages, **body}
    try:
        request = read_request(json.dumps(body).encode())
    except Invalid:
        return
    assert request.generation.messages
    assert request.reply.estimated_tokens >= 1


def generation(**body: Any) -> GenerationRequest:
    return read(**body).generation


def refused(**body: Any) -> str:
    with pytest.raises(Invalid) as caught:
        read(**body)
    return caught.value.message


# ---- what must be there


@pytest.mark.parametrize("data", [b"", b" \n"])
def test_there_must_be_a_body(data: bytes) -> None:
    with pytest.raises(Invalid, match=r"^EOF$"):
        read_request(data)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"model": None, "max_tokens": None, "messages": None}, "model is required"),
        ({"model": " "}, "model is required"),
        ({"max_tokens": None, "messages": None}, "max_tokens is required and must be positive"),
        ({"max_tokens": 0}, "max_tokens is required and must be positive"),
        ({"max_tokens": -5}, "max_tokens is required and must be positive"),
        ({"messages": None}, "messages is required"),
        ({"messages": []}, "messages is required"),
        ({"messages": [{"role": "user", "content": []}]}, "messages is required"),
        ({"container": "c"}, "container: not supported: there are no containers"),
    ],
)
def test_what_is_missing_is_reported_in_this_order(body: dict[str, Any], message: str) -> None:
    assert refused(**body) == message


def test_counting_needs_no_limit() -> None:
    request = read_request(json.dumps({"model": "m", "messages": [HI]}).encode(), counting=True)
    assert request.generation == GenerationRequest(model="m", messages=[HI], think_if_able=True)
    with pytest.raises(Invalid, match=r"^messages is required$"):
        read_request(b'{"model": "m"}', counting=True)


# ---- the generation


def test_the_least_request() -> None:
    request = read()
    assert request.generation == GenerationRequest(
        model="m", messages=[HI], options={"num_predict": 5}, think_if_able=True
    )
    assert (request.stream, request.unknown) == (False, ())
    assert request.reply == AnthropicReplyOptions(model="m", max_tokens=5)


def test_sampling_has_ollamas_names() -> None:
    given = {"temperature": 0.5, "top_p": 0.9, "top_k": 3}
    assert generation(**given).options == {"num_predict": 5, **given}


def test_a_system_prompt_is_the_first_message() -> None:
    system = {"role": "system", "content": "S"}
    assert generation(system="S").messages == [system, HI]
    assert generation(system=[{"type": "text", "text": "S"}]).messages == [system, HI]
    assert generation(system="").messages == [HI]


def test_the_engine_names_the_stop_text_where_there_are_some() -> None:
    request = read(stop_sequences=["", "a", "b"])
    assert request.generation.options["stop"] == ["a", "b"]
    assert request.generation.extra == {
        "verbose": True,
        "response_fields": ["stop_type", "stopping_word"],
    }
    assert request.reply.stops == ("a", "b")
    assert generation(stop_sequences=[""]).options == {"num_predict": 5}
    assert generation(stop_sequences=[""]).extra == {}


def test_tools_and_the_choice_among_them() -> None:
    choice = {"type": "any", "disable_parallel_tool_use": True}
    wanted = generation(tools=[{**ADD, "eager_input_streaming": True}], tool_choice=choice)
    function = {"name": "add", "parameters": {"type": "object", "properties": {}}}
    assert wanted.tools == [{"type": "function", "function": function}]
    assert wanted.extra == {"tool_choice": "required", "parallel_tool_calls": False}
    assert generation(tools=[ADD], tool_choice={"type": "none"}).tools == []
    assert read(tools=[{**ADD, "eager_input_streaming": True}]).reply.eager_tools == {"add"}


# ---- thinking


@pytest.mark.parametrize(
    ("thinking", "effort", "think", "extra"),
    [
        (None, None, None, {}),
        (None, "low", "low", {}),
        (None, "xhigh", "high", {}),
        (None, "max", "max", {}),
        ({"type": "enabled"}, None, True, {}),
        ({"type": "enabled", "budget_tokens": 9}, None, True, {"thinking_budget_tokens": 9}),
        ({"type": "enabled", "budget_tokens": 9}, "low", "low", {"thinking_budget_tokens": 9}),
        ({"type": "disabled"}, "low", False, {}),
        ({"type": "adaptive"}, None, None, {}),
        ({"type": "adaptive"}, "medium", "medium", {}),
        ({"type": "between_tools"}, None, None, {}),
    ],
)
def test_whether_to_think(thinking: Any, effort: Any, think: Any, extra: dict[str, Any]) -> None:
    wanted = generation(thinking=thinking, output_config={"effort": effort})
    assert (wanted.think, wanted.extra) == (think, extra)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"thinking": {}}, "thinking.type: must be 'enabled', 'disabled' or 'adaptive'"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": True}},
            "thinking.budget_tokens: must be an integer above 0",
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 0}},
            "thinking.budget_tokens: must be an integer above 0",
        ),
        (
            {"output_config": {"effort": "some"}},
            "output_config.effort: must be one of low, medium, high, xhigh, max",
        ),
        (
            {"output_config": {"effort": 5}},
            "output_config.effort: must be one of low, medium, high, xhigh, max",
        ),
        (
            {"thinking": {"type": "adaptive", "display": True}},
            "thinking.display: must be a string",
        ),
    ],
)
def test_thinking_that_cannot_be(body: dict[str, Any], message: str) -> None:
    assert refused(**body) == message


def test_thinking_can_be_hidden() -> None:
    thinking = {"type": "adaptive", "display": "omitted"}
    assert read(thinking=thinking).reply.thinking_omitted
    assert not read(thinking={**thinking, "display": "summarized"}).reply.thinking_omitted


def test_thinking_of_earlier_answers_can_be_cleared() -> None:
    def thought(text: str) -> dict[str, Any]:
        block = {"type": "thinking", "thinking": text}
        return {"role": "assistant", "content": [block, {"type": "text", "text": "A"}]}

    messages = [HI, thought("1"), HI, thought("2"), HI, thought("3"), HI]

    def left(**edit: Any) -> list[Any]:
        edits = [{"type": "clear_thinking_20251015", **edit}]
        made = generation(messages=messages, context_management={"edits": edits}).messages
        return [m.get("reasoning_content") for m in made if m["role"] == "assistant"]

    assert left() == [None, None, "3"]
    assert left(keep="all") == left(keep={"type": "all"}) == ["1", "2", "3"]
    assert left(keep={"type": "thinking_turns", "value": 2}) == [None, "2", "3"]
    assert left(keep={"type": "thinking_turns", "value": 0}) == [None, None, None]
    assert left(keep={"type": "thinking_turns", "value": 9}) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ("x", "context_management.edits: must be a list of objects"),
        ([5], "context_management.edits: must be a list of objects"),
        ({}, "context_management.edits: must be a list of objects"),
        (
            [{"type": "clear_tool_uses_20250919"}],
            "context_management.edits: edits of type 'clear_tool_uses_20250919' are not supported",
        ),
        (
            [{"type": "clear_thinking_20251015", "keep": "some"}],
            "context_management.edits: 'keep' must be 'all' or a number of thinking_turns",
        ),
        (
            [
                {
                    "type": "clear_thinking_20251015",
                    "keep": {"type": "thinking_turns", "value": True},
                }
            ],
            "context_management.edits: 'keep' must be 'all' or a number of thinking_turns",
        ),
    ],
)
def test_other_edits_are_refused(edits: Any, message: str) -> None:
    assert refused(context_management={"edits": edits}) == message


# ---- the reply's form


def test_a_schema_for_the_reply() -> None:
    form = {"type": "json_schema", "schema": SCHEMA}
    wanted = {"type": "json_schema", "json_schema": {"name": "output", "schema": SCHEMA}}
    assert generation(output_config={"format": form}).response_format == wanted
    assert generation(output_format=form).response_format == wanted
    assert generation(output_config={"format": None}, output_format=None).response_format is None


@pytest.mark.parametrize(
    "form", ["json", "", [], {}, {"type": "json_object"}, {"type": "json_schema"}]
)
def test_a_format_that_cannot_be(form: Any) -> None:
    message = "output_config.format: must be of type 'json_schema' and have a schema"
    assert refused(output_config={"format": form}) == message


@pytest.mark.parametrize(
    "body",
    [
        MARK,
        {"system": [{**TEXT, **MARK}]},
        {"messages": [{"role": "user", "content": [TEXT, {**TEXT, **MARK}]}]},
        {"tools": [{**ADD, **MARK}]},
    ],
)
def test_a_mark_anywhere_has_the_cache_reported(body: dict[str, Any]) -> None:
    assert read(**body).reply.cache_reported


def test_the_estimate_is_a_quarter_of_the_characters() -> None:
    assert read().reply.estimated_tokens == 1
    image = {"type": "image", "source": {"type": "base64", "data": "aGk="}}
    content = [{"type": "text", "text": "x" * 20}, image]
    request = read(system="S" * 16, messages=[{"role": "user", "content": content}])
    assert request.reply.estimated_tokens == 10


def test_stream_and_unknown_fields() -> None:
    request = read(stream=True, future=1)
    assert (request.stream, request.unknown) == (True, ("future",))
