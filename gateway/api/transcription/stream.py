"""A transcript as the client gets it."""

from gateway.api.openai_error import error_body
from gateway.api.reply import PLAIN_JSON, SSE
from gateway.api.transcription.requests import TranscriptionRequest
from gateway.golang.json_encode import dumps
from gateway.llama.events import Delta, End, Usage
from gateway.llama.sse import DATA

_TEXT = "text/plain; charset=utf-8"


class TranscriptWriter:
    """The text, without blanks around it: JSON, plain, or as events while it is written."""

    def __init__(self, request: TranscriptionRequest) -> None:
        self.media_type = SSE if request.stream else _TEXT if request.plain else PLAIN_JSON
        self._request = request
        self._text = ""
        self._sent = 0

    def assigned(self) -> None:
        """A no-op: no transcript says when that was."""

    def begin(self) -> bytes:
        return b""

    def write(self, delta: Delta) -> bytes:
        self._text += delta.text
        # Blanks at the end wait until there is a word after them: the transcript ends without any.
        if not self._request.stream or len(text := self._text.strip()) == self._sent:
            return b""
        more, self._sent = text[self._sent :], len(text)
        return _event("delta", delta=more)

    def end(self, end: End, usage: Usage) -> bytes:
        text = self._text.strip()
        if self._request.stream:
            counts = {
                "type": "tokens",
                "input_tokens": usage.prompt_tokens,
                "output_tokens": usage.completion_tokens,
                "total_tokens": usage.prompt_tokens + usage.completion_tokens,
            }
            return _event("done", text=text, usage=counts)
        return text.encode() if self._request.plain else dumps({"text": text}) + b"\n"

    def failure(self, message: str, status: int) -> bytes:
        return DATA + dumps(error_body(message, status)) + b"\n\n"


def _event(kind: str, **more: object) -> bytes:
    return DATA + dumps({"type": f"transcript.text.{kind}", **more}) + b"\n\n"
