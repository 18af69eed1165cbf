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
from gateway.api.model_name import model_name
from gateway.api.openai import requests as openai
from gateway.api.openai.messages import check_messages
from gateway.api.openai.stream import Chat, Completion, Passthrough
from gateway.api.reply import PLAIN_JSON, json_reply
from gateway.errors import NotFound
from gateway.inference.handler import REPLY, find_model, generate, load_only
from gateway.services import services_of
from gateway.store.model import Entry, Model
from runners import ALIAS


async def chat_completions(http: Request) -> Response:
    """The engine's own bytes where it makes the reply by itself and streams it."""
    body = openai.body(await http.body(), "ChatCompletionRequest")
    openai.check(body)
    request = openai.chat(body, check_messages(body.get("messages")))
    name = model_name(body)
    stream = body.get("stream", False)
    # The engine takes one call at most for a hint, and gives each token an alternative at least.
    ours = body.get("parallel_tool_calls") is False or request.top_logprobs == 0
    writer = Chat(
        name,
        f"chatcmpl-{secrets.token_hex(12)}",
        int(time.time()),
        stream=stream,
        usage=_usage(body),
        alternatives=bool(request.top_logprobs),
    )
    passthrough = Passthrough(name, ALIAS, usage=_usage(body)) if stream and not ours else None
    model = await find_model(http, name)
    return await generate(http, model, request, writer, passthrough=passthrough)


async def completions(http: Request) -> Response:
    """The prompt goes through the model's template, as Ollama does it."""
    body = openai.body(await http.body(), "CompletionRequest", empty="EOF")
    openai.check_completion(body)
    request = openai.completion(body)
    name = model_name(body)
    model = await find_model(http, name)
    writer = Completion(
        name,
        f"cmpl-{secrets.token_hex(12)}",
        int(time.time()),
        stream=body.get("stream", False),
        usage=_usage(body),
        echo=body.get("prompt", "") if body.get("echo") else "",
    )
    task = REPLY if body.get("prompt") else load_only(writer.loaded)
    return await generate(http, model, request, writer, task=task)


def _usage(body: Mapping[str, Any]) -> bool:
    return bool(body.get("stream_options", {}).get("include_usage"))


async def models(request: Request) -> Response:
    """Everything in the library, newest first."""
    entries = await run_sync(services_of(request).library.entries)
    listing = {"object": "list", "data": [_listed(entry) for entry in entries]}
    return json_reply(listing, media_type=PLAIN_JSON)


async def model(request: Request) -> Response:
    """One of them; names with slashes are names too."""
    text = request.path_params["model"]
    if not text or text.endswith("/"):
        raise HTTPException(404)  # whose handler knows the path without it
    name = names.resolve(text, refusal=names.CLOUD_DETAILS)
    try:
        found = await run_sync(services_of(request).library.get, name)
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
