"""The reply to a request that takes long: each progress object as a line, or the last one alone."""

from collections.abc import Awaitable, Callable, Mapping

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.api.reply import NDJSON, PLAIN_JSON
from gateway.errors import Broken, GatewayError
from gateway.golang.json_encode import dumps
from gateway.inference.response import cancel_on_disconnect

Progress = Mapping[str, object]
"""One object of the stream, such as `{"status": "pulling manifest"}`."""

Operation = Callable[[Callable[[Progress], Awaitable[None]]], Awaitable[None]]
"""Does all of the work, and reports each step by calling its argument."""


class ProgressResponse(Response):
    """An ASGI response that does the work while it is sent, and cancels it when the client leaves.

    An error before the first object is raised, for the app to respond with its status; one after
    it is the last line.
    """

    def __init__(self, operation: Operation, *, stream: bool) -> None:
        self.background = None  # which Starlette looks for on any response
        self._operation = operation
        self._stream = stream
        self._last: Progress = {}
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        failure: GatewayError | None = None

        async def report(progress: Progress) -> None:
            self._last = progress
            if self._stream:
                await self._send(send, progress, more=True)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel_on_disconnect, receive, tasks.cancel_scope)
            try:
                try:
                    await self._operation(report)
                except OSError as error:
                    raise Broken(f"the model cannot be stored: {error.strerror}") from error
            except GatewayError as error:
                if self._started:
                    # The status has gone out: a line is the only place that is left for it.
                    Request(scope).state.record.error = error.message
                    await self._send(send, {"error": error.message}, more=True)
                else:
                    failure = error
            if failure is None:
                await self._send(send, None if self._stream else self._last, more=False)
            # The watcher would wait for the client to leave.
            tasks.cancel_scope.cancel()
        # Not within the group, which would wrap it in an ExceptionGroup.
        if failure is not None:
            raise failure

    async def _send(self, send: Send, value: Progress | None, *, more: bool) -> None:
        data = b"" if value is None else dumps(value) + (b"\n" if self._stream else b"")
        if not self._started:
            self._started = True
            media_type = NDJSON if self._stream else PLAIN_JSON
            headers = [(b"content-type", media_type.encode())]
            if not more:
                headers.append((b"content-length", str(len(data)).encode()))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": data, "more_body": more})
