"""What is asked of a runner, by what little of one answers that."""

import json
import secrets
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from gateway.llama.queries import bos_text, known_bos_text, media_marker, tokenize
from runners import Lease, Spec
from runners.runner import Runner
from runners.spec import Placement
from runners.supervise import Endpoint

pytestmark = pytest.mark.anyio

Replies = Mapping[str, Mapping[str, Any]]


@asynccontextmanager
async def runner(replies: Replies, heard: list[Any]) -> AsyncIterator[Lease]:
    """A lease of a runner that answers each path in its way; `heard` are paths and bodies."""

    async def answer(stream: SocketStream) -> None:
        async with stream:
            head, _, body = (await stream.receive()).partition(b"\r\n\r\n")
            path = head.split(b" ")[1].decode()
            heard.append((path, json.loads(body or b"null")))
            reply = json.dumps(replies[path]).encode()
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(reply))
            await stream.send(reply)

    digest = f"sha256:{secrets.token_hex(32)}"
    one = Runner(1, Spec(weights=Path("/m"), digest=digest, size=1), Placement(()))
    with tempfile.TemporaryDirectory() as folder:
        one.endpoint = Endpoint(Path(folder) / "s", 1, 0.1)
        async with anyio.create_task_group() as tasks:
            listener = await anyio.create_unix_listener(one.endpoint.socket)
            tasks.start_soon(listener.serve, answer)
            yield Lease(one, 0, 0)
            tasks.cancel_scope.cancel()
        await listener.aclose()


@pytest.mark.parametrize(
    ("props", "result", "text"),
    [
        ({"bos_token": "<s>"}, [1, 1], "<s>"),
        ({"bos_token": "<s>"}, [1, 1, 2], "<s>"),
        # It is not put there, not known as one token, or there is none.
        ({"bos_token": "<s>"}, [1], ""),
        ({"bos_token": "<s>"}, [1, 2], ""),
        ({"bos_token": "<s>"}, [1, 60, 115, 62], ""),
        ({"bos_token": ""}, [1], ""),
        ({}, [1], ""),
    ],
)
async def test_the_beginning_is_what_would_stand_there_twice(
    props: Mapping[str, Any], result: list[int], text: str
) -> None:
    heard: list[Any] = []
    async with runner({"/props": props, "/tokenize": {"tokens": result}}, heard) as lease:
        assert known_bos_text(lease.runner.spec.digest) is None
        assert await bos_text(lease) == text
        again = await bos_text(lease)
        assert again == known_bos_text(lease.runner.spec.digest) == text
    requested = [("/tokenize", {"content": "<s>", "add_special": True})]
    assert heard == [("/props", None), *(requested if props.get("bos_token") else [])]


async def test_tokens_are_counted_with_what_stands_before_them_or_without() -> None:
    heard: list[Any] = []
    async with runner({"/tokenize": {"tokens": [7, 8]}}, heard) as lease:
        assert await tokenize(lease, "hi") == [7, 8]
        assert await tokenize(lease, ["a", "b"], special=True) == [7, 8]
    bodies = [body for _, body in heard]
    assert bodies == [{"content": "hi"}, {"content": ["a", "b"], "add_special": True}]


async def test_the_engine_says_what_stands_for_an_image() -> None:
    async with runner({"/props": {"media_marker": "<M>"}}, []) as lease:
        assert await media_marker(lease) == "<M>"
