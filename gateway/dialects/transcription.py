"""Transcriptions in the OpenAI dialect, which models that hear write as a chat."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.dialects.call import Delta, End, Tally, Turn
from gateway.dialects.lines import DATA
from gateway.dialects.multipart import Field
from gateway.dialects.openai import error_body
from gateway.errors import Invalid
from gateway.wire import dumps

ORDER = (
    "Transcribe the audio word for word. Write down what is said and nothing else: no comments, "
    "no descriptions, no timestamps."
)
_SSE = "text/event-stream"
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
# What has no form of its own is answered as JSON; but times of words or lines nobody here knows.
_TIMED = ("srt", "vtt")


@dataclass(frozen=True, slots=True)
class Request:
    """A checked form. The model's name is not looked at."""

    model: str
    sound: bytes
    language: str
    context: str
    """What the client says about the recording: names, the text before it."""
    temperature: float
    plain: bool
    """Whether the reply is the text alone, not JSON."""
    stream: bool


def request(form: Mapping[str, Field]) -> Request:
    file = form.get("file")
    if file is None or file.filename is None:
        raise Invalid("file is required: http: no such file")
    if not file.data:
        raise Invalid("audio file is empty")
    kind = _text(form, "response_format")
    if kind in _TIMED:
        raise Invalid(f"response_format {kind!r} is not supported: there are no timestamps")
    return Request(
        _text(form, "model"),
        file.data,
        _text(form, "language"),
        _text(form, "prompt"),
        _temperature(_text(form, "temperature")),
        kind == "text",
        _text(form, "stream").lower() in ("true", "1"),
    )


def turn(asked: Request) -> Turn:
    """An order, and a message with the recording. What is thought is not written down."""
    order = ORDER
    if asked.language:
        order += f" The language is {asked.language}."
    if asked.context:
        order += f" About the audio: {asked.context}"
    data = base64.b64encode(asked.sound).decode()
    sound = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    return Turn(
        messages=[{"role": "system", "content": order}, {"role": "user", "content": [sound]}],
        think=False,
        options={"temperature": asked.temperature},
    )


class Transcript:
    """The text, without blanks around it: JSON, plain, or as events while it is written."""

    def __init__(self, asked: Request) -> None:
        self.media_type = _SSE if asked.stream else _TEXT if asked.plain else _JSON
        self._asked = asked
        self._text = ""
        self._said = 0

    def assigned(self) -> None:
        """It does not tell when that was."""

    def begin(self, tally: Tally) -> bytes:
        return b""

    def write(self, delta: Delta) -> bytes:
        self._text += delta.text
        text = self._text.strip()
        if not self._asked.stream or len(text) == self._said:
            return b""
        more, self._said = text[self._said :], len(text)
        return _event("delta", delta=more)

    def end(self, end: End, tally: Tally) -> bytes:
        text = self._text.strip()
        if self._asked.stream:
            return _event("done", text=text, usage=_usage(tally))
        return text.encode() if self._asked.plain else dumps({"text": text}) + b"\n"

    def failure(self, message: str, status: int) -> bytes:
        return DATA + dumps(error_body(message, status)) + b"\n\n"


def _event(kind: str, **more: Any) -> bytes:
    return DATA + dumps({"type": f"transcript.text.{kind}", **more}) + b"\n\n"


def _usage(tally: Tally) -> dict[str, Any]:
    return {
        "type": "tokens",
        "input_tokens": tally.prompt_tokens,
        "output_tokens": tally.tokens,
        "total_tokens": tally.prompt_tokens + tally.tokens,
    }


def _text(form: Mapping[str, Field], name: str) -> str:
    return form[name].text.strip() if name in form else ""


def _temperature(text: str) -> float:
    try:
        value = float(text or 0)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise Invalid("temperature must be a number between 0 and 1")
    return value
