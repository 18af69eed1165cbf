"""Reranking, by models that were made for it."""

import secrets
from collections.abc import Awaitable, Callable
from functools import partial

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.api.batches import batches
from gateway.api.model_name import model_name
from gateway.api.rerank import replies as rerank
from gateway.api.rerank.replies import Ranked, Reply
from gateway.errors import Invalid
from gateway.golang.json_decode import decode
from gateway.inference.encoder import ComputedReply
from gateway.inference.handler import compute, find_model
from gateway.llama.errors import ContextOverflow
from gateway.llama.queries import query_bytes
from gateway.llama.requests import Call, detokenize, tokenize
from runners import Lease

Ask = Callable[[Call], Awaitable[bytes]]
"""The engine's reply to a call; EngineError if it refuses."""


async def create(request: Request) -> Response:
    """The documents that answer a query best."""
    body = decode(await request.body(), rerank.REQUEST)
    name = model_name(body)
    asked = rerank.request(body)
    model = await find_model(request, name)
    if model.header is None or not model.header.ranks:
        raise Invalid(f'"{name}" does not support reranking')
    reply = Reply(f"rerank-{secrets.token_hex(12)}", asked)

    async def run(lease: Lease, context: int) -> bytes:
        return reply.write(await scored(partial(query_bytes, lease), asked))

    encoder = ComputedReply(reply.media_type, lambda: None)
    return compute(request, model, {}, asked.keep_alive, encoder, run)


async def scored(ask: Ask, asked: rerank.Request) -> Ranked:
    """The scores of all documents, of a few at a time: between those a client may leave.

    Invalid if one is too long.
    """
    found = Ranked()
    for batch in batches(asked.documents):
        if asked.longest is not None:
            batch = [await _shortened(ask, document, asked.longest) for document in batch]
        try:
            found += rerank.ranked(await ask(rerank.call(asked.query, batch)))
        except ContextOverflow as exc:
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
