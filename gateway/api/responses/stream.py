"""A response as a stream of events."""

from collections.abc import Callable, Mapping

import orjson

from gateway.api.reply import SSE
from gateway.api.responses.calls import ItemEvents, OutputItem
from gateway.api.responses.output import (
    ResponseOutput,
    ResponseReplyOptions,
    final_response,
    final_status,
)
from gateway.golang.json_encode import dumps, escape
from gateway.llama.events import Delta, End, Usage


class ResponseStream:
    """A writer of events. `frame`: the response before it has output.

    `token` makes the ids of items, `clock` gives the time in whole seconds.
    """

    media_type = SSE

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
        self._number = 0

    def assigned(self) -> None:
        """A no-op: no field of a response says when that was."""

    def begin(self) -> bytes:
        started: dict[str, object] = {"response": {**self._frame, "output": []}}
        return self._encode([("created", started), ("in_progress", started)])

    def write(self, delta: Delta) -> bytes:
        # The path of a token.
        if (logprobs := self._output.extend_message(delta)) is not None:
            return self._text_delta(delta.text, logprobs)
        return self._encode(self._output.write(delta))

    def end(self, end: End, usage: Usage) -> bytes:
        status = final_status(end)
        closing = self._encode(self._output.close(status))
        self.response = final_response(
            self._frame, self._output, end, usage, self._options, self._clock()
        )
        return closing + self._event(f"response.{status}", {"response": self.response})

    def failure(self, message: str, status: int) -> bytes:
        error: dict[str, object] = {"code": "server_error", "message": message}
        items = self._output.items
        failed = {**self._frame, "status": "failed", "output": items, "error": error}
        return self._event("error", {**error, "param": None}) + self._event(
            "response.failed", {"response": failed}
        )

    def _encode(self, events: ItemEvents) -> bytes:
        return b"".join([self._event(f"response.{name}", fields) for name, fields in events])

    def _event(self, name: str, fields: Mapping[str, object]) -> bytes:
        data = {**fields, "type": name, "sequence_number": self._number}
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (name.encode(), dumps(data, sort_keys=True))

    def _text_delta(self, text: str, logprobs: list[OutputItem]) -> bytes:
        # Put together from parts, for most events are of this kind.
        number, place = self._number, self._output.place
        self._number += 1
        return b"".join(
            (
                b'event: response.output_text.delta\ndata: {"content_index":0,"delta":',
                escape(orjson.dumps(text)),
                f',"item_id":"{place["item_id"]}","logprobs":'.encode(),
                dumps(logprobs) if logprobs else b"[]",
                f',"output_index":{place["output_index"]},"sequence_number":{number}'.encode(),
                b',"type":"response.output_text.delta"}\n\n',
            )
        )
