"""Messages and the counting of their tokens in the Anthropic dialect."""

import logging
import secrets
from dataclasses import replace

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.anthropic import requests as anthropic
from gateway.api.anthropic.stream import Events, Whole
from gateway.api.errors import request_id
from gateway.golang.json_encode import dumps
from gateway.inference import handler as inference
from gateway.inference.encoder import Translation
from gateway.inference.types import Call, Turn
from gateway.llama.images import readable
from runners import Lease, Refused

log = logging.getLogger(__name__)


async def messages(request: Request) -> Response:
    """The next message of a conversation."""
    asked = anthropic.read(await request.body())
    if asked.unknown:
        log.info("ignored members: %s", ", ".join(sorted(asked.unknown)))
    turn = await _able(request, asked.terms.model, asked.turn)
    ident = secrets.token_hex(12)
    kind = Events if asked.stream else Whole
    writer = kind(asked.terms, ident, request_id(request))
    return await inference.respond(request, asked.terms.model, turn, writer)


async def count_tokens(request: Request) -> Response:
    """How many tokens the prompt of such a request has, as the model itself would see it."""
    asked = anthropic.read(await request.body(), counting=True)
    name = asked.terms.model
    turn = await _able(request, name, asked.turn)
    model = await inference.found(request, name)
    turn = await readable(turn)
    wanted = inference.inference(request, name, model, turn, "chat", tools=bool(turn.tools))
    inference.check_media(wanted)
    encoder = Translation(Whole(asked.terms, "", request_id(request)))
    prompting = inference.chat(wanted, encoder, inference.facts(request))

    async def prepare(lease: Lease) -> Call | bytes:
        try:
            count = await prompting.count(lease)
        except Refused as exc:
            if await prompting.retry(lease, exc) is None:
                raise
            count = await prompting.count(lease)
        return dumps({"input_tokens": count})

    return inference.answer(request, wanted, prepare, encoder)


async def _able(request: Request, name: str, turn: Turn) -> Turn:
    """Without a wish to think where the model cannot: clients send it to every model."""
    model = await inference.found(request, name)
    if turn.think and "thinking" not in model.capabilities:
        return replace(turn, think=None)
    return turn


class RequestId:
    """Says the id in the header in which Anthropic's clients look for it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        header = (b"request-id", request_id(Request(scope)).encode())

        async def saying(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        await self.app(scope, receive, saying)


NAMED = [Middleware(RequestId)]
