"""A streamed chat completion in the engine's own bytes, with a few names replaced."""

import re

import orjson

from gateway.api.openai_error import error_body
from gateway.api.reply import SSE
from gateway.golang.json_encode import dumps
from gateway.llama.errors import ReplyCutShort
from gateway.llama.events import EventReader, Usage
from gateway.llama.sse import DATA, DONE, SSEDecoder, parse_event

# The engine writes JSON without blanks and escapes every quote inside a text, so the sequences that
# are replaced here cannot occur in what a model wrote.
_FINGERPRINT = re.compile(rb'"system_fingerprint":"[^"]*"')
_OUR_FINGERPRINT = b'"system_fingerprint":"fp_ollama"'
_COUNTED = b'"usage":{'
_ROLE = b'"delta":{"role":"assistant",'
_REASONING = b'"delta":{"reasoning_content":'


class Passthrough:
    """A streamed chat completion. `usage`: whether the last chunk counts; it is null before."""

    media_type = SSE

    def __init__(self, model: str, alias: str, *, usage: bool = False) -> None:
        self.usage = Usage()
        self._decoder = SSEDecoder(self._event)
        self._model = (b'"model":"' + alias.encode() + b'"', b'"model":' + dumps(model))
        self._fingerprint = b""
        self._our_names = _OUR_FINGERPRINT + b',"usage":null' if usage else _OUR_FINGERPRINT
        self._begun = False
        self._done = False

    def assigned(self) -> None:
        """A no-op: no field of a chat completion says when that was."""

    def start(self, reader: EventReader) -> None:
        # Half a line of the call before is no part of this one. The events are passed on, not read.
        self._decoder = SSEDecoder(self._event)

    def feed(self, data: bytes) -> bytes:
        return self._decoder.feed(data)

    def flush(self) -> bytes:
        self._decoder.check()
        if not self._done:
            raise ReplyCutShort
        return b""

    def failure(self, message: str, status: int) -> bytes:
        return DATA + dumps(error_body(message, status)) + b"\n\n"

    def _event(self, line: bytes) -> bytes:
        output = self._line(line) if line else b""
        return output + b"\n\n" if output else b""

    def _line(self, line: bytes) -> bytes:
        if not self._begun:
            return self._first(line)
        # Only the beginning of a stream is parsed line by line; from here on a token costs a few
        # searches.
        if line.startswith(b'data: {"error"'):
            parse_event(line)  # which raises it
        if b'"timings":{' in line:
            if value := parse_event(line):
                self.usage.read(value["timings"])
            # The chunk with the counts needs no null in their place.
            if _COUNTED in line:
                self._our_names = _OUR_FINGERPRINT
        elif line == DONE:
            self._done = True
            return line
        line = line.replace(*self._model).replace(self._fingerprint, self._our_names)
        return line.replace(_REASONING, b'"delta":{"content":"","reasoning":', 1)

    def _first(self, line: bytes) -> bytes:
        """Skip what comes before the first token: progress, and a chunk with the role alone."""
        value = parse_event(line)
        if value is None or not value.get("choices"):
            return b""
        choice = value["choices"][0]
        grown = {key for key, item in choice["delta"].items() if item is not None} - {"role"}
        if not grown and not choice["finish_reason"]:
            return b""
        self._begun = True
        match = _FINGERPRINT.search(line)
        self._fingerprint = match[0] if match else _OUR_FINGERPRINT
        # The role goes with the first chunk that has content, as Ollama gives it.
        if grown:
            line = self._line(line)
            return line.replace(b'"delta":{', _ROLE, 1) if _ROLE not in line else line
        # A reply without a single token still begins with its role.
        choice |= {"delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        value.pop("timings", None)
        return self._line(DATA + orjson.dumps(value)) + b"\n\n" + self._line(line)
