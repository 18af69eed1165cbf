"""Chat completions, completions and models in the OpenAI dialect."""

import secrets
import time
from collections.abc import Mapping
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from gateway import names
from gateway.dialects import ollama, openai
from gateway.dialects.call import Call, Encoder
from gateway.dialects.openai_checks import check_messages
from gateway.dialects.openai_replies import Completion, Passthrough, Whole
from gateway.dialects.options import merge, sampling
from gateway.durations import parse_keep_alive
from gateway.errors import Invalid, NotFound
from gateway.infer import Answer, Prepare, Work
from gateway.logs import Facts
from gateway.routes.errors import status_of
from gateway.routes.ollama import prompt_text
from gateway.routes.reply import PLAIN_JSON, json_reply
from gateway.services import Services
from gateway.store.model import Entry, Model
from runners import ALIAS, Lease, Spec


async def chat_completions(request: Request) -> Response:
    """Forwarded to the engine's own endpoint, Modelfile and checks laid around it."""
    body = openai.body(await request.body())
    openai.check(body)
    name = _name(body)
    effort = openai.effort(body)
    messages = check_messages(body.get("messages"))
    model = await _model(request, name, "chat")
    if body.get("tools") and "tools" not in model.capabilities:
        raise Invalid(f"{model.name.full} does not support tools")
    think = _thinking(effort, name, model)
    spec, settings = _settings(request, model)
    own = messages[0]["role"] in ("system", "developer")
    head = [] if own or not model.system else [{"role": "system", "content": model.system}]
    call = openai.chat(body, [*head, *model.messages, *messages], settings, think)
    encoder: Encoder
    if body.get("stream"):
        encoder = Passthrough(name, ALIAS)
    else:
        encoder = Whole(name, alternatives=bool(body.get("top_logprobs")))

    async def prepare(lease: Lease) -> Call | bytes:
        return call

    return _answer(request, body, spec, prepare, encoder)


async def completions(request: Request) -> Response:
    """The prompt goes through the model's template, as Ollama does it."""
    body = openai.body(await request.body())
    openai.check_completion(body)
    name = _name(body)
    model = await _model(request, name, "generate")
    if body.get("suffix") and "insert" not in model.capabilities:
        raise Invalid(f"{model.name.full} does not support insert")
    if body.get("suffix"):
        raise Invalid("'suffix' is not supported here; send the model's own markers in the prompt")
    spec, settings = _settings(request, model)
    wanted = openai.sampling(body, settings)
    reply = Completion(
        name,
        f"cmpl-{secrets.token_hex(12)}",
        int(time.time()),
        stream=body.get("stream", False),
        usage=bool(body.get("stream_options", {}).get("include_usage")),
    )

    async def prepare(lease: Lease) -> Call | bytes:
        if not body.get("prompt"):
            return reply.whole("load")
        asked = {"prompt": body["prompt"]}
        prompt = await prompt_text(lease, asked, model, _thinking(None, name, model))
        return ollama.completion({}, prompt, wanted)

    return _answer(request, body, spec, prepare, reply)


async def models(request: Request) -> Response:
    """Everything in the library, newest first."""
    entries = await run_sync(_services(request).library.entries)
    listing = {"object": "list", "data": [_listed(entry) for entry in entries]}
    return json_reply(listing, media_type=PLAIN_JSON)


async def model(request: Request) -> Response:
    """One of them; names with slashes are names too."""
    text = request.path_params["model"]
    name = names.resolve(text, refusal=names.CLOUD_DETAILS)
    try:
        found = await run_sync(_services(request).library.get, name)
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


def _name(body: Mapping[str, Any]) -> str:
    name = body.get("model", "")
    if not isinstance(name, str):
        raise Invalid("'model' must be a string")
    if not name.strip():
        raise Invalid("model is required")
    return name


async def _model(request: Request, name: str, ability: str) -> Model:
    facts: Facts = request.state.facts
    facts.model = name
    found = await _services(request).model(name)
    if "completion" not in found.capabilities:
        raise Invalid(f'"{name}" does not support {ability}')
    return found


def _thinking(effort: bool | str | None, name: str, model: Model) -> bool | str | None:
    able = "thinking" in model.capabilities
    if effort and not able:
        raise Invalid(f'"{name}" does not support thinking')
    return (True if effort is None else effort) if able else None


def _settings(request: Request, model: Model) -> tuple[Spec, dict[str, Any]]:
    """The Spec, and what the model's parameters say about sampling.

    OpenAI's default of 1 for temperature and top_p holds where the Modelfile says nothing.
    """
    options, _ = merge(model.parameters, {})
    spec = _services(request).spec(model, options)
    settings = sampling(options, spec.context)
    for name in ("temperature", "top_p"):
        if name not in options.given:
            settings[name] = 1.0
    return spec, settings


def _answer(
    request: Request,
    body: Mapping[str, Any],
    spec: Spec,
    prepare: Prepare,
    encoder: Encoder,
) -> Response:
    facts: Facts = request.state.facts
    work = Work(spec, parse_keep_alive(body.get("keep_alive")), prepare, encoder, facts)
    return Answer(_services(request).scheduler, work, status_of)


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
