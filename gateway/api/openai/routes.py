"""Chat completions, completions and models in the OpenAI dialect."""

import secrets
import time

from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway import names
from gateway.api.chat_messages import check_messages
from gateway.api.fields import OpenRequestTable, RequestT
from gateway.api.openai.completions import CompletionObject, CompletionStream
from gateway.api.openai.fields import CHAT, COMPLETION
from gateway.api.openai.object import ChatObject
from gateway.api.openai.passthrough import Passthrough
from gateway.api.openai.requests import chat, check_chat, check_completion, completion
from gateway.api.openai.stream import ChatStream
from gateway.api.reply import PLAIN_JSON, json_reply
from gateway.errors import Invalid, NotFound
from gateway.inference.handler import REPLY, engine_renders, find_model, generate, load_only
from gateway.services import services_of
from gateway.store.model import Entry, Model
from runners import ALIAS


async def chat_completions(http: Request) -> Response:
    """The reply to a conversation; a stream that the engine makes by itself in its own bytes."""
    request = _decode(CHAT, await http.body(), "missing request body")
    check_chat(request)
    generation = chat(request, check_messages(request.messages))
    model = await find_model(http, request.model)
    ident, created = f"chatcmpl-{secrets.token_hex(12)}", int(time.time())
    alternatives = bool(generation.top_logprobs)
    if not request.stream:
        whole = ChatObject(request.model, ident, created, alternatives=alternatives)
        return await generate(http, model, generation, whole)
    usage = bool(request.stream_options.get("include_usage"))
    # Passed on as it is, a reply could have several calls where one is allowed, and an alternative
    # for each token where none is wanted: the engine heeds neither.
    restricted = request.parallel_tool_calls is False or generation.top_logprobs == 0
    if engine_renders(model) and not restricted:
        encoder = Passthrough(request.model, ALIAS, usage=usage)
        return await generate(http, model, generation, None, encoder=encoder)
    writer = ChatStream(request.model, ident, created, usage=usage, alternatives=alternatives)
    return await generate(http, model, generation, writer)


async def completions(http: Request) -> Response:
    """The prompt goes through the model's template, as Ollama does it."""
    request = _decode(COMPLETION, await http.body(), "EOF")
    check_completion(request)
    generation = completion(request)
    model = await find_model(http, request.model)
    ident, created = f"cmpl-{secrets.token_hex(12)}", int(time.time())
    echo = request.prompt if request.echo else ""
    writer: CompletionObject | CompletionStream
    if request.stream:
        usage = bool(request.stream_options.get("include_usage"))
        writer = CompletionStream(request.model, ident, created, echo=echo, usage=usage)
    else:
        writer = CompletionObject(request.model, ident, created, echo=echo)
    task = REPLY if request.prompt else load_only(writer.loaded)
    return await generate(http, model, generation, writer, task=task)


def _decode(table: OpenRequestTable[RequestT], data: bytes, empty: str) -> RequestT:
    """`empty`: what Ollama answers to no body at all."""
    if not data.strip():
        raise Invalid(empty)
    return table.decode(data)


async def models(request: Request) -> Response:
    """Everything in the library, newest first."""
    entries = await run_sync(services_of(request).library.entries)
    listing = {"object": "list", "data": [_model_entry(entry) for entry in entries]}
    return json_reply(listing, media_type=PLAIN_JSON)


async def model(request: Request) -> Response:
    """One of them; names with slashes are names too."""
    text = request.path_params["model"]
    if not text or text.endswith("/"):
        raise HTTPException(404)  # whose handler knows the path without it
    name = names.resolve(text, refusal=names.CLOUD_DETAILS)
    try:
        stored = await run_sync(services_of(request).library.get, name)
    except NotFound:
        raise NotFound(f"model '{name.short}' not found") from None
    return json_reply({**_model_entry(stored), "id": text}, media_type=PLAIN_JSON)


def _model_entry(entry: Entry | Model) -> dict[str, object]:
    return {
        "id": entry.name.short,
        "object": "model",
        "created": int(entry.modified),
        "owned_by": entry.name.namespace,
    }
