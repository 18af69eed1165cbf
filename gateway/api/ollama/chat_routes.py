"""/api/chat and /api/generate."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from gateway.api.clock import RequestClock
from gateway.api.ollama import requests
from gateway.api.ollama.fields import CHAT, GENERATE
from gateway.api.ollama.replies import (
    GenerateObject,
    GenerateStream,
    OllamaChatObject,
    OllamaChatStream,
)
from gateway.errors import Invalid
from gateway.inference.handler import REPLY, find_model, generate, load_only, render_only, unload
from gateway.inference.types import Attempt, Writer
from gateway.llama.events import CompletionEventReader
from gateway.llama.queries import tokenize
from runners import Lease


async def chat(http: Request) -> Response:
    """The next message of a conversation; without messages the model is loaded, or unloaded."""
    request = CHAT.decode(await http.body())
    requests.check(request)
    if not request.model.strip():
        raise Invalid("model is required")
    model = await find_model(http, request.model)
    clock = RequestClock(http.state.record.began)
    alternatives = request.top_logprobs > 0
    # What generates nothing is one object, whatever `stream` says.
    reply = OllamaChatObject(request.model, clock, alternatives=alternatives)
    writer: Writer = reply
    task = REPLY
    if not request.messages:
        if request.keep_alive == 0:
            unload(http, model)
            return Response(reply.without_generation("unload"), media_type=reply.media_type)
        task = load_only(partial(reply.without_generation, "load"))
    elif request.debug_render_only:
        task = render_only(reply.rendered)
    elif request.stream:
        writer = OllamaChatStream(request.model, clock, alternatives=alternatives)
    return await generate(http, model, requests.chat(request), writer, task=task)


async def generate_text(http: Request) -> Response:
    """What follows a prompt; without a prompt the model is loaded, or unloaded."""
    request = GENERATE.decode(await http.body())
    requests.check(request)
    model = await find_model(http, request.model)
    clock = RequestClock(http.state.record.began)
    alternatives = request.top_logprobs > 0
    reply = GenerateObject(request.model, clock, alternatives=alternatives)
    writer: GenerateObject | GenerateStream = reply
    if not request.prompt and request.keep_alive == 0:
        unload(http, model)
        return Response(reply.without_generation("unload"), media_type=reply.media_type)
    if request.raw and (request.template or request.system or request.context):
        raise Invalid("raw mode does not support template, system, or context")
    task = REPLY
    if not request.prompt:
        task = load_only(partial(reply.without_generation, "load"))
    elif request.debug_render_only:
        task = render_only(reply.rendered)
    elif request.stream:
        writer = GenerateStream(request.model, clock, alternatives=alternatives)

    async def add_context(lease: Lease, attempt: Attempt) -> None:
        # At the end, when the client has the text already: nothing but this deprecated field needs
        # the tokens of prompt and reply.
        assert isinstance(attempt.reader, CompletionEventReader)
        written = "".join(attempt.reader.pieces)
        writer.context = await tokenize(lease, attempt.bos + attempt.text + written)

    # Ollama gives no context for a raw prompt.
    finish = None if request.raw else add_context
    return await generate(http, model, requests.generate(request), writer, task=task, finish=finish)
