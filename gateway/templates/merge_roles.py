"""Neighbouring messages of one role made one, for templates that expect turns to alternate."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gateway.templates.messages import TemplateMessage

_BETWEEN = "\n\n"


def merge_roles(messages: Iterable[TemplateMessage]) -> tuple[TemplateMessage, ...]:
    """`messages` with a blank line between those of one role in a row; tool results stay apart."""
    merged: list[TemplateMessage] = []
    for message in messages:
        if merged and message.role == merged[-1].role != "tool":
            # Ollama drops the later message's images and calls as well as its thinking. A picture
            # that the user sent and a call that the next tool result answers had better be seen.
            first = merged[-1]
            merged[-1] = replace(
                first,
                content=first.content + _BETWEEN + message.content,
                images=first.images + message.images,
                calls=tuple(
                    replace(call, function=replace(call.function, index=index))
                    for index, call in enumerate(first.calls + message.calls)
                ),
            )
        else:
            merged.append(message)
    return tuple(merged)


def system_text(messages: Sequence[TemplateMessage]) -> str:
    """All system messages, wherever they stand."""
    return _BETWEEN.join(message.content for message in messages if message.role == "system")
