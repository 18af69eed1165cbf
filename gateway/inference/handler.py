"""What every route that infers has in common: from a turn to a reply, by the model it names."""

import logging

from starlette.requests import Request
from starlette.responses import Response

from gateway.api.clock import RequestClock
from gateway.api.errors import status_of
from gateway.api.ollama.requests import message
from gateway.errors import Invalid
from gateway.golang.duration import parse_keep_alive
from gateway.http.request_log import Facts
from gateway.inference.encoder import Translation
from gateway.inference.history import complete, has_part, without_old_thoughts
from gateway.inference.options import merge, sampling
from gateway.inference.prompt import Completing, Inference, NativeChat, Prompting
from gateway.inference.response import Answer, Finish, Prepare, Retry, Work
from gateway.inference.types import Encoder, Turn, Writer
from gateway.llama.images import readable
from gateway.llama.schema_limits import check_bounds
from gateway.services import services
from gateway.store.capabilities import blind
from gateway.store.model import Model
from gateway.templates.render import Template, compiled

log = logging.getLogger(__name__)

_THOUGHTS_OUT = ("qwen3", "deepseek-r1")
"""A family and a model whose earlier reasoning must not come back."""
_TAGS = ("<think>", "</think>")


async def respond(
    request: Request, name: str, turn: Turn, writer: Writer, native: Encoder | None = None
) -> Response:
    """The next message. `native` writes it, if the engine makes it by the model's own template."""
    model = await found(request, name)
    asked = inference(request, name, model, await readable(turn), "chat", tools=bool(turn.tools))
    check_media(asked)
    prompting = chat(asked, Translation(writer), facts(request))
    encoder = native if native and isinstance(prompting, NativeChat) else prompting.translation
    return answer(request, asked, prompting.first, encoder, prompting.retry)


async def found(request: Request, name: str) -> Model:
    """The model that a request names, noted for its line in the log."""
    facts(request).model = name
    return await services(request).model(name)


def inference(
    request: Request, name: str, model: Model, turn: Turn, ability: str, **needed: bool
) -> Inference:
    """Thinking, capabilities, options, in Ollama's order; Invalid for what cannot be had.

    `needed`: which capabilities beside completion the request asks for.
    """
    check_bounds(turn)
    think = thinking(turn.think, name, model)
    if "completion" not in model.capabilities:
        raise Invalid(f'"{name}" does not support {ability}')
    for capability, wanted in needed.items():
        if wanted and capability not in model.capabilities:
            raise Invalid(f"{model.name.full} does not support {capability}")
    options, unknown = merge({**turn.defaults, **model.parameters}, turn.options)
    if unknown:
        log.info("ignored options: %s", ", ".join(sorted(unknown)))
    spec = services(request).spec(model, options, turn.shift)
    history = map(message, model.messages) if turn.stored else ()
    messages = complete(turn.system or model.system, history, turn.messages)
    if model.config.family in _THOUGHTS_OUT or model.name.model in _THOUGHTS_OUT:
        messages = without_old_thoughts(messages)
    context = min(services(request).context(model, options), spec.context)
    return Inference(turn, model, spec, context, messages, think, sampling(options, context))


def check_media(asked: Inference) -> None:
    """Invalid for images to a model that cannot see, or sounds to one that cannot hear."""
    abilities = set(asked.model.capabilities)
    if blind(asked.model.projector):
        abilities.discard("vision")
    for kind, ability, what in (
        ("image_url", "vision", "image"),
        ("input_audio", "audio", "audio"),
    ):
        if ability not in abilities and has_part(asked.turn.messages, kind):
            raise Invalid(f"this model does not support {what} input")


def chat(asked: Inference, translation: Translation, noted: Facts) -> Prompting:
    """A conversation, by the model's TEMPLATE or by its GGUF's own template."""
    if (template := layer(asked.model)) is None:
        return NativeChat(asked, translation, noted)
    return Completing(asked, translation, noted, template=template, tags=tags(asked, template))


def layer(model: Model) -> Template | None:
    """The TEMPLATE that makes the model's prompts; None where the GGUF's own template does."""
    return compiled(model.template) if model.templated and model.template is not None else None


def own_template(model: Model) -> str | None:
    return model.header.chat_template if model.header else None


def tags(asked: Inference, template: Template | None) -> tuple[str, str] | None:
    """What the model's thinking stands between, if that is known."""
    if "thinking" not in asked.model.capabilities:
        return None
    if template is not None:
        return template.tags
    own = own_template(asked.model) or ""
    return _TAGS if all(tag in own for tag in _TAGS) else None


def thinking(wanted: bool | str | None, name: str, model: Model) -> bool | str | None:
    """On by default for models that can; Invalid where it is wanted of one that cannot."""
    able = "thinking" in model.capabilities
    if wanted is None:
        return True if able else None
    if wanted and not able:
        raise Invalid(f'"{name}" does not support thinking')
    return wanted


def answer(
    request: Request,
    asked: Inference,
    prepare: Prepare,
    encoder: Encoder,
    retry: Retry | None = None,
    finish: Finish | None = None,
) -> Response:
    lasts = keep_alive(request, asked.turn.keep_alive)
    work = Work(asked.spec, lasts, prepare, encoder, facts(request), retry, finish)
    return Answer(services(request).scheduler, work, status_of)


def keep_alive(request: Request, said: float | None) -> float | None:
    """What the body said, or a header for clients whose bodies have no room for it; seconds."""
    header = request.headers.get("x-keep-alive")
    if said is not None or header is None:
        return said
    try:
        return parse_keep_alive(float(header))
    except ValueError:
        return parse_keep_alive(header)


def facts(request: Request) -> Facts:
    found: Facts = request.state.facts
    return found


def clock(request: Request) -> RequestClock:
    return RequestClock(facts(request).began)
