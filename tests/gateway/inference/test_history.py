"""What a model adds to a conversation, and what may go when it is too long."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.history import (
    drop_before,
    drop_points,
    engine_message,
    media_parts,
    prepend_stored,
    with_one_system_message,
    without_middle,
    without_old_thoughts,
)


def say(role: str, content: Any = "") -> dict[str, Any]:
    return {"role": role, "content": content}


def conversation(roles: str) -> list[dict[str, Any]]:
    """One message for each letter: its role, and its place as its content."""
    names = {"s": "system", "d": "developer", "u": "user", "a": "assistant", "t": "tool"}
    return [say(names[letter], str(place)) for place, letter in enumerate(roles)]


def places(messages: Any) -> list[int]:
    return [int(message["content"]) for message in messages]


ROLES = st.text("sduat", min_size=1, max_size=30)


# ---- what comes before


def test_the_models_system_then_its_messages_then_the_requests() -> None:
    stored = [say("user", "Sure?"), say("assistant", "Sure.")]
    assert prepend_stored("Be brief.", stored, [say("user", "hi")]) == [
        say("system", "Be brief."),
        *stored,
        say("user", "hi"),
    ]
    assert prepend_stored("", iter(stored), [say("user", "hi")]) == [*stored, say("user", "hi")]


@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_system_message_at_the_head_of_a_request_stands_in_for_the_models(role: str) -> None:
    own = [say(role, "Be long."), say("user", "hi")]
    stored = [say("user", "Sure?")]
    assert prepend_stored("Be brief.", stored, own) == [*stored, *own]


def test_a_later_system_message_does_not() -> None:
    own = [say("user", "hi"), say("system", "Be long.")]
    assert prepend_stored("Be brief.", (), own) == [say("system", "Be brief."), *own]
    assert prepend_stored("Be brief.", (), []) == [say("system", "Be brief.")]


# ---- old thoughts


def test_thoughts_before_the_last_question_go() -> None:
    thought = "\n<think>\nhm </think>\n\nIt is 4."
    messages = [say("user", "?"), say("assistant", thought), say("user", "Sure?")]
    assert without_old_thoughts(messages) == [
        say("user", "?"),
        say("assistant", "It is 4."),
        say("user", "Sure?"),
    ]
    assert messages[1]["content"] == thought


@pytest.mark.parametrize(
    "message",
    [
        say("user", "<think>a</think>b"),
        say("assistant", "b <think>a</think>"),
        say("assistant", "<think>a"),
        say("assistant", [{"type": "text", "text": "<think>a</think>b"}]),
        say("assistant", None),
    ],
)
def test_what_is_no_thought_at_the_head_of_an_answer_stays(message: dict[str, Any]) -> None:
    messages = [message, say("user", "?")]
    assert without_old_thoughts(messages) == messages


def test_only_the_first_thought_goes_and_calls_stay() -> None:
    answer = {**say("assistant", "<think>a</think><think>b</think>c"), "tool_calls": [{"id": "1"}]}
    kept, _ = without_old_thoughts([answer, say("user", "?")])
    assert kept == {**answer, "content": "<think>b</think>c"}


def test_thoughts_after_the_last_question_stay() -> None:
    after = [say("user", "?"), say("assistant", "<think>a</think>b"), say("tool", "c")]
    assert without_old_thoughts(after) == after
    alone = [say("assistant", "<think>a</think>b")]
    assert without_old_thoughts(alone) == alone
    assert without_old_thoughts([]) == []


# ---- whole messages


def test_a_tail_keeps_every_system_message_before_it() -> None:
    messages = conversation("suadut")
    assert places(drop_before(messages, 0)) == [0, 1, 2, 3, 4, 5]
    assert places(drop_before(messages, 3)) == [0, 3, 4, 5]
    assert places(drop_before(messages, 5)) == [0, 3, 5]


def test_a_conversation_may_start_after_each_message_that_can_go() -> None:
    assert drop_points(conversation("suadut")) == [2, 3, 5]
    assert drop_points(conversation("u")) == []
    assert drop_points(conversation("sdu")) == []
    assert drop_points([]) == []


@given(ROLES)
def test_each_start_leaves_out_one_message_more(roles: str) -> None:
    messages = conversation(roles)
    shorter = [drop_before(messages, start) for start in drop_points(messages)]
    lengths = [len(messages), *map(len, shorter)]
    assert lengths == list(range(len(messages), len(messages) - len(lengths), -1))
    for kept in shorter:
        assert kept[-1] == messages[-1]
        assert [m for m in kept if m["role"] in ("system", "developer")] == [
            m for m in messages if m["role"] in ("system", "developer")
        ]
        assert places(kept) == sorted(places(kept))
    if shorter:
        assert {m["role"] for m in shorter[-1][:-1]} <= {"system", "developer"}


# ---- tokens


def test_a_cut_keeps_the_head_and_as_much_tail_as_half_of_the_rest() -> None:
    kept = without_middle(range(5000), 4096, 4)
    assert len(kept) == 2050
    assert kept == [*range(4), *range(5000 - 2046, 5000)]


@pytest.mark.parametrize(
    ("context", "keep", "kept"),
    [
        (8, 0, [16, 17, 18, 19]),
        (8, 5, [0, 1, 2, 3, 4, 18, 19]),
        (8, 7, [0, 1, 2, 3, 4, 5, 6]),
        (8, 99, [0, 1, 2, 3, 4, 5, 6]),
        (8, -1, [0, 1, 2, 3, 4, 5, 6]),
        (1, 4, []),
    ],
)
def test_how_much_is_kept(context: int, keep: int, kept: list[int]) -> None:
    assert without_middle(range(20), context, keep) == kept


@given(st.integers(1, 300), st.integers(-1, 400), st.integers(0, 400))
def test_a_cut_leaves_room_and_loses_only_the_middle(context: int, keep: int, more: int) -> None:
    tokens = list(range(context + more))
    kept = without_middle(tokens, context, keep)
    head = min(keep, context - 1) if keep >= 0 else context - 1
    assert len(kept) == context - max((context - head) // 2, 1) < context
    assert kept[:head] == tokens[:head]
    assert kept[head:] == tokens[len(tokens) - (len(kept) - head) :]


# ---- one system message


def test_system_texts_are_gathered_in_front() -> None:
    talk = [say("user", "a"), say("system", "b"), say("assistant", "c"), say("developer", "d")]
    assert with_one_system_message(talk) == [
        say("system", "b\n\nd"),
        say("user", "a"),
        say("assistant", "c"),
    ]


def test_one_in_front_stays_and_so_does_a_talk_without_any() -> None:
    for talk in ([say("system", "a"), say("user", "b")], [say("user", "b")], []):
        assert with_one_system_message(talk) == talk


def test_equal_texts_of_others_are_not_lost() -> None:
    talk = [say("user", "a"), say("system", "a"), say("user", "a"), say("system", "")]
    assert with_one_system_message(talk) == [say("system", "a"), say("user", "a"), say("user", "a")]


def test_a_system_message_with_an_image_stays_where_it_is() -> None:
    picture = [{"type": "image_url", "image_url": {"url": ""}}]
    talk = [say("user", "a"), say("system", picture), say("system", "b")]
    assert with_one_system_message(talk) == [
        say("system", "b"),
        say("user", "a"),
        say("system", picture),
    ]


# ---- media


def test_images_and_sounds_are_found_in_order() -> None:
    text, image = {"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": ""}}
    sound = {"type": "input_audio", "input_audio": {"data": ""}}
    messages = [say("user", [text, image, sound]), say("user", "a"), say("user", [image, text])]
    assert media_parts(messages) == [image, sound, image]
    assert media_parts(iter(())) == []


# ---- messages of Ollama's


def test_a_message_may_lack_everything() -> None:
    assert engine_message({}) == {"role": "", "content": ""}


def test_earlier_thinking_goes_by_the_engines_name() -> None:
    output = {"role": "assistant", "content": "x"}
    assert engine_message({**output, "thinking": "hm"}) == {**output, "reasoning_content": "hm"}
    assert engine_message({**output, "thinking": ""}) == output


def test_images_follow_the_text_and_an_empty_text_is_left_out() -> None:
    one, two = (
        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}
        for data in ("AAA=", "BBB=")
    )
    output = engine_message({"role": "user", "content": "look", "images": ["AAA=", "BBB="]})
    assert output["content"] == [{"type": "text", "text": "look"}, one, two]
    assert engine_message({"role": "user", "content": "", "images": ["AAA="]})["content"] == [one]
    assert engine_message({"role": "user", "content": "x", "images": []})["content"] == "x"


def test_earlier_tool_calls_have_their_arguments_as_text() -> None:
    calls = [
        {"id": "c1", "function": {"index": 3, "name": "add", "arguments": {"b": "é", "a": 1}}},
        {"function": {"name": "now", "arguments": None}},
        {},
    ]
    assert engine_message({"role": "assistant", "tool_calls": calls})["tool_calls"] == [
        {
            "type": "function",
            "function": {"name": "add", "arguments": '{"b":"é","a":1}'},
            "id": "c1",
        },
        {"type": "function", "function": {"name": "now", "arguments": "{}"}},
        {"type": "function", "function": {"name": "", "arguments": "{}"}},
    ]


def test_a_tool_result_names_its_tool_and_its_call() -> None:
    output = {"role": "tool", "content": "3"}
    assert engine_message({**output, "tool_name": "add", "tool_call_id": "c1"}) == {
        **output,
        "name": "add",
        "tool_call_id": "c1",
    }
    assert engine_message({**output, "tool_name": "", "tool_call_id": ""}) == output
