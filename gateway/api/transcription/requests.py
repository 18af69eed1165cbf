"""Requests for transcriptions: a form, which a model that hears gets as a chat."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.api.transcription.multipart import FormField
from gateway.errors import Invalid
from gateway.golang.duration import parse_keep_alive
from gateway.inference.types import GenerationRequest

INSTRUCTION = (
    "Transcribe the audio word for word. Write down what is said and nothing else: no comments, "
    "no descriptions, no timestamps."
)
_UNTIMED = "there are no timestamps"
_UNNAMED = "speakers are not told apart"
_FORMATS = {
    "srt": _UNTIMED,
    "vtt": _UNTIMED,
    "verbose_json": _UNTIMED,
    "diarized_json": _UNNAMED,
}
"""Why there is no reply of that form."""
_REFUSED = {
    "timestamp_granularities": _UNTIMED,
    "include": "there are no log probabilities here",
    "known_speaker_names": _UNNAMED,
    "known_speaker_references": _UNNAMED,
}
FIELDS: Mapping[str, str] = {
    "file": "the recording; required",
    "model": "one that hears; required",
    "language": "given to the model",
    "languages": "given to the model: it is one of these",
    "prompt": "given to the model: what the recording is about",
    "keywords": "given to the model: what may be said",
    "temperature": "0 to 1; 0 unless given",
    "response_format": "`json` or `text`; others are refused",
    "stream": "events instead of one reply",
    "chunking_strategy": "`auto`; others are refused",
    "keep_alive": "ours: how long the model stays loaded afterwards",
    **{name: f"refused: {why}" for name, why in _REFUSED.items()},
}
"""Every field of a form that has a meaning here, and what is done with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionRequest:
    """A checked form. Whether there is such a model is not looked at."""

    model: str
    sound: bytes
    language: str = ""
    languages: Sequence[str] = ()
    """What the language may be."""
    context: str = ""
    """What the client says about the recording: names, the text before it."""
    keywords: Sequence[str] = ()
    temperature: float = 0.0
    plain: bool = False
    """Whether the reply is the text alone, not JSON."""
    stream: bool = False
    keep_alive: float | None = None


def read_request(form: Sequence[FormField]) -> TranscriptionRequest:
    """Of several fields with one name, where one is meant, the first counts."""
    model = _text(form, "model")
    if not model:
        raise Invalid("model is required")
    file = next((field for field in form if field.name == "file" and field.file), None)
    if file is None:
        raise Invalid("file is required: http: no such file")
    if not file.data:
        raise Invalid("audio file is empty")
    _refuse(form)
    temperature = _temperature(_text(form, "temperature"))
    shape = _text(form, "response_format")
    if why := _FORMATS.get(shape):
        raise Invalid(f"response_format {shape!r} is not supported: {why}")
    if shape not in ("", "json", "text"):
        raise Invalid("response_format must be 'json' or 'text'")
    stream = _text(form, "stream").lower()
    if stream not in ("", "true", "false", "1", "0"):
        raise Invalid("stream must be true or false")
    return TranscriptionRequest(
        model=model,
        sound=file.data,
        language=_text(form, "language"),
        languages=_texts(form, "languages"),
        context=_text(form, "prompt"),
        keywords=_texts(form, "keywords"),
        temperature=temperature,
        plain=shape == "text",
        stream=stream in ("true", "1"),
        keep_alive=_keep_alive(_text(form, "keep_alive")),
    )


def _refuse(form: Sequence[FormField]) -> None:
    """Invalid for what asks for something that cannot be had."""
    for name, why in _REFUSED.items():
        if _texts(form, name):
            raise Invalid(f"{name} is not supported: {why}")
    if _texts(form, "chunking_strategy") not in ((), ("auto",)):
        raise Invalid("chunking_strategy must be 'auto'")


def generation_request(request: TranscriptionRequest) -> GenerationRequest:
    """An instruction, and a message with the recording."""
    instruction = INSTRUCTION
    if request.language:
        instruction += f" The language is {request.language}."
    if request.languages:
        instruction += f" The language is one of these: {', '.join(request.languages)}."
    if request.keywords:
        instruction += f" These words may be said: {', '.join(request.keywords)}."
    if request.context:
        instruction += f" About the audio: {request.context}"
    data = base64.b64encode(request.sound).decode()
    # Whatever it is: the engine looks for itself.
    sound = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    return GenerationRequest(
        model=request.model,
        messages=[{"role": "system", "content": instruction}, {"role": "user", "content": [sound]}],
        think=False,  # which would be no part of a transcript
        options={"temperature": request.temperature},
        keep_alive=request.keep_alive,
    )


def _text(form: Sequence[FormField], name: str) -> str:
    return next((field.text.strip() for field in form if field.name == name), "")


def _texts(form: Sequence[FormField], name: str) -> Sequence[str]:
    """All there is under a name; clients write `name[]` for lists, `name[member]` for objects."""
    texts = (field.text.strip() for field in form if field.name.partition("[")[0] == name)
    return tuple(filter(None, texts))


def _temperature(text: str) -> float:
    try:
        value = float(text or 0)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise Invalid("temperature must be a number between 0 and 1")
    return value


def _keep_alive(text: str) -> float | None:
    """A number of seconds, or a duration."""
    try:
        return parse_keep_alive(float(text)) if text else None
    except ValueError:
        return parse_keep_alive(text)
