"""Writers fed with what the engine streams, and the time that a reply shows."""

import json
from typing import Any

from gateway.api.clock import Clock
from gateway.api.ollama.replies import (
    GenerateObject,
    GenerateStream,
    OllamaChatObject,
    OllamaChatStream,
)
from gateway.inference.encoder import ReplyEncoder
from gateway.inference.types import Writer
from gateway.llama.events import ChatEventReader, CompletionEventReader

STAMP = "2026-11-21T22:30:21.5Z"
HEAD = f'{{"model":"m","created_at":"{STAMP}"'


class FakeClock(Clock):
    """Each look at it takes 7 nanoseconds; the day stands still."""

    def __init__(self) -> None:
        self.passed = 0

    def stamp(self) -> str:
        return STAMP

    def elapsed(self) -> int:
        self.passed += 7
        return self.passed


def chat(
    *, stream: bool = True, model: str = "m", alternatives: bool = False
) -> OllamaChatObject | OllamaChatStream:
    """Ollama's reply to a chat, whose runner was there at once."""
    writer = OllamaChatStream if stream else OllamaChatObject
    reply = writer(model, FakeClock(), alternatives=alternatives)
    reply.assigned()
    return reply


def generate(*, stream: bool = True, alternatives: bool = False) -> GenerateObject | GenerateStream:
    writer = GenerateStream if stream else GenerateObject
    reply = writer("m", FakeClock(), alternatives=alternatives)
    reply.assigned()
    return reply


def of_chat(writer: Writer) -> ReplyEncoder:
    """`writer` for a chat completion of the engine's."""
    encoder = ReplyEncoder(writer)
    encoder.start(ChatEventReader())
    return encoder


def of_completion(writer: Writer) -> ReplyEncoder:
    """`writer` for a `/completion` of the engine's, whose text is nothing but text."""
    encoder = ReplyEncoder(writer)
    encoder.start(CompletionEventReader())
    return encoder


def run(reply: ReplyEncoder, data: bytes) -> str:
    """All that becomes of `data`."""
    return (reply.feed(data) + reply.flush()).decode()


def whole(reply: ReplyEncoder, data: bytes) -> Any:
    """The one object that becomes of `data`."""
    assert reply.feed(data) == b""
    return json.loads(reply.flush())
