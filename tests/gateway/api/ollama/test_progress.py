"""Progress as it comes or at its end; errors before and after the first word; who leaves."""

from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import pytest
from starlette.types import Message, Scope

from gateway.api.ollama.progress import ProgressResponse
from gateway.errors import Broken, Invalid

pytestmark = pytest.mark.anyio

Tell = Callable[[Mapping[str, Any]], Awaitable[None]]


async def ask(
    work: Callable[[Tell], Awaitable[None]], *, stream: bool = True
) -> tuple[httpx.Response, SimpleNamespace]:
    """The reply of one such response, and what the log is told of it."""
    facts = SimpleNamespace(error="")
    reply = ProgressResponse(work, stream=stream)

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        scope["state"] = {"record": facts}
        await reply(scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        return await client.get("http://test/"), facts


async def two(tell: Tell) -> None:
    await tell({"status": "one <"})
    await tell({"status": "success"})


async def test_every_object_is_a_line() -> None:
    response, _ = await ask(two)
    assert response.content == b'{"status":"one \\u003c"}\n{"status":"success"}\n'
    assert dict(response.headers) == {"content-type": "application/x-ndjson"}


async def test_without_a_stream_the_last_object_is_all() -> None:
    response, _ = await ask(two, stream=False)
    assert response.content == b'{"status":"success"}'
    assert dict(response.headers) == {"content-type": "application/json", "content-length": "20"}


@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_before_the_first_word_is_the_apps_to_answer(stream: bool) -> None:
    async def work(tell: Tell) -> None:
        raise Invalid("no")

    with pytest.raises(Invalid, match=r"^no$"):
        await ask(work, stream=stream)


async def test_an_error_after_it_is_the_last_line() -> None:
    async def work(tell: Tell) -> None:
        await tell({"status": "one"})
        raise Invalid("no")

    response, facts = await ask(work)
    assert (response.status_code, facts.error) == (200, "no")
    assert response.content == b'{"status":"one"}\n{"error":"no"}\n'
    with pytest.raises(Invalid, match=r"^no$"):
        await ask(work, stream=False)


async def test_a_disk_that_is_full_is_told() -> None:
    async def work(tell: Tell) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(Broken, match=r"^the model cannot be stored: No space left on device$"):
        await ask(work)


async def test_a_client_that_leaves_ends_the_work() -> None:
    begun, ended = anyio.Event(), anyio.Event()
    sent: list[Message] = []

    async def work(tell: Tell) -> None:
        await tell({"status": "one"})
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async def receive() -> Message:
        await begun.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    with anyio.fail_after(10):
        await ProgressResponse(work, stream=True)({"type": "http", "state": {}}, receive, send)
    assert ended.is_set()
    assert [message.get("body") for message in sent] == [None, b'{"status":"one"}\n']
