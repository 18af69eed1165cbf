"""Forms as turns, and transcripts in each of their forms."""

import json
from base64 import b64encode

import pytest

from gateway.dialects import transcription
from gateway.dialects.call import Delta, End, Tally
from gateway.dialects.multipart import Field
from gateway.dialects.transcription import ORDER, Transcript
from gateway.errors import Invalid

SOUND = Field(b"RIFF....WAVE", "a.wav")


def request(**texts: str) -> transcription.Request:
    fields = {name: Field(text.encode()) for name, text in texts.items()}
    return transcription.request({"model": Field(b"m"), "file": SOUND, **fields})


def written(*pieces: str, **texts: str) -> list[bytes]:
    """What the client is sent, piece by piece."""
    writer = Transcript(request(**texts))
    writer.assigned()
    said = [writer.begin(Tally()), *(writer.write(Delta(text=piece)) for piece in pieces)]
    return [*said, writer.end(End("stop"), Tally(prompt_tokens=9, tokens=3))]


def test_a_form_with_nothing_but_a_file() -> None:
    asked = request()
    assert asked == transcription.Request("m", SOUND.data, "", "", 0.0, False, False)


def test_all_that_a_form_may_say() -> None:
    asked = request(
        language=" de ",
        prompt="Names: Åsa",
        temperature="0.5",
        response_format="text",
        stream="True",
        timestamp_granularities="word",
    )
    assert asked == transcription.Request("m", SOUND.data, "de", "Names: Åsa", 0.5, True, True)


@pytest.mark.parametrize("kind", ["json", "verbose_json", "diarized_json", ""])
def test_other_forms_are_json(kind: str) -> None:
    assert not request(response_format=kind).plain


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "file is required: http: no such file"),
        ({"file": Field(b"not a file")}, "file is required: http: no such file"),
        ({"file": Field(b"", "a.wav")}, "audio file is empty"),
        (
            {"file": SOUND, "response_format": Field(b"srt")},
            "response_format 'srt' is not supported: there are no timestamps",
        ),
        (
            {"file": SOUND, "temperature": Field(b"hot")},
            "temperature must be a number between 0 and 1",
        ),
        (
            {"file": SOUND, "temperature": Field(b"nan")},
            "temperature must be a number between 0 and 1",
        ),
        (
            {"file": SOUND, "temperature": Field(b"1.1")},
            "temperature must be a number between 0 and 1",
        ),
    ],
)
def test_what_cannot_be_transcribed_is_refused(fields: dict[str, Field], message: str) -> None:
    with pytest.raises(Invalid) as error:
        transcription.request(fields)
    assert error.value.message == message


def test_the_turn_is_an_order_and_the_recording() -> None:
    turn = transcription.turn(request())
    data = b64encode(SOUND.data).decode()
    assert turn.messages == [
        {"role": "system", "content": ORDER},
        {
            "role": "user",
            "content": [{"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}],
        },
    ]
    assert (turn.options, turn.think) == ({"temperature": 0.0}, False)


def test_language_and_context_are_part_of_the_order() -> None:
    order = transcription.turn(request(language="de", prompt="A talk.")).messages[0]["content"]
    assert order == f"{ORDER} The language is de. About the audio: A talk."


def test_json_has_the_text_alone() -> None:
    assert written(" \nHello", " there. ") == [b"", b"", b"", b'{"text":"Hello there."}\n']
    assert Transcript(request()).media_type == "application/json"


def test_plain_text() -> None:
    assert written(" Hi.\n", response_format="text")[-1] == b"Hi."
    writer = Transcript(request(response_format="text"))
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
    writer = Transcript(request())
    writer.write(Delta(thinking="Hm.", text="Yes"))
    assert writer.end(End("stop"), Tally()) == b'{"text":"Yes"}\n'


def test_a_stream_that_fails_ends_with_an_error() -> None:
    said = Transcript(request(stream="true")).failure("it broke", 500)
    assert json.loads(said.removeprefix(b"data: "))["error"]["message"] == "it broke"
