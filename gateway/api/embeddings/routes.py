"""Embeddings in the Ollama dialect, new and old, and in OpenAI's."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from gateway import names
from gateway.api.embeddings import replies as embeddings
from gateway.api.embeddings.replies import (
    Embedded,
    EmbedReply,
    Input,
    LegacyReply,
    OpenAIReply,
    Reply,
)
from gateway.api.errors import status_of
from gateway.api.ollama.fields import EMBED, EMBEDDINGS
from gateway.errors import Invalid, NotFound
from gateway.golang.json_decode import decode
from gateway.inference import handler as inference
from gateway.inference.options import merge
from gateway.inference.response import Answer, Work
from gateway.inference.types import Call
from gateway.llama.requests import tokenize
from gateway.services import services
from gateway.store.model import Model
from runners import Lease, Refused

Ask = Callable[[Call], Awaitable[bytes]]
"""The engine's reply to a call; Refused if it would not."""

log = logging.getLogger(__name__)


async def embed(request: Request) -> Response:
    """A vector for each text."""
    body = decode(await request.body(), EMBED)
    if not body.get("model", "").strip():
        raise NotFound(f"model '{body.get('model', '')}' not found")
    name = _name(body)
    texts = embeddings.texts(body.get("input"))
    reply = EmbedReply(name, inference.clock(request), body.get("dimensions", 0))
    return await _answer(request, body, texts, reply, truncate=body.get("truncate", True))


async def legacy(request: Request) -> Response:
    """One vector, of which nothing is said but its numbers."""
    body = decode(await request.body(), EMBEDDINGS)
    reply = LegacyReply(_name(body), inference.clock(request))
    texts = embeddings.texts(body.get("prompt"))
    return await _answer(request, body, texts, reply, truncate=False, raw=_raw)


async def openai(request: Request) -> Response:
    """A vector for each text, in OpenAI's form."""
    body = decode(await request.body(), embeddings.OPENAI)
    base64 = embeddings.as_base64(body.get("encoding_format", ""))
    texts = embeddings.openai_texts(body.get("input"))
    name = _name(body)
    reply = OpenAIReply(name, inference.clock(request), body.get("dimensions", 0), base64=base64)
    return await _answer(request, body, texts, reply, truncate=True)


async def embedded(
    ask: Ask, texts: Sequence[str], *, truncate: bool, context: int, raw: bool = False
) -> Embedded:
    """What the engine makes of them: in one call, unless they are very many or one is too long.

    context: most tokens of one text, where the engine would take more. Invalid where a text is too
    long and must not be truncated, or cannot be.
    """
    found = Embedded()
    for batch in embeddings.batches(texts):
        try:
            reply = await ask(embeddings.call(batch, raw=raw))
        except Refused as exc:
            room = embeddings.room(exc.message)
            if room is None:
                raise
            if not truncate:
                raise Invalid(embeddings.TOO_LONG) from exc
            reply = await _truncated(ask, batch, min(room, context), raw)
        found += embeddings.embedded(reply)
    return found


async def _truncated(ask: Ask, texts: Sequence[str], room: int, raw: bool) -> bytes:
    """The reply for as much of each as there is room for; tokens."""
    inputs = [await _shortened(ask, text, room) for text in texts]
    try:
        return await ask(embeddings.call(inputs, raw=raw))
    except Refused as exc:
        if embeddings.room(exc.message) is None:
            raise
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


async def _answer(
    request: Request,
    body: Mapping[str, Any],
    texts: Sequence[str],
    reply: Reply,
    *,
    truncate: bool,
    raw: Callable[[Model], bool] = lambda model: False,
) -> Response:
    model = await _model(request, body["model"])
    options, unknown = merge(model.parameters, body.get("options", {}))
    if unknown:
        log.info("ignored options: %s", ", ".join(sorted(unknown)))
    spec = services(request).spec(model, options)
    context = min(options.num_ctx or spec.context, spec.context)

    async def prepare(lease: Lease) -> bytes:
        async def ask(call: Call) -> bytes:
            async with lease.open(call.path, call.body) as upstream:
                return await upstream.read_all()

        found = Embedded()
        if texts:
            found = await embedded(ask, texts, truncate=truncate, context=context, raw=raw(model))
        if found.numbers > reply.many:
            return await run_sync(reply.write, found)
        return reply.write(found)

    lasts = inference.keep_alive(request, body.get("keep_alive"))
    work = Work(spec, lasts, prepare, reply, inference.facts(request))
    return Answer(services(request).scheduler, work, status_of)


def _name(body: Mapping[str, Any]) -> str:
    """The model's name as the client wrote it; looked at before anything else."""
    name: str = body.get("model", "")
    names.resolve(name)
    return name


async def _model(request: Request, name: str) -> Model:
    """The model of that name; Invalid if it is not one for embeddings."""
    inference.facts(request).model = name
    try:
        model = await services(request).model(name)
    except NotFound as exc:
        raise NotFound(f'model "{name}" not found, try pulling it first') from exc
    ranks = model.header is not None and model.header.ranks
    if "embedding" not in model.capabilities or ranks:
        raise Invalid(f'"{name}" does not support embeddings')
    return model


def _raw(model: Model) -> bool:
    """Whether the old endpoint gives the vectors of this model as they come out of it."""
    if (header := model.header) is None:
        return False
    unit = header.get("normalize_embeddings")
    if header.architecture.startswith("nomic-bert"):
        return unit is not True
    foreign = header.get("tokenizer.ggml.model") != "bert"
    return header.architecture == "bert" and (foreign or unit is False)
