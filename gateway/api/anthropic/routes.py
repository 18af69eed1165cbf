"""Messages and the counting of their tokens in the Anthropic dialect."""

import logging
import secrets

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.anthropic import requests as anthropic
from gateway.api.anthropic.stream import Events, Whole, request_id
from gateway.golang.json_encode import dumps
from gateway.inference.handler import count_only, find_model, generate

log = logging.getLogger(__name__)


async def messages(http: Request) -> Response:
    """The next message of a conversation."""
    asked = anthropic.read(await http.body())
    if asked.unknown:
        log.info("ignored fields: %s", ", ".join(sorted(asked.unknown)))
    kind = Events if asked.stream else Whole
    writer = kind(asked.terms, secrets.token_hex(12), request_id(http.state.record.id))
    model = await find_model(http, asked.terms.model)
    return await generate(http, model, asked.turn, writer)


async def count_tokens(http: Request) -> Response:
    """How many tokens the prompt of such a request has, as the model itself would see it."""
    asked = anthropic.read(await http.body(), counting=True)
    model = await find_model(http, asked.terms.model)
    writer = Whole(asked.terms, "", request_id(http.state.record.id))
    task = count_only(lambda count: dumps({"input_tokens": count}))
    return await generate(http, model, asked.turn, writer, task=task)


class RequestId:
    """Says the id in the header in which Anthropic's clients look for it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        header = (b"request-id", request_id(scope["state"]["record"].id).encode())

        async def saying(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        await self.app(scope, receive, saying)


NAMED = [Middleware(RequestId)]
