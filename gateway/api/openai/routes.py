"""Chat completions, completions and models in the OpenAI dialect."""

import secrets
import time
from collections.abc import Mapping
from typing import Any

from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway import names
from gateway.api.ollama.chat_routes import completing
from gateway.api.openai import requests as openai
from gateway.api.openai.messages import check_messages
from gateway.api.openai.stream import Chat, Completion, Passthrough
from gateway.api.reply import PLAIN_JSON, json_reply
from gateway.errors import Invalid, NotFound
from gateway.inference import handler as inference
from gateway.inference.encoder import Translation
from gateway.inference.types import Call
from gateway.services import services
from gateway.store.model import Entry, Model
from runners import ALIAS, Lease


async def chat_completions(request: Request) -> Response:
    """The engine's own bytes where it makes the reply by itself and streams it."""
    body = openai.body(await request.body(), "ChatCompletionRequest")
    openai.check(body)
    turn = openai.chat(body, check_messages(body.get("messages")))
    name = model_name(body)
    stream = body.get("stream", False)
    # The engine takes one call at most for a hint, and gives each token an alternative at least.
    ours = body.get("parallel_tool_calls") is False or turn.top_logprobs == 0
    writer = Chat(
        name,
        f"chatcmpl-{secrets.token_hex(12)}",
        int(time.time()),
        stream=stream,
        usage=_usage(body),
        alternatives=bool(turn.top_logprobs),
    )
    native = Passthrough(name, ALIAS, usage=_usage(body)) if stream and not ours else None
    return await inference.respond(request, name, turn, writer, native)


async def completions(request: Request) -> Response:
    """The prompt goes through the model's template, as Ollama does it."""
    body = openai.body(await request.body(), "CompletionRequest", empty="EOF")
    openai.check_completion(body)
    turn = openai.completion(body)
    name = model_name(body)
    model = await inference.found(request, name)
    reply = Completion(
        name,
        f"cmpl-{secrets.token_hex(12)}",
        int(time.time()),
        stream=body.get("stream", False),
        usage=_usage(body),
        echo=body.get("prompt", "") if body.get("echo") else "",
    )
    suffixed = bool(body.get("suffix"))
    asked = inference.inference(request, name, model, turn, "generate", insert=suffixed)
    said: dict[str, Any] = {key: body[key] for key in ("prompt", "suffix") if key in body}
    prompting = completing(request, said, asked, Translation(reply))
    if prompting.template is None:
        prompting.tags = None  # a text completion has no other place for thinking

    async def prepare(lease: Lease) -> Call | bytes:
        if not body.get("prompt"):
            return reply.loaded()
        return await prompting.first(lease)

    return inference.answer(request, asked, prepare, prompting.translation, prompting.retry)


def _usage(body: Mapping[str, Any]) -> bool:
    return bool(body.get("stream_options", {}).get("include_usage"))


async def models(request: Request) -> Response:
    """Everything in the library, newest first."""
    entries = await run_sync(services(request).library.entries)
    listing = {"object": "list", "data": [_listed(entry) for entry in entries]}
    return json_reply(listing, media_type=PLAIN_JSON)


async def model(request: Request) -> Response:
    """One of them; names with slashes are names too."""
    text = request.path_params["model"]
    if not text or text.endswith("/"):
        raise HTTPException(404)  # whose handler knows the path without it
    name = names.resolve(text, refusal=names.CLOUD_DETAILS)
    try:
        found = await run_sync(services(request).library.get, name)
    except NotFound:
        raise NotFound(f"model '{name.short}' not found") from None
    return json_reply({**_listed(found), "id": text}, media_type=PLAIN_JSON)


def _listed(entry: Entry | Model) -> dict[str, Any]:
    return {
        "id": entry.name.short,
        "object": "model",
        "created": int(entry.modified),
        "owned_by": entry.name.namespace,
    }


def model_name(body: Mapping[str, Any]) -> str:
    """The model that a request on /v1 names."""
    name = body.get("model", "")
    if not isinstance(name, str):
        raise Invalid("'model' must be a string")
    if not name.strip():
        raise Invalid("model is required")
    return name
