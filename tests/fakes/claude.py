"""Anthropic's own client, and the least that every request of it needs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
from anthropic.types import Message, MessageParam, TextBlock, ToolParam

HI: MessageParam = {"role": "user", "content": "hi"}
WEATHER: ToolParam = {
    "name": "weather",
    "description": "the weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


@contextmanager
def connected(url: str) -> Iterator[anthropic.Anthropic]:
    """A client that does not try again, so that every error shows."""
    with anthropic.Anthropic(base_url=url, api_key="any", max_retries=0) as client:
        yield client


def ask(claude: anthropic.Anthropic, **body: Any) -> Message:
    message = claude.messages.create(**{"max_tokens": 50, "messages": [HI], **body})
    assert isinstance(message, Message)
    return message


def text_of(message: Message) -> str:
    """What a message of one text says."""
    (block,) = message.content
    assert isinstance(block, TextBlock)
    return block.text
