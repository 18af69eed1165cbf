"""The reply to a request that takes long: objects of progress as they come, or the last alone."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.api.reply import NDJSON, PLAIN_JSON
from gateway.errors import Broken, GatewayError
from gateway.golang.json_encode import dumps

Work = Callable[[Callable[[Mapping[str, Any]], Awaitable[None]]], Awaitable[None]]
"""Does it all, and calls what it is given with every object of progress."""


class Progress(Response):
    """An ASGI response that does the work while it is sent, and ends it when the client leaves.

    An error before the first object is raised for the app to answer; one after it is the last line.
    """

    def __init__(self, work: Work, *, stream: bool) -> None:
        self.work = work
        self.stream = stream
        self.background = None
        self._last: Mapping[str, Any] = {}
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error: GatewayError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_watch, receive, tasks.cancel_scope)
            error = await self._answer(Request(scope), send)
            tasks.cancel_scope.cancel()
        if error is not None:
            raise error

    async def _answer(self, request: Request, send: Send) -> GatewayError | None:
        """The error, if there was one in time to be answered by itself."""

        async def tell(progress: Mapping[str, Any]) -> None:
            self._last = progress
            if self.stream:
                await self._say(send, progress, more=True)

        try:
            await self._work(tell)
        except GatewayError as error:
            if not self._begun:
                return error
            request.state.facts.error = error.message
            await self._say(send, {"error": error.message}, more=True)
        await self._say(send, None if self.stream else self._last, more=False)
        return None

    async def _work(self, tell: Callable[[Mapping[str, Any]], Awaitable[None]]) -> None:
        try:
            await self.work(tell)
        except OSError as error:
            raise Broken(f"the model cannot be stored: {error.strerror}") from error

    async def _say(self, send: Send, value: Mapping[str, Any] | None, *, more: bool) -> None:
        data = b"" if value is None else dumps(value) + (b"\n" if self.stream else b"")
        if not self._begun:
            self._begun = True
            media_type = NDJSON if self.stream else PLAIN_JSON
            headers = [(b"content-type", media_type.encode())]
            if not more:
                headers.append((b"content-length", str(len(data)).encode()))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": data, "more_body": more})


async def _watch(receive: Receive, scope: anyio.CancelScope) -> None:
    """Cancel `scope` when the client leaves."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
