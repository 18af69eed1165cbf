"""Chat and generate in the Ollama dialect."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.clock import RequestClock
from gateway.dialects import ollama
from gateway.dialects.bodies import CHAT, GENERATE
from gateway.dialects.call import Call
from gateway.dialects.decode import decode
from gateway.dialects.ollama_replies import ChatReply, GenerateReply, Reply
from gateway.dialects.options import merge, sampling
from gateway.errors import Invalid
from gateway.infer import Answer, Finish, Prepare, Work
from gateway.logs import Facts
from gateway.routes.errors import status_of
from gateway.services import Services
from gateway.store.model import Model
from runners import Lease, Spec

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Inference:
    """What a request asks of a model, checked."""

    think: bool | str | None
    sampling: Mapping[str, Any]
    spec: Spec


async def chat(request: Request) -> Response:
    """A conversation's next message."""
    body = decode(await request.body(), CHAT)
    ollama.check_logprobs(body)
    if not body.get("model", "").strip():
        raise Invalid("model is required")
    model = await _model(request, body)
    messages = body.get("messages", [])
    reply = ChatReply(body["model"], _clock(request), stream=body.get("stream", True))
    reply.alternatives = bool(body.get("top_logprobs"))
    if not messages and body.get("keep_alive") == 0:
        return _unload(request, model, reply)
    wanted = _check(request, body, model, "chat", tools=bool(body.get("tools")))
    conversation = ollama.conversation(model.system, model.messages, messages)

    async def prepare(lease: Lease) -> Call | bytes:
        if not messages:
            return reply.whole("load")
        if body.get("_debug_render_only"):
            call = ollama.render(conversation, wanted.think, body.get("tools"))
            return reply.rendered((await _ask(lease, call))["prompt"])
        return ollama.chat(body, conversation, wanted.sampling, wanted.think)

    return _answer(request, body, wanted, reply, prepare)


async def generate(request: Request) -> Response:
    """What follows a prompt."""
    body = decode(await request.body(), GENERATE)
    ollama.check_logprobs(body)
    model = await _model(request, body)
    reply = GenerateReply(body.get("model", ""), _clock(request), stream=body.get("stream", True))
    reply.alternatives = bool(body.get("top_logprobs"))
    if not body.get("prompt") and body.get("keep_alive") == 0:
        return _unload(request, model, reply)
    raw = body.get("raw", False)
    if raw and any(body.get(key) for key in ("template", "system", "context")):
        raise Invalid("raw mode does not support template, system, or context")
    wanted = _check(request, body, model, "generate", insert=bool(body.get("suffix")))
    if body.get("prompt"):
        _refuse_unsupported(body)
    prompt = ""

    async def prepare(lease: Lease) -> Call | bytes:
        nonlocal prompt
        if not body.get("prompt"):
            return reply.whole("load")
        prompt = body["prompt"] if raw else await prompt_text(lease, body, model, wanted.think)
        if body.get("_debug_render_only"):
            return reply.rendered(prompt)
        return ollama.completion(body, prompt, wanted.sampling)

    async def finish(lease: Lease) -> None:
        """Only `context`, which nobody waits for, needs the prompt's tokens."""
        reply.context = (await _ask(lease, ollama.tokenize(prompt)))["tokens"]

    return _answer(request, body, wanted, reply, prepare, None if raw else finish)


def _refuse_unsupported(body: Mapping[str, Any]) -> None:
    """What generate cannot do yet is said, not left out."""
    for member, instead in (
        ("template", "the GGUF's own template is used"),
        ("suffix", "send the model's own markers with raw"),
        ("images", "send them to /api/chat"),
    ):
        if body.get(member):
            raise Invalid(f"'{member}' is not supported here; {instead}")


async def _model(request: Request, body: Mapping[str, Any]) -> Model:
    name = body.get("model", "")
    _facts(request).model = name
    return await _services(request).model(name)


def _check(
    request: Request, body: Mapping[str, Any], model: Model, ability: str, **needed: bool
) -> _Inference:
    """Thinking, capabilities, options, in Ollama's order; Invalid for what cannot be had."""
    think = _thinking(body.get("think"), body["model"], model)
    if "completion" not in model.capabilities:
        raise Invalid(f'"{body["model"]}" does not support {ability}')
    for capability, wanted in needed.items():
        if wanted and capability not in model.capabilities:
            raise Invalid(f"{model.name.full} does not support {capability}")
    options, unknown = merge(model.parameters, body.get("options", {}))
    if unknown:
        log.info("ignored options: %s", ", ".join(sorted(unknown)))
    ollama.check_format(body)
    spec = _services(request).spec(model, options, body.get("shift"))
    return _Inference(think, sampling(options, spec.context), spec)


def _answer(
    request: Request,
    body: Mapping[str, Any],
    wanted: _Inference,
    reply: Reply,
    prepare: Prepare,
    finish: Finish | None = None,
) -> Response:
    facts = _facts(request)
    work = Work(wanted.spec, body.get("keep_alive"), prepare, reply, facts, finish)
    return Answer(_services(request).scheduler, work, status_of)


def _unload(request: Request, model: Model, reply: Reply) -> Response:
    _services(request).scheduler.expire(model.weights_digest)
    return Response(reply.whole("unload"), media_type=reply.media_type)


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _facts(request: Request) -> Facts:
    facts: Facts = request.state.facts
    return facts


def _clock(request: Request) -> RequestClock:
    return RequestClock(_facts(request).began)


def _thinking(asked: bool | str | None, name: str, model: Model) -> bool | str | None:
    """On by default for models that can; Invalid where it is wanted of one that cannot."""
    able = "thinking" in model.capabilities
    if asked is None:
        return True if able else None
    if asked and not able:
        raise Invalid(f'"{name}" does not support thinking')
    return asked


async def prompt_text(
    lease: Lease, body: Mapping[str, Any], model: Model, think: bool | str | None
) -> str:
    """The text that the engine goes on from: rendered by the GGUF's own template if it has one."""
    text = str(body["prompt"])
    if model.header is not None and model.header.chat_template is not None:
        message = {"role": "user", "content": text}
        history = () if "context" in body else model.messages
        system = body.get("system") or model.system
        call = ollama.render(ollama.conversation(system, history, [message]), think)
        text = str((await _ask(lease, call))["prompt"])
    if earlier := body.get("context"):
        text = str((await _ask(lease, ollama.detokenize(earlier)))["content"]) + text
    return text


async def _ask(lease: Lease, call: Call) -> dict[str, Any]:
    async with lease.open(call.path, call.body) as upstream:
        value: dict[str, Any] = orjson.loads(await upstream.read_all())
        return value
