"""/api/chat and /api/generate."""

from starlette.requests import Request
from starlette.responses import Response

from gateway.api.clock import RequestClock
from gateway.api.ollama import requests
from gateway.api.ollama.fields import CHAT, GENERATE
from gateway.api.ollama.replies import ChatReply, GenerateReply
from gateway.errors import Invalid
from gateway.golang.json_decode import decode
from gateway.inference.handler import REPLY, find_model, generate, load_only, render_only, unload
from gateway.inference.types import Attempt
from gateway.llama.events import CompletionEventReader
from gateway.llama.queries import tokenize
from runners import Lease


async def chat(http: Request) -> Response:
    """The next message of a conversation."""
    body = decode(await http.body(), CHAT)
    requests.check(body)
    if not body.get("model", "").strip():
        raise Invalid("model is required")
    model = await find_model(http, body["model"])
    clock = RequestClock(http.state.facts.began)
    reply = ChatReply(body["model"], clock, stream=body.get("stream", True))
    reply.alternatives = bool(body.get("top_logprobs"))
    if not body.get("messages") and body.get("keep_alive") == 0:
        unload(http, model)
        return Response(reply.whole("unload"), media_type=reply.media_type)
    request = requests.chat(body)
    task = REPLY
    if not body.get("messages"):
        task = load_only(lambda: reply.whole("load"))
    elif body.get("_debug_render_only"):
        task = render_only(reply.rendered)
    return await generate(http, model, request, reply, task=task)


async def generate_text(http: Request) -> Response:
    """What follows a prompt."""
    body = decode(await http.body(), GENERATE)
    requests.check(body)
    name = body.get("model", "")
    model = await find_model(http, name)
    clock = RequestClock(http.state.facts.began)
    reply = GenerateReply(name, clock, stream=body.get("stream", True))
    reply.alternatives = bool(body.get("top_logprobs"))
    if not body.get("prompt") and body.get("keep_alive") == 0:
        unload(http, model)
        return Response(reply.whole("unload"), media_type=reply.media_type)
    raw = body.get("raw", False)
    if raw and any(body.get(key) for key in ("template", "system", "context")):
        raise Invalid("raw mode does not support template, system, or context")
    request = requests.generate(body)
    task = REPLY
    if not body.get("prompt"):
        task = load_only(lambda: reply.whole("load"))
    elif body.get("_debug_render_only"):
        task = render_only(reply.rendered)

    async def add_context(lease: Lease, attempt: Attempt) -> None:
        """Only `context`, which nobody waits for, needs the tokens of prompt and reply."""
        assert isinstance(attempt.reader, CompletionEventReader)
        written = "".join(attempt.reader.pieces)
        reply.context = await tokenize(lease, attempt.bos + attempt.text + written)

    finish = None if raw else add_context
    return await generate(http, model, request, reply, task=task, finish=finish)
