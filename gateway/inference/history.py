"""A conversation before it becomes a prompt: what the model adds to it, and what may go."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Message = Mapping[str, Any]

_SYSTEM = ("system", "developer")
_OLD_THOUGHTS = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL)


def complete(system: str, history: Iterable[Message], messages: Sequence[Message]) -> list[Message]:
    """The model's SYSTEM, unless the request begins with one, its stored messages, the request's.

    So a request's own system message stands after the stored messages.
    """
    own = bool(messages) and messages[0].get("role") in _SYSTEM
    head = [{"role": "system", "content": system}] if system and not own else []
    return [*head, *history, *messages]


def without_old_thoughts(messages: Sequence[Message]) -> list[Message]:
    """Reasoning taken out of the text of answers that stand before the last question."""
    asked = [place for place, message in enumerate(messages) if message.get("role") == "user"]
    last = asked[-1] if asked else 0
    return [
        _thoughtless(message) if place < last and message.get("role") == "assistant" else message
        for place, message in enumerate(messages)
    ]


def _thoughtless(message: Message) -> Message:
    content = message.get("content")
    if not isinstance(content, str):
        return message
    found = _OLD_THOUGHTS.match(content)
    return {**message, "content": content[found.end() :]} if found else message


def tail(messages: Sequence[Message], start: int) -> list[Message]:
    """The messages from `start` on, and every system message before it."""
    kept = [message for message in messages[:start] if message.get("role") in _SYSTEM]
    return [*kept, *messages[start:]]


def starts(messages: Sequence[Message]) -> list[int]:
    """Where a shorter conversation may start, longest first; each is shorter than the one before.

    The last message always stays.
    """
    return [
        place + 1
        for place, message in enumerate(messages[:-1])
        if message.get("role") not in _SYSTEM
    ]


def gathered(messages: Sequence[Message]) -> list[Message]:
    """The same with one system message, the first; many templates refuse any other.

    Images and sounds of a system message stay where they are, and so does that message.
    """
    texts = [m for m in messages if m.get("role") in _SYSTEM and isinstance(m.get("content"), str)]
    if not texts:
        return list(messages)
    whole = "\n\n".join(filter(None, (message["content"] for message in texts)))
    rest = [message for message in messages if message not in texts]
    return [{"role": "system", "content": whole}, *rest]


def cut(tokens: Sequence[int], context: int, keep: int) -> list[int]:
    """A prompt that leaves half of the context to the reply: `keep` tokens of its head, its tail.

    A negative `keep` is all that there is room for.
    """
    kept = min(keep if keep >= 0 else context, context - 1)
    length = context - max((context - kept) // 2, 1)
    return [*tokens[:kept], *tokens[len(tokens) - (length - kept) :]]


def media_of(messages: Iterable[Message]) -> list[Mapping[str, Any]]:
    """The parts that are images or sounds."""
    all_parts = (part for message in messages for part in _content(message))
    return [part for part in all_parts if part.get("type") != "text"]


def has_part(messages: Iterable[Message], kind: str) -> bool:
    """Whether a part of that type is in any of `messages`."""
    return any(part.get("type") == kind for message in messages for part in _content(message))


def _content(message: Message) -> Sequence[Mapping[str, Any]]:
    content = message.get("content")
    return content if isinstance(content, list) else ()
