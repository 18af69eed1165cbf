"""Queries of a runner beside the next message: its tokens, and its properties."""

from collections.abc import Sequence
from typing import Any

import orjson

from gateway.llama import requests
from gateway.llama.errors import MediaUnreadable, from_refusal
from gateway.llama.requests import Call, JsonObject, Message, ThinkLevel
from runners import Lease, Refused

_BOS_TEXTS: dict[str, str] = {}
"""By the digest of the weights; they never change."""


async def query(lease: Lease, call: Call) -> dict[str, Any]:
    """The one object that the engine answers `call` with. EngineError where it refuses."""
    value: dict[str, Any] = orjson.loads(await query_bytes(lease, call))
    return value


async def query_bytes(lease: Lease, call: Call) -> bytes:
    """The same as it came, for replies that are large or read elsewhere."""
    try:
        async with lease.open(call.path, call.body or None) as upstream:
            return await upstream.read_all()
    except Refused as exc:
        raise from_refusal(exc) from exc


async def tokenize(lease: Lease, text: str | Sequence[str], *, special: bool = False) -> list[int]:
    """See `requests.tokenize`."""
    tokens: list[int] = (await query(lease, requests.tokenize(text, special=special)))["tokens"]
    return tokens


async def detokenize(lease: Lease, tokens: Sequence[int]) -> str:
    return str((await query(lease, requests.detokenize(tokens)))["content"])


async def apply_template(
    lease: Lease,
    messages: Sequence[Message],
    think: ThinkLevel,
    tools: Sequence[JsonObject] = (),
) -> str:
    """The prompt of a conversation by the GGUF's own chat template."""
    call = requests.apply_template(messages, think, tools)
    return str((await query(lease, call))["prompt"])


async def count_tokens(lease: Lease, chat_call: Call) -> int:
    """Tokens of a chat's prompt, media included."""
    try:
        return int((await query(lease, requests.count_tokens(chat_call)))["input_tokens"])
    except MediaUnreadable as exc:
        # The client's mistake; the engine's own status for it is 500, which clients retry.
        raise MediaUnreadable(exc.message, 400) from exc


async def media_marker(lease: Lease) -> str:
    """What stands for an image or a sound in the prompts of this engine."""
    return str((await query(lease, Call(requests.PROPS, b"")))["media_marker"])


def known_bos_text(digest: str) -> str | None:
    """What `bos_text` gave for these weights; None if it was never called for them."""
    # Apart from `bos_text`, so that the common request enters no coroutine for it.
    return _BOS_TEXTS.get(digest)


async def bos_text(lease: Lease) -> str:
    """The text of the token that the engine puts before every prompt; empty if there is none."""
    digest = lease.runner.spec.digest
    if digest not in _BOS_TEXTS:
        text = str((await query(lease, Call(requests.PROPS, b""))).get("bos_token", ""))
        # Whether it puts it there shows by the text itself, which has the token twice then.
        first = (await tokenize(lease, text, special=True))[:2] if text else []
        _BOS_TEXTS[digest] = text if len(first) == 2 and first[0] == first[1] else ""
    return _BOS_TEXTS[digest]
