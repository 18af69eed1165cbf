"""Messages and the counting of their tokens in Anthropic's API."""

import logging
import secrets

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.anthropic.errors import REQUEST_ID_PREFIX
from gateway.api.anthropic.object import MessageObject
from gateway.api.anthropic.requests import read_request
from gateway.api.anthropic.stream import MessageStream
from gateway.golang.json_encode import dumps
from gateway.inference.handler import count_only, find_model, generate

log = logging.getLogger(__name__)


async def messages(http: Request) -> Response:
    """The next message of a conversation."""
    request = read_request(await http.body())
    # Not an error: clients send new fields before servers know them.
    if request.unknown:
        log.info("ignored fields: %s", ", ".join(sorted(request.unknown)))
    kind = MessageStream if request.stream else MessageObject
    writer = kind(request.reply, secrets.token_hex(12), REQUEST_ID_PREFIX + http.state.record.id)
    model = await find_model(http, request.reply.model)
    return await generate(http, model, request.generation, writer)


async def count_tokens(http: Request) -> Response:
    """How many tokens the prompt of such a request has, as the model itself would see it."""
    request = read_request(await http.body(), counting=True)
    model = await find_model(http, request.reply.model)
    # A count needs no message; the writer is there for an error.
    writer = MessageObject(request.reply, "", REQUEST_ID_PREFIX + http.state.record.id)
    task = count_only(lambda count: dumps({"input_tokens": count}))
    return await generate(http, model, request.generation, writer, task=task)


class RequestIdHeader:
    """Middleware: the request's id in the header in which Anthropic's clients look for it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        header = (b"request-id", f"{REQUEST_ID_PREFIX}{scope['state']['record'].id}".encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        await self.app(scope, receive, send_with_id)


MIDDLEWARE = [Middleware(RequestIdHeader)]
