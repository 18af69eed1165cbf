"""The one handler of inference: from a request of any API to the response that serves it.

It looks the model of a generation up, checks what it can do, and chooses the prompt's way.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import Invalid
from gateway.golang.duration import parse_keep_alive
from gateway.golang.template import TemplateError
from gateway.http.request_log import RequestRecord
from gateway.inference.encoder import ReplyEncoder
from gateway.inference.history import (
    engine_message,
    media_parts,
    prepend_stored,
    without_old_thoughts,
)
from gateway.inference.models import ServedModels
from gateway.inference.options import merge, sampling
from gateway.inference.prompt import EngineChat, Generation, PromptBuilder, RenderedCompletion
from gateway.inference.recover import fitted, hold_to_context, recover
from gateway.inference.response import Finish, GenerationResponse, Work
from gateway.inference.types import Attempt, Encoder, GenerationRequest, Writer
from gateway.llama import images
from gateway.llama.errors import EngineError
from gateway.llama.requests import ThinkLevel
from gateway.llama.schema_limits import check_limits
from gateway.store.capabilities import blind
from gateway.store.model import Model
from gateway.templates.render import Template, compiled
from runners import Lease

log = logging.getLogger(__name__)

# A family and a model that Ollama never shows their earlier reasoning.
_WITHOUT_OLD_THOUGHTS = ("qwen3", "deepseek-r1")
_THINK_TAGS = ("<think>", "</think>")


@dataclass(frozen=True, slots=True)
class Task:
    """What is done with a prompt once there is a runner; the usual one is to generate a reply."""

    run: Callable[[PromptBuilder, RequestRecord, Lease], Awaitable[Attempt | bytes]]
    takes_media: bool = True
    """Whether the engine will see the request's images and sounds, so that it must be able to."""


async def _reply(builder: PromptBuilder, record: RequestRecord, lease: Lease) -> Attempt:
    attempt = await builder.attempt(lease, builder.start)
    # The runner's context may be larger than the request's, and then it refuses no prompt of it.
    if builder.generation.context < builder.generation.spec.context:
        attempt = await hold_to_context(builder, lease, attempt)
    return attempt


REPLY = Task(_reply)


def load_only(body: Callable[[], bytes]) -> Task:
    """Only load the model; `body` is the whole reply."""

    async def run(builder: PromptBuilder, record: RequestRecord, lease: Lease) -> bytes:
        return body()

    return Task(run, takes_media=False)


def render_only(body: Callable[[str, int], bytes]) -> Task:
    """Only show the prompt: `body` gets it, and the number of images in it."""

    async def run(builder: PromptBuilder, record: RequestRecord, lease: Lease) -> bytes:
        state = await fitted(builder, lease)
        record.truncated = state.truncated
        rendered = await builder.render(lease, state.messages)
        return body(rendered.text, len(rendered.media))

    return Task(run, takes_media=False)


def count_only(body: Callable[[int], bytes]) -> Task:
    """Only count the prompt's tokens: `body` gets the number."""

    async def run(builder: PromptBuilder, record: RequestRecord, lease: Lease) -> bytes:
        state = builder.start
        try:
            return body(await builder.count(lease, state))
        except EngineError as exc:
            attempt = await builder.attempt(lease, state)
            again = await recover(builder, lease, attempt, exc)
            if again is None:
                raise
            return body(await builder.count(lease, again.state))

    return Task(run)


async def generate(
    http: Request,
    model: Model,
    request: GenerationRequest,
    writer: Writer | None,
    *,
    encoder: Encoder | None = None,
    task: Task = REPLY,
    finish: Finish | None = None,
) -> Response:
    """The response of `model`, see `find_model`, to `request`, written by `writer`.

    An `encoder` in its place gets the engine's own bytes: for models that `engine_renders`.
    """
    models = _models(http)
    record: RequestRecord = http.state.record
    if media_parts(request.messages):
        request = replace(request, messages=await images.readable(request.messages))
    generation = build_generation(models, model, request)
    if task.takes_media:
        check_media(model, request)
    builder = prompt_builder(generation)
    if encoder is None:
        assert writer is not None
        # The engine takes this for a hint, and so does the model.
        single = request.extra.get("parallel_tool_calls") is False
        encoder = ReplyEncoder(writer, single_call=single)
    work = Work(
        generation.spec,
        keep_alive_of(http, request.keep_alive),
        partial(task.run, builder, record),
        encoder,
        record,
        partial(recover, builder),
        finish,
    )
    return GenerationResponse(models.scheduler, work)


async def find_model(http: Request, name: str) -> Model:
    """The model that a request names, noted for its line in the log."""
    models = _models(http)
    http.state.record.model = name
    return models.peek(name) or await models.find(name)


def unload(http: Request, model: Model) -> None:
    """Let the model's runners go as soon as they are idle."""
    models = _models(http)
    models.scheduler.expire(model.weights_digest)


def compute(
    http: Request,
    model: Model,
    options: Mapping[str, object],
    keep_alive: float | None,
    encoder: Encoder,
    run: Callable[[Lease, int], Awaitable[bytes]],
) -> Response:
    """The response to a request that generates nothing: embeddings, scores.

    `run` gives the whole reply; its second argument is the most tokens that one input may have.
    """
    models = _models(http)
    known, unknown = merge(model.parameters, options)
    if unknown:
        log.info("ignored options: %s", ", ".join(sorted(unknown)))
    spec, _ = models.spec(model, known)
    context = min(known.num_ctx or spec.context, spec.context)

    async def prepare(lease: Lease) -> bytes:
        return await run(lease, context)

    seconds = keep_alive_of(http, keep_alive)
    return GenerationResponse(
        models.scheduler, Work(spec, seconds, prepare, encoder, http.state.record)
    )


def build_generation(models: ServedModels, model: Model, request: GenerationRequest) -> Generation:
    """A request with what its model adds; Invalid for what cannot be had."""
    # Thinking, capabilities, options: the order is Ollama's, for clients match on the first error.
    extra = request.extra
    if request.response_format or request.tools or "json_schema" in extra or "grammar" in extra:
        check_limits(request.response_format, request.tools, extra)
    think = effective_think(model, request)
    if "completion" not in model.capabilities:
        raise Invalid(f'"{request.model}" does not support {request.kind}')
    for capability, needed in (("tools", request.tools), ("insert", request.suffix)):
        if needed and capability not in model.capabilities:
            raise Invalid(f"{model.name.full} does not support {capability}")
    options, unknown = merge({**request.defaults, **model.parameters}, request.options)
    if unknown:
        log.info("ignored options: %s", ", ".join(sorted(unknown)))
    spec, context = models.spec(model, options, request.shift)
    stored = map(engine_message, model.messages) if request.stored else ()
    messages = prepend_stored(request.system or model.system, stored, request.messages)
    family, name = model.config.family, model.name.model
    if family in _WITHOUT_OLD_THOUGHTS or name in _WITHOUT_OLD_THOUGHTS:
        messages = without_old_thoughts(messages)
    return Generation(request, model, spec, context, messages, think, sampling(options, context))


def effective_think(model: Model, request: GenerationRequest) -> ThinkLevel:
    """On by default for models that can; Invalid where a model that cannot is to think."""
    able = "thinking" in model.capabilities
    if request.think is None or (request.think_if_able and request.think and not able):
        return True if able else None
    if request.think and not able:
        raise Invalid(f'"{request.model}" does not support thinking')
    return request.think


def check_media(model: Model, request: GenerationRequest) -> None:
    """Invalid for images to a model that cannot see, or sounds to one that cannot hear."""
    kinds = {part.get("type") for part in media_parts(request.messages)}
    abilities = set(model.capabilities)
    # The list has vision for every projector, as Ollama's; this one may be for sound alone.
    if kinds and blind(model.projector):
        abilities.discard("vision")
    if "image_url" in kinds and "vision" not in abilities:
        raise Invalid("this model does not support image input")
    if "input_audio" in kinds and "audio" not in abilities:
        raise Invalid("this model does not support audio input")


def engine_renders(model: Model) -> bool:
    """Whether a chat goes by the GGUF's own template, and the engine reads the reply to it."""
    return not model.templated or model.template is None


def prompt_builder(generation: Generation) -> PromptBuilder:
    """By the request's template, the model's TEMPLATE, or the GGUF's own template."""
    model, request = generation.model, generation.request
    template: Template | None = None
    if request.template:
        try:
            template = compiled(request.template)
        except TemplateError as exc:
            raise Invalid(str(exc)) from exc
    elif not engine_renders(model):
        template = compiled(model.template or "")
    if request.kind == "chat" and template is None:
        return EngineChat(generation)
    own = model.header.chat_template if model.header else None
    if template is None and own is None:
        template = compiled("{{ .Prompt }}")
    tags: tuple[str, str] | None = None
    if "thinking" in model.capabilities:
        if template is not None:
            tags = template.tags
        elif request.raw_prompt is None and not request.text_only:
            tags = _THINK_TAGS if all(tag in (own or "") for tag in _THINK_TAGS) else None
    return RenderedCompletion(generation, template, tags)


def keep_alive_of(http: Request, seconds: float | None) -> float | None:
    """Seconds: the body's, or the header's."""
    # The header is for clients whose bodies have no room for it.
    header = http.headers.get("x-keep-alive")
    if seconds is not None or header is None:
        return seconds
    try:
        return parse_keep_alive(float(header))
    except ValueError:
        return parse_keep_alive(header)


def _models(http: Request) -> ServedModels:
    # Not `services_of`, for `gateway.services` imports inference.
    models: ServedModels = http.app.state.services.models
    return models
