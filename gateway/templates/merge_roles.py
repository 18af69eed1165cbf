"""Neighbouring messages of one role made one, for templates that expect turns to alternate."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gateway.templates.values import Message

_BETWEEN = "\n\n"


def collated(messages: Iterable[Message]) -> tuple[Message, ...]:
    """`messages` with a blank line between those of one role in a row; tool results stay apart."""
    merged: list[Message] = []
    for message in messages:
        if merged and message.role == merged[-1].role != "tool":
            merged[-1] = _both(merged[-1], message)
        else:
            merged.append(message)
    return tuple(merged)


def system_text(messages: Sequence[Message]) -> str:
    """All system messages, wherever they stand."""
    return _BETWEEN.join(message.content for message in messages if message.role == "system")


def _both(first: Message, second: Message) -> Message:
    # Ollama drops the second one's images and calls as well as its thinking. A picture that the
    # user sent and a call that the next tool result answers had better be seen.
    calls = first.calls + second.calls
    return replace(
        first,
        content=first.content + _BETWEEN + second.content,
        images=first.images + second.images,
        calls=tuple(
            replace(call, function=replace(call.function, index=index))
            for index, call in enumerate(calls)
        ),
    )
