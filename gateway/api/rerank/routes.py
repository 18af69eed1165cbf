"""Reranking, by models that were made for it."""

import secrets
from functools import partial

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.api.batches import SendCall, batches
from gateway.api.rerank.replies import TOO_LONG, Ranking, RerankReply, ranking_call, read_ranking
from gateway.api.rerank.requests import RERANK, RerankRequest, with_texts
from gateway.errors import Invalid
from gateway.inference.encoder import ComputedReply
from gateway.inference.handler import compute, find_model
from gateway.llama.errors import ContextOverflow
from gateway.llama.queries import query_bytes
from gateway.llama.requests import detokenize, tokenize
from runners import Lease


async def rerank(http: Request) -> Response:
    """The documents that answer a query best."""
    request = RERANK.decode(await http.body())
    if not request.model.strip():
        raise Invalid("model is required")
    request = with_texts(request)
    model = await find_model(http, request.model)
    if model.header is None or not model.header.ranks:
        raise Invalid(f'"{request.model}" does not support reranking')
    reply = RerankReply(f"rerank-{secrets.token_hex(12)}", request)

    async def run(lease: Lease, context: int) -> bytes:
        return reply.write(await rank(partial(query_bytes, lease), request))

    encoder = ComputedReply(reply.media_type, lambda: None)
    return compute(http, model, {}, request.keep_alive, encoder, run)


async def rank(send: SendCall, request: RerankRequest) -> Ranking:
    """The scores of all documents. Invalid if one of them is too long."""
    ranking = Ranking()
    most = request.max_tokens_per_doc
    # In batches, for between two of them the engine notices that a client has left.
    for batch in batches(request.texts):
        for at, text in enumerate(batch):
            # The worst vocabulary writes a blank with three bytes, a token each: this saves the
            # queries.
            if most is None or 3 * len(text.encode()) <= most:
                continue
            tokens = orjson.loads(await send(tokenize(text)))["tokens"]
            if len(tokens) > most:
                kept: str = orjson.loads(await send(detokenize(tokens[:most])))["content"]
                # A letter that is cut in two is left out.
                batch[at] = kept.rstrip("\N{REPLACEMENT CHARACTER}")
        try:
            ranking += read_ranking(await send(ranking_call(request.query, batch)))
        except ContextOverflow as exc:
            raise Invalid(TOO_LONG) from exc
    return ranking
