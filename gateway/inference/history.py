"""A conversation before it becomes a prompt: what the model adds to it, and what may go."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from gateway.llama.images import media_part
from gateway.llama.requests import JsonObject, Message

_SYSTEM = ("system", "developer")
_THOUGHTS = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL)


def engine_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message of Ollama's, as its clients send it and models store it, in the engine's form."""
    out: dict[str, Any] = {"role": message.get("role", ""), "content": message.get("content", "")}
    if images := message.get("images"):
        text = [{"type": "text", "text": out["content"]}] if out["content"] else []
        out["content"] = [*text, *map(media_part, images)]
    if thinking := message.get("thinking"):
        out["reasoning_content"] = thinking
    if calls := message.get("tool_calls"):
        out["tool_calls"] = []
        for call in calls:
            function = call.get("function") or {}
            # Ollama's clients send an object, the engine takes JSON text.
            arguments = orjson.dumps(function.get("arguments") or {}).decode()
            called = {"name": function.get("name", ""), "arguments": arguments}
            ident = {"id": call["id"]} if call.get("id") else {}
            out["tool_calls"].append({"type": "function", "function": called, **ident})
    if name := message.get("tool_name"):
        out["name"] = name
    if call_id := message.get("tool_call_id"):
        out["tool_call_id"] = call_id
    return out


def prepend_stored(
    system: str, stored: Iterable[Message], messages: Sequence[Message]
) -> list[Message]:
    """The model's SYSTEM, unless the request begins with one, its stored messages, the request's.

    So a request's own system message comes after the stored messages.
    """
    own = bool(messages) and messages[0].get("role") in _SYSTEM
    head = [{"role": "system", "content": system}] if system and not own else []
    return [*head, *stored, *messages]


def without_old_thoughts(messages: Sequence[Message]) -> list[Message]:
    """Reasoning removed from the text of replies that come before the last question."""
    questions = [at for at, message in enumerate(messages) if message.get("role") == "user"]
    last = questions[-1] if questions else 0
    kept = list(messages)
    for at, message in enumerate(messages[:last]):
        content = message.get("content")
        if message.get("role") != "assistant" or not isinstance(content, str):
            continue
        if match := _THOUGHTS.match(content):
            kept[at] = {**message, "content": content[match.end() :]}
    return kept


def drop_before(messages: Sequence[Message], start: int) -> list[Message]:
    """The messages from `start` on, and every system message before it."""
    # The oldest go first, but instructions hold for all of a conversation.
    kept = [message for message in messages[:start] if message.get("role") in _SYSTEM]
    return [*kept, *messages[start:]]


def drop_points(messages: Sequence[Message]) -> list[int]:
    """Where a shorter conversation may start, longest first; each is shorter than the one before.

    The last message always stays.
    """
    return [
        at + 1 for at, message in enumerate(messages[:-1]) if message.get("role") not in _SYSTEM
    ]


def with_one_system_message(messages: Sequence[Message]) -> list[Message]:
    """The same with one system message, the first; many templates refuse any other."""
    # A list of parts is left where it is: it may hold images and sounds.
    texts = [m for m in messages if m.get("role") in _SYSTEM and isinstance(m.get("content"), str)]
    if not texts:
        return list(messages)
    merged = "\n\n".join(str(message["content"]) for message in texts if message["content"])
    rest = [message for message in messages if message not in texts]
    return [{"role": "system", "content": merged}, *rest]


def without_middle(tokens: Sequence[int], context: int, keep: int) -> list[int]:
    """A prompt that leaves half of the context to the reply: `keep` tokens of its head, its tail.

    A negative `keep` is all that there is room for.
    """
    # One token less than the context, and at least one of the rest is left free: the engine refuses
    # a prompt that leaves no room for a reply.
    kept = min(keep if keep >= 0 else context, context - 1)
    length = context - max((context - kept) // 2, 1)
    return [*tokens[:kept], *tokens[len(tokens) - (length - kept) :]]


def media_parts(messages: Iterable[Message]) -> list[JsonObject]:
    """The parts that are images or sounds."""
    return [
        part
        for message in messages
        if isinstance(content := message.get("content"), list)
        for part in content
        if part.get("type") != "text"
    ]
