"""Transcripts in each of their forms."""

import json

from gateway.api.transcription.multipart import FormField
from gateway.api.transcription.requests import TranscriptionRequest, read_request
from gateway.api.transcription.stream import TranscriptWriter
from gateway.llama.events import Delta, End, Usage


def request(**fields: str) -> TranscriptionRequest:
    file = FormField("file", b"RIFF....WAVE", file=True)
    more = (FormField(name, text.encode()) for name, text in fields.items())
    return read_request([FormField("model", b"m"), file, *more])


def written(*pieces: str, **fields: str) -> list[bytes]:
    """What the client is sent, piece by piece."""
    writer = TranscriptWriter(request(**fields))
    writer.assigned()
    output = [writer.begin(), *(writer.write(Delta(text=piece)) for piece in pieces)]
    return [*output, writer.end(End("stop"), Usage(prompt_tokens=9, completion_tokens=3))]


def test_json_has_the_text_alone() -> None:
    assert written(" \nHello", " there. ") == [b"", b"", b"", b'{"text":"Hello there."}\n']
    assert TranscriptWriter(request()).media_type == "application/json"


def test_plain_text() -> None:
    assert written(" Hi.\n", response_format="text")[-1] == b"Hi."
    writer = TranscriptWriter(request(response_format="text"))
    assert writer.media_type == "text/plain; charset=utf-8"


def test_events_never_end_with_blanks_that_may_be_the_last() -> None:
    lines = written(" ", " Hello", " ", "there. ", stream="true")
    events = [json.loads(line.removeprefix(b"data: ")) for line in lines if line]
    assert events == [
        {"type": "transcript.text.delta", "delta": "Hello"},
        {"type": "transcript.text.delta", "delta": " there."},
        {
            "type": "transcript.text.done",
            "text": "Hello there.",
            "usage": {
                "type": "tokens",
                "input_tokens": 9,
                "output_tokens": 3,
                "total_tokens": 12,
            },
        },
    ]
    assert all(line.endswith(b"\n\n") for line in lines if line)


def test_thoughts_are_not_said() -> None:
    writer = TranscriptWriter(request())
    writer.write(Delta(thinking="Hm.", text="Yes"))
    assert writer.end(End("stop"), Usage()) == b'{"text":"Yes"}\n'


def test_a_stream_that_fails_ends_with_an_error() -> None:
    output = TranscriptWriter(request(stream="true")).failure("it broke", 500)
    assert json.loads(output.removeprefix(b"data: "))["error"]["message"] == "it broke"
