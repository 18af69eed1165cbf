"""/api/embed, /api/embeddings and /v1/embeddings."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import orjson
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from gateway import names
from gateway.api.batches import batches
from gateway.api.clock import RequestClock
from gateway.api.embeddings import replies as embeddings
from gateway.api.embeddings import requests
from gateway.api.embeddings.replies import (
    Embedded,
    EmbeddingReply,
    EmbedReply,
    Input,
    OldEmbedReply,
    OpenAIEmbedReply,
)
from gateway.api.embeddings.requests import (
    EMBED,
    OLD_EMBED,
    OPENAI_EMBED,
    EmbedRequest,
    OldEmbedRequest,
    OpenAIEmbedRequest,
)
from gateway.errors import Invalid, NotFound
from gateway.inference.encoder import ComputedReply
from gateway.inference.handler import compute, find_model
from gateway.llama.errors import ContextOverflow
from gateway.llama.queries import query_bytes
from gateway.llama.requests import Call, tokenize
from gateway.store.model import Model
from runners import Lease

Ask = Callable[[Call], Awaitable[bytes]]
"""The engine's reply to a call; EngineError if it refuses."""


async def embed(http: Request) -> Response:
    """A vector for each text."""
    request = EMBED.decode(await http.body())
    if not request.model.strip():
        raise NotFound(f"model '{request.model}' not found")
    names.resolve(request.model)  # a name that is none is reported before the input
    texts = requests.texts(request.input)
    clock = RequestClock(http.state.record.began)
    reply = EmbedReply(request.model, clock, request.dimensions)
    return await _respond(http, request, texts, reply, truncate=request.truncate)


async def old_embed(http: Request) -> Response:
    """One vector, of which nothing is returned but its numbers."""
    request = OLD_EMBED.decode(await http.body())
    names.resolve(request.model)
    reply = OldEmbedReply(request.model, RequestClock(http.state.record.began))
    texts = requests.texts(request.prompt)
    return await _respond(http, request, texts, reply, truncate=False, raw=_is_raw)


async def openai_embed(http: Request) -> Response:
    """A vector for each text, in OpenAI's form."""
    request = OPENAI_EMBED.decode(await http.body())
    base64 = requests.as_base64(request.encoding_format)
    texts = requests.openai_texts(request.input)
    names.resolve(request.model)
    clock = RequestClock(http.state.record.began)
    reply = OpenAIEmbedReply(request.model, clock, request.dimensions, base64=base64)
    return await _respond(http, request, texts, reply, truncate=True)


async def embedded(
    ask: Ask, texts: Sequence[str], *, truncate: bool, context: int, raw: bool = False
) -> Embedded:
    """The vectors of `texts`: in one call, unless they are very many or one is too long.

    `context`: most tokens of one text, where the engine would take more. Invalid where a text is
    too long and must not be truncated, or cannot be.
    """
    result = Embedded()
    for batch in batches(texts):
        try:
            reply = await ask(embeddings.call(batch, raw=raw))
        except ContextOverflow as exc:
            if not truncate:
                raise Invalid(embeddings.TOO_LONG) from exc
            reply = await _truncated(ask, batch, min(exc.fits, context), raw)
        result += embeddings.embedded(reply)
    return result


async def _truncated(ask: Ask, texts: Sequence[str], room: int, raw: bool) -> bytes:
    """The reply for as much of each as there is room for; tokens."""
    inputs = [await _shortened(ask, text, room) for text in texts]
    try:
        return await ask(embeddings.call(inputs, raw=raw))
    except ContextOverflow as exc:
        words = "input exceeds maximum context length and cannot be truncated further"
        raise Invalid(words) from exc


async def _shortened(ask: Ask, text: str, room: int) -> Input:
    """As much of `text` as there is room for, in tokens if that is not all."""
    if 2 * len(text.encode()) <= room:
        return text  # hardly any vocabulary needs more than a token a byte
    whole = await _tokens(ask, tokenize(text, special=True))
    if len(whole) <= room:
        return text
    return embeddings.cut(await _tokens(ask, tokenize(text)), whole, room)


async def _tokens(ask: Ask, call: Call) -> list[int]:
    tokens: list[int] = orjson.loads(await ask(call))["tokens"]
    return tokens


async def _respond(
    http: Request,
    request: EmbedRequest | OldEmbedRequest | OpenAIEmbedRequest,
    texts: Sequence[str],
    reply: EmbeddingReply,
    *,
    truncate: bool,
    raw: Callable[[Model], bool] = lambda model: False,
) -> Response:
    model = await _embedding_model(http, request.model)

    async def run(lease: Lease, context: int) -> bytes:
        result = Embedded()
        if texts:
            ask = partial(query_bytes, lease)
            result = await embedded(ask, texts, truncate=truncate, context=context, raw=raw(model))
        # Many numbers take long to write; in the event loop every stream would wait for them.
        if result.numbers > reply.many:
            return await run_sync(reply.write, result)
        return reply.write(result)

    encoder = ComputedReply(reply.media_type, reply.assigned)
    options = {} if isinstance(request, OpenAIEmbedRequest) else request.options
    return compute(http, model, options, request.keep_alive, encoder, run)


async def _embedding_model(http: Request, name: str) -> Model:
    """The model of that name; Invalid if it is not one for embeddings."""
    try:
        model = await find_model(http, name)
    except NotFound as exc:
        raise NotFound(f'model "{name}" not found, try pulling it first') from exc
    ranks = model.header is not None and model.header.ranks
    if "embedding" not in model.capabilities or ranks:
        raise Invalid(f'"{name}" does not support embeddings')
    return model


def _is_raw(model: Model) -> bool:
    """Whether the old endpoint gives the vectors of this model as they come out of it."""
    if (header := model.header) is None:
        return False
    unit = header.get("normalize_embeddings")
    if header.architecture.startswith("nomic-bert"):
        return unit is not True
    foreign = header.get("tokenizer.ggml.model") != "bert"
    return header.architecture == "bert" and (foreign or unit is False)
