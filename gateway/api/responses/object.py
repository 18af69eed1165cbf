"""A response as one object."""

from collections.abc import Callable, Mapping

from gateway.api.openai_error import error_body
from gateway.api.reply import PLAIN_JSON
from gateway.api.responses.output import (
    ResponseOutput,
    ResponseReplyOptions,
    final_response,
    final_status,
)
from gateway.golang.json_encode import dumps
from gateway.llama.events import Delta, End, Usage


class ResponseObject:
    """A writer of one object. `frame`: the response before it has output.

    `token` makes the ids of items, `clock` gives the time in whole seconds.
    """

    media_type = PLAIN_JSON

    def __init__(
        self,
        frame: Mapping[str, object],
        token: str,
        clock: Callable[[], int],
        options: ResponseReplyOptions,
    ) -> None:
        self.response: dict[str, object] | None = None
        """All of it, once it has come to its end."""
        self._frame = frame
        self._clock = clock
        self._options = options
        self._output = ResponseOutput(token, options)

    def assigned(self) -> None:
        """A no-op: no field of a response says when that was."""

    def begin(self) -> bytes:
        return b""

    def write(self, delta: Delta) -> bytes:
        if self._output.extend_message(delta) is None:
            self._output.write(delta)
        return b""

    def end(self, end: End, usage: Usage) -> bytes:
        status = final_status(end)
        self._output.close(status)
        if not self._output.items:
            self._output.add_empty_message(status)  # as Ollama; in a stream there is none
        self.response = final_response(
            self._frame, self._output, end, usage, self._options, self._clock()
        )
        return dumps(self.response) + b"\n"

    def failure(self, message: str, status: int) -> bytes:
        return dumps(error_body(message, status))
