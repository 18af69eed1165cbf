"""Reranking, by models that were made for it."""

import secrets
from collections.abc import Awaitable, Callable

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.api.embeddings import replies as embeddings
from gateway.api.errors import status_of
from gateway.api.openai.routes import model_name
from gateway.api.rerank import replies as rerank
from gateway.api.rerank.replies import Ranked, Reply
from gateway.errors import Invalid
from gateway.golang.json_decode import decode
from gateway.inference import handler as inference
from gateway.inference.options import merge
from gateway.inference.response import Answer, Work
from gateway.inference.types import Call
from gateway.llama.requests import detokenize, tokenize
from gateway.services import services
from runners import Lease, Refused

Ask = Callable[[Call], Awaitable[bytes]]
"""The engine's reply to a call; Refused if it would not."""


async def create(request: Request) -> Response:
    """The documents that answer a query best."""
    body = decode(await request.body(), rerank.REQUEST)
    name = model_name(body)
    asked = rerank.request(body)
    model = await inference.found(request, name)
    if model.header is None or not model.header.ranks:
        raise Invalid(f'"{name}" does not support reranking')
    options, _ = merge(model.parameters, {})
    spec = services(request).spec(model, options)
    reply = Reply(f"rerank-{secrets.token_hex(12)}", asked)

    async def prepare(lease: Lease) -> bytes:
        async def ask(call: Call) -> bytes:
            async with lease.open(call.path, call.body) as upstream:
                return await upstream.read_all()

        return reply.write(await scored(ask, asked))

    lasts = inference.keep_alive(request, asked.keep_alive)
    work = Work(spec, lasts, prepare, reply, inference.facts(request))
    return Answer(services(request).scheduler, work, status_of)


async def scored(ask: Ask, asked: rerank.Request) -> Ranked:
    """The scores of all documents, of a few at a time: between those a client may leave.

    Invalid if one is too long.
    """
    found = Ranked()
    for batch in embeddings.batches(asked.documents):
        if asked.longest is not None:
            batch = [await _shortened(ask, document, asked.longest) for document in batch]
        try:
            found += rerank.ranked(await ask(rerank.call(asked.query, batch)))
        except Refused as exc:
            if embeddings.room(exc.message) is None:
                raise
            raise Invalid(rerank.TOO_LONG) from exc
    return found


async def _shortened(ask: Ask, document: str, most: int) -> str:
    """The text of its first `most` tokens; a letter that is cut in two is left out."""
    if 3 * len(document.encode()) <= most:
        return document  # the worst vocabulary writes a blank with three bytes, a token each
    tokens = orjson.loads(await ask(tokenize(document)))["tokens"]
    if len(tokens) <= most:
        return document
    text: str = orjson.loads(await ask(detokenize(tokens[:most])))["content"]
    return text.rstrip("\N{REPLACEMENT CHARACTER}")
