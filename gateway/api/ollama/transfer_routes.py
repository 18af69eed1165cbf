"""Models from registries and to them: /api/pull and /api/push."""

from functools import partial

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from gateway import names
from gateway.api.ollama.fields import PULL, PUSH, model_name
from gateway.api.ollama.progress import Progress
from gateway.errors import Invalid, NotFound
from gateway.golang.json_decode import decode
from gateway.names import Name
from gateway.registry.references import scheme
from gateway.services import services


async def pull(request: Request) -> Response:
    """Get a model. A name that is none is told before the answer starts; all else is in it."""
    body = decode(await request.body(), PULL)
    asked = model_name(body)
    name = _named(asked)
    spoken = scheme(asked, insecure=bool(body.get("insecure")))
    work = partial(services(request).transfers.pull, name, spoken)
    return Progress(work, stream=body.get("stream", True))


async def push(request: Request) -> Response:
    """Send a model. One that is not here is told before the answer starts."""
    body = decode(await request.body(), PUSH)
    asked = model_name(body)
    if not asked:
        raise Invalid("model is required")
    name = names.parse(asked)
    spoken = scheme(asked, insecure=bool(body.get("insecure")))
    there = services(request)
    stored = await run_sync(there.library.find, name)
    if stored is None:
        raise NotFound(f"model '{name.short}' not found")
    work = partial(there.transfers.push, stored, spoken)
    return Progress(work, stream=body.get("stream", True))


def _named(text: str) -> Name:
    if not text.strip():
        raise Invalid("invalid model name")
    return names.stored(text)
