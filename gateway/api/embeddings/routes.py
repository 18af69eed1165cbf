"""/api/embed, /api/embeddings and /v1/embeddings."""

from collections.abc import Sequence
from functools import partial

import orjson
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from gateway import names
from gateway.api.batches import SendCall, batches
from gateway.api.clock import RequestClock
from gateway.api.embeddings import requests
from gateway.api.embeddings.replies import (
    TOO_LONG,
    EmbeddingInput,
    EmbeddingReply,
    Embeddings,
    EmbedReply,
    OldEmbedReply,
    OpenAIEmbedReply,
    cut,
    embedding_call,
    read_embeddings,
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


async def embed(http: Request) -> Response:
    """A vector for each text."""
    request = EMBED.decode(await http.body())
    if not request.model.strip():
        raise NotFound(f"model '{request.model}' not found")
    # Once before the input, for Ollama reports a malformed name before a wrong input.
    names.resolve(request.model)
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
    # This form has no `truncate`: a text that is too long is refused.
    return await _respond(http, request, texts, reply, truncate=False)


async def openai_embed(http: Request) -> Response:
    """A vector for each text, in OpenAI's form."""
    request = OPENAI_EMBED.decode(await http.body())
    base64 = requests.as_base64(request.encoding_format)
    texts = requests.openai_texts(request.input)
    names.resolve(request.model)
    clock = RequestClock(http.state.record.began)
    reply = OpenAIEmbedReply(request.model, clock, request.dimensions, base64=base64)
    # Ollama cuts what is too long for clients of OpenAI's, whose form has no `truncate` either.
    return await _respond(http, request, texts, reply, truncate=True)


async def embed_texts(
    send: SendCall, texts: Sequence[str], *, truncate: bool, context: int, raw: bool = False
) -> Embeddings:
    """The vectors of `texts`: in one call, unless they are very many or one is too long.

    `context`: most tokens of one text, where the engine would take more. Invalid where a text is
    too long and must not be truncated, or cannot be.
    """
    embeddings = Embeddings()
    for batch in batches(texts):
        try:
            reply = await send(embedding_call(batch, raw=raw))
        except ContextOverflow as exc:
            if not truncate:
                raise Invalid(TOO_LONG) from exc
            reply = await _truncated(send, batch, min(exc.fits, context), raw)
        embeddings += read_embeddings(reply)
    return embeddings


async def _truncated(send: SendCall, texts: Sequence[str], room: int, raw: bool) -> bytes:
    """The reply for as much of each as there is room for; tokens."""
    inputs: list[EmbeddingInput] = []
    for text in texts:
        # Hardly any vocabulary needs more than a token a byte, so this saves the query; where one
        # does, the call is refused as too long.
        if 2 * len(text.encode()) <= room:
            inputs.append(text)
            continue
        whole = await _tokens(send, tokenize(text, special=True))
        if len(whole) > room:
            inputs.append(cut(await _tokens(send, tokenize(text)), whole, room))
        else:
            inputs.append(text)
    try:
        return await send(embedding_call(inputs, raw=raw))
    except ContextOverflow as exc:
        message = "input exceeds maximum context length and cannot be truncated further"
        raise Invalid(message) from exc


async def _tokens(send: SendCall, call: Call) -> list[int]:
    tokens: list[int] = orjson.loads(await send(call))["tokens"]
    return tokens


async def _respond(
    http: Request,
    request: EmbedRequest | OldEmbedRequest | OpenAIEmbedRequest,
    texts: Sequence[str],
    reply: EmbeddingReply,
    *,
    truncate: bool,
) -> Response:
    try:
        model = await find_model(http, request.model)
    except NotFound as exc:
        raise NotFound(f'model "{request.model}" not found, try pulling it first') from exc
    # A model that ranks may have the capability as well, but its only output is a score.
    ranks = model.header is not None and model.header.ranks
    if "embedding" not in model.capabilities or ranks:
        raise Invalid(f'"{request.model}" does not support embeddings')
    raw = isinstance(request, OldEmbedRequest) and _is_raw(model)

    async def run(lease: Lease, context: int) -> bytes:
        embeddings = Embeddings()
        if texts:
            send = partial(query_bytes, lease)
            embeddings = await embed_texts(send, texts, truncate=truncate, context=context, raw=raw)
        # Many numbers take long to write; in the event loop every stream would wait for them.
        if embeddings.numbers > reply.most_in_loop:
            return await run_sync(reply.write, embeddings)
        return reply.write(embeddings)

    encoder = ComputedReply(reply.media_type, reply.assigned)
    options = {} if isinstance(request, OpenAIEmbedRequest) else request.options
    return compute(http, model, options, request.keep_alive, encoder, run)


def _is_raw(model: Model) -> bool:
    """Whether the old endpoint gives the vectors of this model as they come out of it."""
    if (header := model.header) is None:
        return False
    unit = header.get("normalize_embeddings")
    if header.architecture.startswith("nomic-bert"):
        return unit is not True
    foreign = header.get("tokenizer.ggml.model") != "bert"
    return header.architecture == "bert" and (foreign or unit is False)
