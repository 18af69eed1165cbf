"""What is asked of a runner beside the next message: its tokens, and what it says of itself."""

from collections.abc import Sequence
from typing import Any

import orjson

from gateway.inference.types import Call
from gateway.llama import requests as engine
from runners import Lease, Refused

_UNREADABLE = ("Failed to load image or audio file", "Failed to tokenize prompt")
_BEGINNINGS: dict[str, str] = {}
"""By the digest of the weights; they never change."""


async def ask(lease: Lease, call: Call) -> dict[str, Any]:
    """A call that is answered by one object. A call without a body is a GET."""
    async with lease.open(call.path, call.body or None) as upstream:
        value: dict[str, Any] = orjson.loads(await upstream.read_all())
        return value


async def tokens(lease: Lease, text: str | Sequence[str], *, special: bool = False) -> list[int]:
    found: list[int] = (await ask(lease, engine.tokenize(text, special=special)))["tokens"]
    return found


async def counted(lease: Lease, chat: Call) -> int:
    """Tokens of a chat. What the engine cannot read is its own fault here, unlike in a reply."""
    try:
        return int((await ask(lease, engine.count(chat)))["input_tokens"])
    except Refused as exc:
        if exc.message in _UNREADABLE:
            raise Refused(exc.message, 400, "invalid_request_error") from exc
        raise


async def media_marker(lease: Lease) -> str:
    """What stands for an image or a sound in the prompts of this engine."""
    return str((await ask(lease, Call(engine.PROPS, b"")))["media_marker"])


async def beginning(lease: Lease) -> str:
    """The text of the token that the engine puts before every prompt; empty if it puts none there.

    A prompt that begins with this text would have the token twice. Asked once for all prompts.
    """
    digest = lease.runner.spec.digest
    if digest not in _BEGINNINGS:
        text = str((await ask(lease, Call(engine.PROPS, b""))).get("bos_token", ""))
        first = (await tokens(lease, text, special=True))[:2] if text else []
        _BEGINNINGS[digest] = text if len(first) == 2 and first[0] == first[1] else ""
    return _BEGINNINGS[digest]
