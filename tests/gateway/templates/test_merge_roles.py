"""Neighbouring messages of one role."""

from gateway.templates.merge_roles import collated, system_text
from gateway.templates.values import Arguments, CalledFunction, Message, ToolCall


def call(index: int, name: str) -> ToolCall:
    return ToolCall("", CalledFunction(index, name, Arguments()))


def test_messages_of_one_role_in_a_row_become_one() -> None:
    messages = [
        Message("system", "S"),
        Message("system", "T"),
        Message("user", "a"),
        Message("user", "b"),
        Message("user", "c"),
        Message("assistant", "d"),
        Message("user", "e"),
    ]
    assert [(message.role, message.content) for message in collated(messages)] == [
        ("system", "S\n\nT"),
        ("user", "a\n\nb\n\nc"),
        ("assistant", "d"),
        ("user", "e"),
    ]
    assert messages[0].content == "S"


def test_tool_results_stay_apart() -> None:
    results = (Message("tool", "1", tool_call_id="a"), Message("tool", "2", tool_call_id="b"))
    assert collated(results) == results


def test_later_images_and_calls_are_kept() -> None:
    users = (Message("user", "a", images=("A",)), Message("user", "b", images=("B",)))
    assert collated(users) == (Message("user", "a\n\nb", images=("A", "B")),)
    assistants = (
        Message("assistant", "", thinking="first", calls=(call(0, "f"),)),
        Message("assistant", "x", thinking="second", calls=(call(0, "g"),)),
    )
    assert collated(assistants) == (
        Message("assistant", "\n\nx", thinking="first", calls=(call(0, "f"), call(1, "g"))),
    )


def test_the_system_text_is_of_all_system_messages() -> None:
    messages = [Message("system", "S"), Message("user", "a"), Message("system", "T")]
    assert system_text(messages) == "S\n\nT"
    assert system_text(messages[1:2]) == ""
