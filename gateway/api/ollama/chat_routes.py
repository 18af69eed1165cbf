"""Chat and generate in the Ollama dialect."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.api.ollama import requests as ollama
from gateway.api.ollama.fields import CHAT, GENERATE
from gateway.api.ollama.replies import ChatReply, GenerateReply, Reply
from gateway.errors import Invalid
from gateway.golang.json_decode import decode
from gateway.golang.template import TemplateError
from gateway.inference import handler as inference
from gateway.inference.encoder import Translation
from gateway.inference.prompt import Completing, Inference, Prompting
from gateway.inference.types import Call
from gateway.llama.images import readable
from gateway.llama.queries import tokens
from gateway.services import services
from gateway.store.model import Model
from gateway.templates.render import Template, compiled
from runners import Lease


async def chat(request: Request) -> Response:
    """A conversation's next message."""
    body = decode(await request.body(), CHAT)
    ollama.check(body)
    if not body.get("model", "").strip():
        raise Invalid("model is required")
    model = await inference.found(request, body["model"])
    messages = body.get("messages")
    reply = ChatReply(body["model"], inference.clock(request), stream=body.get("stream", True))
    reply.alternatives = bool(body.get("top_logprobs"))
    if not messages and body.get("keep_alive") == 0:
        return _unload(request, model, reply)
    turn = await readable(ollama.chat(body))
    asked = inference.inference(request, body["model"], model, turn, "chat", tools=bool(turn.tools))
    if not body.get("_debug_render_only"):
        inference.check_media(asked)
    prompting = inference.chat(asked, Translation(reply), inference.facts(request))

    async def prepare(lease: Lease) -> Call | bytes:
        if not messages:
            return reply.whole("load")
        if body.get("_debug_render_only"):
            return await _rendered(lease, prompting, reply)
        return await prompting.first(lease)

    return inference.answer(request, asked, prepare, prompting.translation, prompting.retry)


async def generate(request: Request) -> Response:
    """What follows a prompt."""
    body = decode(await request.body(), GENERATE)
    ollama.check(body)
    name = body.get("model", "")
    model = await inference.found(request, name)
    reply = GenerateReply(name, inference.clock(request), stream=body.get("stream", True))
    reply.alternatives = bool(body.get("top_logprobs"))
    if not body.get("prompt") and body.get("keep_alive") == 0:
        return _unload(request, model, reply)
    raw = body.get("raw", False)
    if raw and any(body.get(key) for key in ("template", "system", "context")):
        raise Invalid("raw mode does not support template, system, or context")
    turn = await readable(ollama.generate(body))
    asked = inference.inference(
        request, name, model, turn, "generate", insert=bool(body.get("suffix"))
    )
    if body.get("prompt") and not body.get("_debug_render_only"):
        inference.check_media(asked)
    prompting = completing(request, body, asked, Translation(reply))

    async def prepare(lease: Lease) -> Call | bytes:
        if not body.get("prompt"):
            return reply.whole("load")
        if body.get("_debug_render_only"):
            return await _rendered(lease, prompting, reply)
        return await prompting.first(lease)

    async def finish(lease: Lease) -> None:
        """Only `context`, which nobody waits for, needs the tokens of all that was said."""
        said = "".join(prompting.reader.pieces)
        reply.context = await tokens(lease, prompting.begun + prompting.prompt + said)

    return inference.answer(
        request,
        asked,
        prepare,
        prompting.translation,
        prompting.retry,
        None if raw else finish,
    )


def completing(
    request: Request, body: Mapping[str, Any], asked: Inference, translation: Translation
) -> Completing:
    """How a prompt is put together: as it is, by a template of the request, or by the model's."""
    template = _template(body, asked.model)
    raw = body.get("raw", False)
    return Completing(
        asked,
        translation,
        inference.facts(request),
        template=template,
        whole=body.get("prompt", "") if raw else None,
        suffix=body.get("suffix", ""),
        earlier=body.get("context", ()),
        tags=None if raw and template is None else inference.tags(asked, template),
    )


def _template(body: Mapping[str, Any], model: Model) -> Template | None:
    """The request's, the model's, or None for the GGUF's own; without any the prompt alone."""
    if text := body.get("template"):
        try:
            return compiled(text)
        except TemplateError as exc:
            raise Invalid(str(exc)) from exc
    layer = inference.layer(model)
    if layer is None and inference.own_template(model) is None:
        return compiled("{{ .Prompt }}")
    return layer


async def _rendered(lease: Lease, prompting: Prompting, reply: Reply) -> bytes:
    await prompting.fit(lease)
    rendered = await prompting.text(lease, prompting.messages)
    return reply.rendered(rendered.text, len(rendered.media))


def _unload(request: Request, model: Model, reply: Reply) -> Response:
    services(request).scheduler.expire(model.weights_digest)
    return Response(reply.whole("unload"), media_type=reply.media_type)
