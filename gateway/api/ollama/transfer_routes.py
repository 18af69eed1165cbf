"""Models from registries and to them: /api/pull and /api/push."""

from functools import partial

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from gateway import names
from gateway.api.ollama.fields import PULL, PUSH
from gateway.api.ollama.progress import ProgressResponse
from gateway.errors import Invalid, NotFound
from gateway.registry.references import scheme
from gateway.services import services_of


async def pull(http: Request) -> Response:
    """Get a model."""
    request = PULL.decode(await http.body())
    # Only a malformed name has a status of its own, as in Ollama: whether there is such a model is
    # known when the registry replies, and by then the reply has begun.
    if not request.named.strip():
        raise Invalid("invalid model name")
    name = names.stored(request.named)
    protocol = scheme(request.named, insecure=request.insecure)
    operation = partial(services_of(http).transfers.pull, name, protocol)
    return ProgressResponse(operation, stream=request.stream)


async def push(http: Request) -> Response:
    """Send a model."""
    request = PUSH.decode(await http.body())
    if not request.named:
        raise Invalid("model is required")
    name = names.parse(request.named)
    protocol = scheme(request.named, insecure=request.insecure)
    services = services_of(http)
    stored = await run_sync(services.library.find, name)
    # Before the reply starts, and so with a status; an error later on is a line of it.
    if stored is None:
        raise NotFound(f"model '{name.short}' not found")
    operation = partial(services.transfers.push, stored, protocol)
    return ProgressResponse(operation, stream=request.stream)
