"""Neighbouring messages of one role."""

from gateway.templates.merge_roles import merge_roles, system_text
from gateway.templates.messages import (
    CallArguments,
    TemplateCallFunction,
    TemplateMessage,
    TemplateToolCall,
)


def call(index: int, name: str) -> TemplateToolCall:
    return TemplateToolCall("", TemplateCallFunction(index, name, CallArguments()))


def test_messages_of_one_role_in_a_row_become_one() -> None:
    messages = [
        TemplateMessage("system", "S"),
        TemplateMessage("system", "T"),
        TemplateMessage("user", "a"),
        TemplateMessage("user", "b"),
        TemplateMessage("user", "c"),
        TemplateMessage("assistant", "d"),
        TemplateMessage("user", "e"),
    ]
    assert [(message.role, message.content) for message in merge_roles(messages)] == [
        ("system", "S\n\nT"),
        ("user", "a\n\nb\n\nc"),
        ("assistant", "d"),
        ("user", "e"),
    ]
    assert messages[0].content == "S"


def test_tool_results_stay_apart() -> None:
    results = (
        TemplateMessage("tool", "1", tool_call_id="a"),
        TemplateMessage("tool", "2", tool_call_id="b"),
    )
    assert merge_roles(results) == results


def test_later_images_and_calls_are_kept() -> None:
    users = (
        TemplateMessage("user", "a", images=("A",)),
        TemplateMessage("user", "b", images=("B",)),
    )
    assert merge_roles(users) == (TemplateMessage("user", "a\n\nb", images=("A", "B")),)
    assistants = (
        TemplateMessage("assistant", "", thinking="first", calls=(call(0, "f"),)),
        TemplateMessage("assistant", "x", thinking="second", calls=(call(0, "g"),)),
    )
    assert merge_roles(assistants) == (
        TemplateMessage("assistant", "\n\nx", thinking="first", calls=(call(0, "f"), call(1, "g"))),
    )


def test_the_system_text_is_of_all_system_messages() -> None:
    messages = [
        TemplateMessage("system", "S"),
        TemplateMessage("user", "a"),
        TemplateMessage("system", "T"),
    ]
    assert system_text(messages) == "S\n\nT"
    assert system_text(messages[1:2]) == ""
