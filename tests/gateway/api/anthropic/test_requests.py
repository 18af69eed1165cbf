"""Requests of the Anthropic dialect as turns."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.anthropic.fields import BLOCKS, FIELDS
from gateway.api.anthropic.requests import Asked, read, too_long
from gateway.errors import Invalid
from gateway.inference.types import GenerationRequest

HI = {"role": "user", "content": "hi"}
ADD = {"name": "add"}
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
MARK = {"cache_control": {"type": "ephemeral"}}
TEXT = {"type": "text", "text": "hi"}


def ask(**body: Any) -> Asked:
    body = {"model": "m", "max_tokens": 5, "messages": [HI], **body}
    return read(json.dumps(body).encode())


# Members and types that mean something, wherever they turn up, around values of every kind.
_NAMES = [
    *FIELDS,
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
    st.dictionaries(st.sampled_from(sorted(FIELDS)), _VALUES, max_size=3),
    st.lists(_MESSAGES, max_size=4),
)
def test_anything_is_read_or_refused(body: dict[str, Any], messages: list[Any]) -> None:
    body = {"model": "m", "max_tokens": 5, "messages": messages, **body}
    try:
        asked = read(json.dumps(body).encode())
    except Invalid:
        return
    assert asked.turn.messages
    assert asked.terms.estimate >= 1


def turn(**body: Any) -> GenerationRequest:
    return ask(**body).turn


def refused(**body: Any) -> str:
    with pytest.raises(Invalid) as caught:
        ask(**body)
    return caught.value.message


# ---- what must be there


@pytest.mark.parametrize("data", [b"", b" \n"])
def test_there_must_be_a_body(data: bytes) -> None:
    with pytest.raises(Invalid, match=r"^EOF$"):
        read(data)


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
def test_what_is_missing_is_said_in_this_order(body: dict[str, Any], message: str) -> None:
    assert refused(**body) == message


def test_counting_needs_no_limit() -> None:
    asked = read(json.dumps({"model": "m", "messages": [HI]}).encode(), counting=True)
    assert asked.turn == GenerationRequest(messages=[HI], tools=[])
    with pytest.raises(Invalid, match=r"^messages is required$"):
        read(b'{"model": "m"}', counting=True)


# ---- the turn


def test_the_least_request() -> None:
    asked = ask()
    assert asked.turn == GenerationRequest(messages=[HI], tools=[], options={"num_predict": 5})
    assert (asked.stream, asked.unknown) == (False, ())
    terms = asked.terms
    assert (terms.model, terms.max_tokens, terms.stops) == ("m", 5, ())
    assert (terms.hidden, terms.cached, terms.eager) == (False, False, frozenset())


def test_sampling_has_ollamas_names() -> None:
    given = {"temperature": 0.5, "top_p": 0.9, "top_k": 3}
    assert turn(**given).options == {"num_predict": 5, **given}


def test_a_system_prompt_is_the_first_message() -> None:
    system = {"role": "system", "content": "S"}
    assert turn(system="S").messages == [system, HI]
    assert turn(system=[{"type": "text", "text": "S"}]).messages == [system, HI]
    assert turn(system="").messages == [HI]


def test_stop_texts_are_asked_for_by_name() -> None:
    asked = ask(stop_sequences=["", "a", "b"])
    assert asked.turn.options["stop"] == ["a", "b"]
    assert asked.turn.extra == {"verbose": True, "response_fields": ["stop_type", "stopping_word"]}
    assert asked.terms.stops == ("a", "b")
    assert turn(stop_sequences=[""]).options == {"num_predict": 5}
    assert turn(stop_sequences=[""]).extra == {}


def test_tools_and_the_choice_among_them() -> None:
    choice = {"type": "any", "disable_parallel_tool_use": True}
    wanted = turn(tools=[{**ADD, "eager_input_streaming": True}], tool_choice=choice)
    assert [tool["function"]["name"] for tool in wanted.tools] == ["add"]
    assert wanted.extra == {"tool_choice": "required", "parallel_tool_calls": False}
    assert turn(tools=[ADD], tool_choice={"type": "none"}).tools == []
    assert ask(tools=[{**ADD, "eager_input_streaming": True}]).terms.eager == {"add"}


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
    wanted = turn(thinking=thinking, output_config={"effort": effort})
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
    assert ask(thinking={"type": "adaptive", "display": "omitted"}).terms.hidden
    assert not ask(thinking={"type": "adaptive", "display": "summarized"}).terms.hidden


def test_thinking_of_earlier_answers_can_be_cleared() -> None:
    def thought(text: str) -> dict[str, Any]:
        block = {"type": "thinking", "thinking": text}
        return {"role": "assistant", "content": [block, {"type": "text", "text": "A"}]}

    messages = [HI, thought("1"), HI, thought("2"), HI, thought("3"), HI]

    def left(**edit: Any) -> list[Any]:
        edits = [{"type": "clear_thinking_20251015", **edit}]
        made = turn(messages=messages, context_management={"edits": edits}).messages
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
    assert turn(output_config={"format": form}).format == wanted
    assert turn(output_format=form).format == wanted
    assert turn(output_config={"format": None}, output_format=None).format is None


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
def test_a_mark_anywhere_asks_for_the_cache(body: dict[str, Any]) -> None:
    assert ask(**body).terms.cached


def test_the_estimate_is_a_quarter_of_the_letters() -> None:
    assert ask().terms.estimate == 1
    image = {"type": "image", "source": {"type": "base64", "data": "aGk="}}
    content = [{"type": "text", "text": "x" * 20}, image]
    assert (
        ask(system="S" * 16, messages=[{"role": "user", "content": content}]).terms.estimate == 10
    )


def test_stream_and_unknown_members() -> None:
    asked = ask(stream=True, future=1)
    assert (asked.stream, asked.unknown) == (True, ("future",))


# ---- a prompt that is too long


def test_a_prompt_that_is_too_long_is_said_in_anthropics_words() -> None:
    engine = (
        "request (3009 tokens) exceeds the available context size (1024 tokens), try increasing it"
    )
    assert too_long(engine) == "prompt is too long: 3009 tokens > 1024 maximum"
    assert too_long("anything else") == "anything else"
