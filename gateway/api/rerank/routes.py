"""Reranking, by models that were made for it."""

import secrets
from collections.abc import Awaitable, Callable
from functools import partial

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.api.batches import batches
from gateway.api.model_name import check_model_name
from gateway.api.rerank import replies
from gateway.api.rerank.replies import Ranking, RerankReply, read_ranking
from gateway.api.rerank.requests import RERANK, RerankRequest, checked
from gateway.errors import Invalid
from gateway.inference.encoder import ComputedReply
from gateway.inference.handler import compute, find_model
from gateway.llama.errors import ContextOverflow
from gateway.llama.queries import query_bytes
from gateway.llama.requests import Call, detokenize, tokenize
from runners import Lease

Ask = Callable[[Call], Awaitable[bytes]]
"""The engine's reply to a call; EngineError if it refuses."""


async def rerank(http: Request) -> Response:
    """The documents that answer a query best."""
    request = RERANK.decode(await http.body())
    check_model_name(request.model)
    request = checked(request)
    model = await find_model(http, request.model)
    if model.header is None or not model.header.ranks:
        raise Invalid(f'"{request.model}" does not support reranking')
    reply = RerankReply(f"rerank-{secrets.token_hex(12)}", request)

    async def run(lease: Lease, context: int) -> bytes:
        return reply.write(await rank(partial(query_bytes, lease), request))

    encoder = ComputedReply(reply.media_type, lambda: None)
    return compute(http, model, {}, request.keep_alive, encoder, run)


async def rank(ask: Ask, request: RerankRequest) -> Ranking:
    """The scores of all documents, of a few at a time: between those a client may leave.

    Invalid if one is too long.
    """
    ranking = Ranking()
    most = request.max_tokens_per_doc
    for batch in batches(request.texts):
        if most is not None:
            batch = [await _shortened(ask, text, most) for text in batch]
        try:
            ranking += read_ranking(await ask(replies.call(request.query, batch)))
        except ContextOverflow as exc:
            raise Invalid(replies.TOO_LONG) from exc
    return ranking


async def _shortened(ask: Ask, text: str, most: int) -> str:
    """The text of a document's first `most` tokens; a letter that is cut in two is left out."""
    if 3 * len(text.encode()) <= most:
        return text  # the worst vocabulary writes a blank with three bytes, a token each
    tokens = orjson.loads(await ask(tokenize(text)))["tokens"]
    if len(tokens) <= most:
        return text
    shortened: str = orjson.loads(await ask(detokenize(tokens[:most])))["content"]
    return shortened.rstrip("\N{REPLACEMENT CHARACTER}")
