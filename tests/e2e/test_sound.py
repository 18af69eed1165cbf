"""Sound, heard by the real engine: a model that says on which side of silence it is."""

import base64
import io
import struct
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from openai.types.audio import TranscriptionTextDeltaEvent, TranscriptionTextDoneEvent

from gateway.api.transcription.requests import INSTRUCTION
from runners import Engine
from runners.build.scripted_model import CHATML
from tests.fakes import projector
from tests.fakes.process import Gateway, gateway
from tests.fakes.projector import FRAME, RATE
from tests.fakes.scripts import PLAIN, create, upload

pytestmark = pytest.mark.engine

TEMPLATE = "{{ range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}assistant: "
NO_IMAGES = "this model does not support image input"
NO_SOUND = "this model does not support audio input"
WRAPPED = len("<|audio>" + "<audio|>")
"""Tokens that the engine puts around the sound for this kind of projector."""
ONE = {"num_predict": 1}
GIF = base64.b64encode(b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff;").decode()


@pytest.fixture(scope="module")
def serving(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("sound")
    with gateway(folder, engine=engine.server, num_parallel=2) as running:
        with running.client() as client:
            hearing(client, "native", folder)
            hearing(client, "worded", folder, template=TEMPLATE)
            hearing(client, "brief", folder, template=TEMPLATE, parameters={"num_predict": 2})
            create(client, "deaf", PLAIN, folder)
        yield running


@pytest.fixture
def official(serving: Gateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{serving.url}/v1", api_key="x", max_retries=0) as client:
        yield client


@pytest.fixture
def client(serving: Gateway) -> Iterator[httpx.Client]:
    with serving.client() as client:
        yield client


def hearing(client: httpx.Client, name: str, folder: Path, **recipe: Any) -> None:
    """Make a model of two files. Without the GGUF's own template a TEMPLATE is not overruled."""
    text = projector.model(folder / f"{name}.gguf", None if recipe else CHATML)
    ear = projector.audio(folder / f"{name}-ear.gguf", text)
    files = {path.name: upload(client, path.read_bytes()) for path in (text, ear)}
    body = {"model": name, "files": files, "stream": False, **recipe}
    assert client.post("/api/create", json=body).json() == {"status": "success"}


def sound(sample: int, frames: int = 10) -> str:
    """A WAV file whose every sample is that, base64."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(struct.pack("<h", sample) * FRAME * frames)
    return base64.b64encode(out.getvalue()).decode()


def requests(model: str, data: str) -> dict[str, dict[str, Any]]:
    """Sound for every endpoint that takes it, by its path."""
    message = {"role": "user", "content": "listen", "images": [data]}
    part = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    parts = [{"type": "text", "text": "listen"}, part]
    plain = {"model": model, "options": ONE, "stream": False}
    return {
        "/api/chat": {**plain, "messages": [message]},
        "/api/generate": {**plain, "prompt": "listen", "images": [data]},
        "/v1/chat/completions": {
            "model": model,
            "messages": [{"role": "user", "content": parts}],
            "max_tokens": 1,
        },
    }


def output(path: str, reply: dict[str, Any]) -> tuple[str, int]:
    """The text of a reply, and the tokens of its prompt."""
    if path == "/api/generate":
        return reply["response"], reply["prompt_eval_count"]
    if path == "/api/chat":
        return reply["message"]["content"], reply["prompt_eval_count"]
    return reply["choices"][0]["message"]["content"], reply["usage"]["prompt_tokens"]


def refusal(client: httpx.Client, path: str, body: dict[str, Any]) -> tuple[int, str]:
    reply = client.post(path, json=body)
    error = reply.json()["error"]
    return reply.status_code, error["message"] if path.startswith("/v1/") else error


def test_show_lists_audio(client: httpx.Client) -> None:
    """And vision, as Ollama has it for whatever has a projector."""
    shown = client.post("/api/show", json={"model": "native"}).json()
    assert shown["capabilities"] == ["completion", "vision", "audio"]


@pytest.mark.parametrize("model", ["native", "worded"])
def test_every_dialect_lets_models_hear(client: httpx.Client, model: str) -> None:
    for path in requests("", ""):
        for sample, word in ((9000, "High"), (-9000, "Low")):
            reply = client.post(path, json=requests(model, sound(sample))[path])
            assert reply.status_code == 200, reply.text
            assert output(path, reply.json())[0] == word


def test_sound_counts_as_its_tokens(client: httpx.Client) -> None:
    for path in requests("", ""):
        short, long = (
            output(path, client.post(path, json=requests("native", sound(1, frames))[path]).json())
            for frames in (1, 25)
        )
        assert long[1] - short[1] == 24
        assert short[1] > WRAPPED


@pytest.mark.parametrize("model", ["native", "worded"])
def test_recordings_are_transcribed(client: httpx.Client, model: str) -> None:
    """This model says the same word until its context is full."""
    recording = base64.b64decode(sound(-9000))
    reply = client.post(
        "/v1/audio/transcriptions",
        data={"model": model, "response_format": "text"},
        files={"file": ("a.wav", recording)},
    )
    assert reply.status_code == 200, reply.text
    assert set(reply.text.split("Low")) == {""}


def test_the_official_client_reads_transcripts(official: OpenAI) -> None:
    create, file = official.audio.transcriptions.create, ("a.wav", base64.b64decode(sound(9000)))
    assert create(model="brief", file=file).text == "HighHigh"
    output = create(
        model="brief",
        file=file,
        language="de",
        languages=["de", "sv"],
        keywords=["high", "low"],
        prompt="One of two words.",
        temperature=0,
        chunking_strategy="auto",
        response_format="text",
    )
    assert output == "HighHigh"


def test_the_official_client_reads_events(official: OpenAI) -> None:
    file = base64.b64decode(sound(-9000))
    stream = official.audio.transcriptions.create(
        model="brief", file=("a.wav", file), stream=True, extra_body={"keep_alive": "9m"}
    )
    *deltas, done = stream
    assert isinstance(done, TranscriptionTextDoneEvent)
    assert [event.delta for event in deltas if isinstance(event, TranscriptionTextDeltaEvent)] == [
        "Low",
        "Low",
    ]
    assert (done.text, len(deltas)) == ("LowLow", 2)
    usage = done.usage
    assert usage is not None
    assert usage.total_tokens == usage.input_tokens + 2
    assert usage.input_tokens > len(INSTRUCTION)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"timestamp_granularities": ["word", "segment"]}, "timestamp_granularities"),
        ({"include": ["logprobs"]}, "include"),
        ({"known_speaker_names": ["a"]}, "known_speaker_names"),
        ({"known_speaker_references": ["data:audio/wav;base64,"]}, "known_speaker_references"),
        ({"chunking_strategy": {"type": "server_vad", "threshold": 0.5}}, "chunking_strategy"),
        ({"response_format": "verbose_json"}, "response_format"),
    ],
)
def test_what_the_official_client_cannot_have_is_refused(
    official: OpenAI, fields: dict[str, Any], name: str
) -> None:
    with pytest.raises(BadRequestError, match=name):
        official.audio.transcriptions.create(model="brief", file=("a.wav", b"x"), **fields)


def test_there_are_no_translations(official: OpenAI) -> None:
    with pytest.raises(NotFoundError):
        official.post("/audio/translations", cast_to=object, body={"model": "brief"})


def test_mp3_is_sound_too(client: httpx.Client) -> None:
    """Frames of silence, with and without the tag that many files begin with, are a silent WAV."""
    frames = (b"\xff\xfb\x90\x64" + bytes(413)) * 20
    wav = base64.b64decode(sound(0))
    output = [
        client.post(
            "/v1/audio/transcriptions", data={"model": "brief"}, files={"file": ("a", data)}
        ).json()
        for data in (wav, frames, b"ID3\4\0\0\0\0\0\0" + frames)
    ]
    assert output == [{"text": "I see"}] * 3


def test_models_without_ears_refuse_sound(client: httpx.Client) -> None:
    for path, body in requests("deaf", sound(1)).items():
        assert refusal(client, path, body) == (400, NO_SOUND)


def test_models_that_only_hear_refuse_images(client: httpx.Client) -> None:
    bodies = requests("native", GIF)
    part = {"type": "image_url", "image_url": {"url": f"data:image/gif;base64,{GIF}"}}
    bodies["/v1/chat/completions"]["messages"][0]["content"] = [part]
    for path, body in bodies.items():
        assert refusal(client, path, body) == (400, NO_IMAGES)


def test_broken_sound_is_the_clients_fault(serving: Gateway, client: httpx.Client) -> None:
    client.post("/api/chat", json=requests("native", sound(1))["/api/chat"])
    children = serving.children()
    broken = base64.b64encode(b"RIFF\x24\0\0\0WAVEfmt ").decode()
    for data in (broken, sound(1, 0)):
        for path, body in requests("native", data).items():
            status, message = refusal(client, path, body)
            assert (status, message != "") == (400, True)
    assert serving.children() == children
