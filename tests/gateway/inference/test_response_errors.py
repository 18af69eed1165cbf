"""Errors of a request: in time, with a status of their own, and too late, within the stream."""

import json
import logging
from typing import Any

import httpx
import pytest

from runners import Limits
from tests.fakes.scripts import NATIVE
from tests.fakes.server import ONE_SLOT, STREAMS, open_gateway, running_gateway, whole

pytestmark = pytest.mark.anyio

PATHS = list(STREAMS)
COMPUTE = "Compute error."
DIED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal "
    "error: "
)


TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the "
    "prompt, adjust the context length in settings, or use a model with a longer context length"
)


def too_long(path: str, **more: Any) -> dict[str, Any]:
    """A request for a stream whose only message does not fit into the context."""
    text = "a " * 2000
    messages = [{"role": "user", "content": text}]
    return {**STREAMS[path], "messages": messages, "prompt": text, **more}


def reported(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The facts of every finished request."""
    return [vars(line)["fields"] for line in caplog.records if line.name == "paddock"]


def error_of(path: str, response: httpx.Response) -> str:
    """The message of an error in the dialect of `path`, its shape checked."""
    error = response.json()["error"]
    if path.startswith("/api"):
        assert response.json().keys() == {"error"}
        return str(error)
    assert (error["param"], error["code"]) == (None, None)
    return str(error["message"])


def ending(path: str, text: str) -> str:
    """The message of the error with which a stream ended, its shape checked."""
    if path.startswith("/api"):
        line = text.splitlines()[-1]
        assert text.endswith("}\n")
        assert json.loads(line).keys() == {"error"}
        return str(json.loads(line)["error"])
    last = text.removesuffix("\n\n").rpartition("\n\n")[2]
    assert text.endswith("}\n\n")
    error = json.loads(last.removeprefix("data: "))["error"]
    assert error == {**error, "type": "api_error", "param": None, "code": None}
    return str(error["message"])


# ---- errors before the first byte


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", PATHS)
async def test_an_engine_that_fails_in_time_is_500(path: str, stream: bool) -> None:
    async with open_gateway("--error-after", "0", "--prefill", "0.06") as gateway:
        gateway.add()
        body = STREAMS[path] if stream else whole(path)
        reply = await gateway.client.post(path, json=body)
        assert (reply.status_code, error_of(path, reply)) == (500, COMPUTE)
        assert reply.headers["content-length"] == str(len(reply.content))
        assert gateway.leases() == 0


@pytest.mark.parametrize("path", PATHS)
async def test_an_engine_that_dies_in_time_is_500_with_its_last_words(path: str) -> None:
    flags = ("--crash-after", "0", "--crash-signal", "SIGABRT", "--say", "CUDA error: out")
    async with open_gateway(*flags) as gateway:
        gateway.add()
        reply = await gateway.client.post(path, json=STREAMS[path])
        assert reply.status_code == 500
        assert error_of(path, reply).startswith(DIED)
        assert "CUDA error: out" in error_of(path, reply)
        await gateway.until(lambda: not gateway.scheduler.snapshot().runners)


@pytest.mark.parametrize("path", PATHS)
async def test_a_model_that_cannot_be_loaded_is_500(path: str) -> None:
    flags = ("--exit-on-load", "1", "--say", "error loading model: bad magic")
    async with open_gateway(*flags) as gateway:
        gateway.add()
        reply = await gateway.client.post(path, json=STREAMS[path])
        assert reply.status_code == 500
        assert "bad magic" in error_of(path, reply)
        assert (gateway.leases(), gateway.waiting()) == (0, 0)


async def test_a_model_that_fails_again_and_again_is_503_and_says_when() -> None:
    async with open_gateway("--exit-on-load", "1", "--say", "no") as gateway:
        gateway.add()
        result = [await gateway.client.post("/api/chat", json=whole("/api/chat")) for _ in range(3)]
        assert [reply.status_code for reply in result] == [500, 500, 503]
        assert result[2].headers["retry-after"] == "1"


async def test_a_full_queue_is_503_at_once() -> None:
    limits = Limits(queue=1)
    flags = ("--stall-after", "1")
    async with running_gateway(*flags, limits=limits, defaults=ONE_SLOT) as gateway:
        gateway.add()
        async with gateway.connect() as first, gateway.connect() as second:
            await first.post("/api/chat", STREAMS["/api/chat"])
            await first.until(b"Hello ")
            await second.post("/api/chat", STREAMS["/api/chat"])
            await gateway.until(lambda: gateway.waiting() == 1)
            for path in PATHS:
                reply = await gateway.client.post(path, json=STREAMS[path])
                busy = "server busy, please try again.  maximum pending requests exceeded"
                assert (reply.status_code, error_of(path, reply)) == (503, busy)
                assert reply.headers["retry-after"] == "1"


@pytest.mark.parametrize("path", PATHS)
async def test_a_prompt_that_is_too_long_is_the_clients_mistake(path: str) -> None:
    async with open_gateway() as gateway:
        gateway.add()
        reply = await gateway.client.post(path, json=too_long(path, truncate=False))
        assert reply.status_code == 400
        error = reply.json()["error"]
        message = error if path.startswith("/api") else error["message"]
        assert "exceeds the available context size (1024 tokens)" in message
        if path.startswith("/v1"):
            assert error["type"] == "invalid_request_error"
            assert error["code"] == "context_length_exceeded"


async def test_a_message_that_is_too_long_cannot_be_cut_where_the_engine_makes_the_prompt() -> None:
    async with open_gateway() as gateway:
        gateway.add(template=NATIVE)
        reply = await gateway.client.post("/api/chat", json=too_long("/api/chat"))
        assert reply.status_code == 400
        assert "exceeds the available context size (1024 tokens)" in reply.json()["error"]


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
async def test_a_prompt_is_not_cut_where_the_context_must_not_be_shifted(path: str) -> None:
    async with open_gateway() as gateway:
        gateway.add()
        reply = await gateway.client.post(path, json=too_long(path, shift=False))
        assert (reply.status_code, error_of(path, reply)) == (400, TOO_LONG)


# ---- errors after the first byte


@pytest.mark.parametrize("path", PATHS)
async def test_an_engine_that_fails_too_late_ends_the_stream_with_an_error(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "paddock")
    async with running_gateway("--error-after", "2") as gateway:
        gateway.add()
        reply = await gateway.client.post(path, json=STREAMS[path])
        assert (reply.status_code, ending(path, reply.text)) == (200, COMPUTE)
        assert "Hello " in reply.text
        assert "[DONE]" not in reply.text
        await gateway.until(lambda: gateway.leases() == gateway.waiting() == 0)
    [facts] = reported(caplog)
    assert (facts["status"], facts["error"]) == (200, COMPUTE)


@pytest.mark.parametrize("path", PATHS)
async def test_an_engine_that_dies_too_late_ends_the_stream_with_an_error(path: str) -> None:
    async with running_gateway("--crash-after", "2") as gateway:
        gateway.add()
        reply = await gateway.client.post(path, json=STREAMS[path])
        assert reply.status_code == 200
        assert ending(path, reply.text).startswith(DIED)
        await gateway.until(lambda: gateway.leases() == gateway.waiting() == 0)


@pytest.mark.parametrize("path", PATHS)
async def test_a_whole_reply_that_fails_late_is_still_500(path: str) -> None:
    async with open_gateway("--error-after", "2") as gateway:
        gateway.add()
        reply = await gateway.client.post(path, json=whole(path))
        assert (reply.status_code, error_of(path, reply)) == (500, COMPUTE)
