"""Transcriptions: which models can, what they are asked, and what is refused."""

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.api.transcription.requests import INSTRUCTION
from tests.fakes.engine import MARKER
from tests.fakes.server import Gateway, open_gateway

pytestmark = pytest.mark.anyio

HEARS = {"llama.audio.block_count": 1}
SOUND = b"RIFF....WAVE"


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with open_gateway("--reply", "  Hello from the recording. ") as gateway:
        gateway.add(metadata=HEARS)
        gateway.add("deaf")
        yield gateway


async def post(gateway: Gateway, file: bytes | None = SOUND, **fields: Any) -> httpx.Response:
    form = {"model": "m", **fields}
    files = {} if file is None else {"file": ("a.wav", file)}
    path = "/v1/audio/transcriptions"
    if files:
        return await gateway.client.post(path, data=form, files=files)
    parts = {name: (None, value) for name, value in form.items()}
    return await gateway.client.post(path, files=parts)


async def test_a_recording_becomes_text(gateway: Gateway) -> None:
    reply = await post(gateway)
    assert reply.headers["content-type"] == "application/json"
    assert reply.text == '{"text":"Hello from the recording."}\n'
    (requested,) = (await gateway.engine())["requests"]
    data = b64encode(SOUND).decode()
    start = "<|im_start|>"
    end = "<|im_end|>"
    prompt = f"{start}system\n{INSTRUCTION}{end}\n{start}user\n{MARKER}{end}\n{start}assistant\n"
    assert requested["prompt"] == {"prompt_string": prompt, "multimodal_data": [data]}
    assert requested["temperature"] == 0


async def test_the_text_alone(gateway: Gateway) -> None:
    reply = await post(gateway, response_format="text")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.text == "Hello from the recording."


async def test_as_a_stream(gateway: Gateway) -> None:
    reply = await post(gateway, stream="true")
    assert reply.headers["content-type"] == "text/event-stream"
    *deltas, last = reply.text.removesuffix("\n\n").split("\n\n")
    assert deltas[0] == 'data: {"type":"transcript.text.delta","delta":"Hello"}'
    text = '{"type":"transcript.text.done","text":"Hello from the recording."'
    assert last.startswith(f"data: {text}")


async def test_keep_alive_zero_lets_the_runner_go(gateway: Gateway) -> None:
    assert (await post(gateway, keep_alive="0")).status_code == 200
    await gateway.until(lambda: not gateway.scheduler.snapshot().runners)


@pytest.mark.parametrize(
    ("file", "fields", "status", "message"),
    [
        (SOUND, {"model": " "}, 400, "model is required"),
        (None, {"model": ""}, 400, "model is required"),
        (None, {}, 400, "file is required: http: no such file"),
        (b"", {}, 400, "audio file is empty"),
        (SOUND, {"stream": "perhaps"}, 400, "stream must be true or false"),
        (
            SOUND,
            {"include[]": "logprobs"},
            400,
            "include is not supported: there are no log probabilities here",
        ),
        (SOUND, {"model": "nope"}, 404, "model 'nope' not found"),
        (SOUND, {"model": "deaf"}, 400, "this model does not support audio input"),
    ],
)
async def test_what_cannot_be_had_is_refused(
    gateway: Gateway, file: bytes | None, fields: dict[str, str], status: int, message: str
) -> None:
    reply = await post(gateway, file, **fields)
    assert (reply.status_code, reply.json()["error"]["message"]) == (status, message)
    assert gateway.scheduler.snapshot().runners == ()


async def test_a_body_that_is_no_form_is_refused(gateway: Gateway) -> None:
    reply = await gateway.client.post("/v1/audio/transcriptions", json={"model": "m"})
    assert reply.status_code == 400
    assert reply.json()["error"]["message"].startswith("failed to parse multipart form: ")
