"""Forms as turns, and transcripts in each of their forms."""

import math
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from openai.types.audio.transcription_create_params import (
    TranscriptionCreateParamsBase,
    TranscriptionCreateParamsNonStreaming,
)

from gateway.api.transcription.multipart import FormField
from gateway.api.transcription.requests import (
    FIELDS,
    INSTRUCTION,
    TranscriptionRequest,
    generation_request,
    read_request,
)
from gateway.errors import Invalid

ROOT = Path(__file__).resolve().parents[4]
SOUND = FormField("file", b"RIFF....WAVE", file=True)
MODEL = FormField("model", b"m")


def texts(*pairs: tuple[str, str]) -> TranscriptionRequest:
    fields = (FormField(name, text.encode()) for name, text in pairs)
    return read_request([MODEL, SOUND, *fields])


def request(**fields: str) -> TranscriptionRequest:
    return texts(*fields.items())


def test_a_form_with_nothing_but_a_file() -> None:
    assert request() == TranscriptionRequest(model="m", sound=SOUND.data)


def test_all_that_a_form_may_say() -> None:
    wanted = texts(
        ("language", " de "),
        ("prompt", "Names: Åsa"),
        ("temperature", "0.5"),
        ("response_format", "text"),
        ("stream", "True"),
        ("chunking_strategy", "auto"),
        ("keywords[]", "Åsa"),
        ("keywords[]", " "),
        ("keywords[]", "Bo"),
        ("languages[0]", "de"),
        ("languages", "sv"),
        ("keep_alive", "5m"),
        ("user", "u"),
    )
    assert wanted == TranscriptionRequest(
        model="m",
        sound=SOUND.data,
        language="de",
        languages=("de", "sv"),
        context="Names: Åsa",
        keywords=("Åsa", "Bo"),
        temperature=0.5,
        plain=True,
        stream=True,
        keep_alive=300.0,
    )


def test_of_one_name_the_first_counts() -> None:
    assert texts(("language", "de"), ("language", "sv"), ("model", "n")).language == "de"
    both = [FormField("file", b"text"), MODEL, SOUND, FormField("file", b"more", file=True)]
    assert read_request(both).sound == SOUND.data


@pytest.mark.parametrize(
    ("name", "output", "result"),
    [
        ("stream", "1", True),
        ("stream", "FALSE", False),
        ("stream", "0", False),
        ("plain", "json", False),
        ("plain", "", False),
        ("keep_alive", "0", 0.0),
        ("keep_alive", "-1", math.inf),
        ("keep_alive", "1.5", 1.5),
        ("keep_alive", "", None),
        ("temperature", "", 0.0),
        ("temperature", "1", 1.0),
    ],
)
def test_fields_are_read_however_clients_write_them(name: str, output: str, result: Any) -> None:
    field = {"plain": "response_format"}.get(name, name)
    assert getattr(request(**{field: output}), name) == result


def test_empty_fields_ask_for_nothing() -> None:
    empty = [(name, " ") for name in FIELDS if name not in ("file", "model")]
    assert texts(*empty) == request()


UNTIMED = "is not supported: there are no timestamps"
UNNAMED = "is not supported: speakers are not told apart"
NO_DEGREE = "temperature must be a number between 0 and 1"
WHOLE_ONLY = "chunking_strategy must be 'auto'"


@pytest.mark.parametrize(
    ("name", "output", "message"),
    [
        ("response_format", "srt", f"response_format 'srt' {UNTIMED}"),
        ("response_format", "vtt", f"response_format 'vtt' {UNTIMED}"),
        ("response_format", "verbose_json", f"response_format 'verbose_json' {UNTIMED}"),
        ("response_format", "diarized_json", f"response_format 'diarized_json' {UNNAMED}"),
        ("response_format", "xml", "response_format must be 'json' or 'text'"),
        ("timestamp_granularities[]", "word", f"timestamp_granularities {UNTIMED}"),
        ("include[]", "logprobs", "include is not supported: there are no log probabilities here"),
        ("known_speaker_names[]", "Åsa", f"known_speaker_names {UNNAMED}"),
        ("known_speaker_references", "data:", f"known_speaker_references {UNNAMED}"),
        ("chunking_strategy[type]", "server_vad", WHOLE_ONLY),
        ("chunking_strategy", '{"type":"server_vad"}', WHOLE_ONLY),
        ("stream", "yes", "stream must be true or false"),
        ("temperature", "hot", NO_DEGREE),
        ("temperature", "nan", NO_DEGREE),
        ("temperature", "1.1", NO_DEGREE),
        ("temperature", "-0.1", NO_DEGREE),
        ("keep_alive", "1d", 'time: unknown unit "d" in duration "1d"'),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(name: str, output: str, message: str) -> None:
    with pytest.raises(Invalid) as error:
        request(**{name: output})
    assert error.value.message == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([SOUND], "model is required"),
        ([SOUND, FormField("model", b" ")], "model is required"),
        ([MODEL], "file is required: http: no such file"),
        ([MODEL, FormField("file", b"not a file")], "file is required: http: no such file"),
        ([MODEL, FormField("file", b"", file=True)], "audio file is empty"),
    ],
)
def test_a_form_without_a_model_or_a_recording_is_refused(
    fields: list[FormField], message: str
) -> None:
    with pytest.raises(Invalid) as error:
        read_request(fields)
    assert error.value.message == message


def test_every_field_of_the_official_client_has_a_fate() -> None:
    official = {
        *TranscriptionCreateParamsNonStreaming.__annotations__,
        *TranscriptionCreateParamsBase.__annotations__,
    }
    assert FIELDS.keys() - {"keep_alive"} == official


def test_the_page_tells_the_fate_of_every_field() -> None:
    page = (ROOT / "docs" / "reference" / "http-api.md").read_text()
    section = page.partition("## Transcriptions\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE)
    assert rows == [*FIELDS.items()]


def test_the_turn_is_an_order_and_the_recording() -> None:
    turn = generation_request(request())
    data = b64encode(SOUND.data).decode()
    assert turn.messages == [
        {"role": "system", "content": INSTRUCTION},
        {
            "role": "user",
            "content": [{"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}],
        },
    ]
    assert (turn.options, turn.think) == ({"temperature": 0.0}, False)
    assert generation_request(request(keep_alive="0")).keep_alive == 0


def test_language_and_context_are_part_of_the_order() -> None:
    order = generation_request(request(language="de", prompt="A talk.")).messages[0]["content"]
    assert order == f"{INSTRUCTION} The language is de. About the audio: A talk."
    wanted = texts(*(("languages[]", name) for name in ("de", "sv")), ("keywords", "Åsa"))
    order = generation_request(wanted).messages[0]["content"]
    words = "The language is one of these: de, sv. These words may be said: Åsa."
    assert order == f"{INSTRUCTION} {words}"
