"""The models on disk: /api/tags, /api/show, /api/copy, /api/delete, /api/create and /api/blobs."""

from collections.abc import Mapping, Sequence
from functools import partial

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from gateway import digests, names
from gateway.api.ollama.fields import COPY, CREATE, DELETE, SHOW
from gateway.api.ollama.progress import ProgressResponse
from gateway.api.ollama.show import show_body, tag_entry
from gateway.api.reply import JSON, empty, json_reply
from gateway.errors import Broken, Invalid, NotFound
from gateway.golang.json_decode import decode
from gateway.golang.json_encode import dumps, with_go_floats
from gateway.names import Name
from gateway.services import Services, services_of
from gateway.store.create import VERIFIED, finish, prepare
from gateway.store.gguf import Scalar, read_arrays
from gateway.store.library import Library
from gateway.store.model import Entry, Model
from gateway.store.quantize import ConvertedBlob, StatusSink, convert, program
from gateway.store.recipe import Recipe, parse_recipe

# Disk work runs in worker threads, for a slow disk must not stop the tokens of other requests.

# Uploads arrive in small chunks. One trip to a worker thread pays for this much of them.
PIECE = 1 << 20
# This client shows a model by its `general.basename`, where Ollama puts the name of the request.
_COPILOT = "GitHubCopilotChat/"


async def tags(http: Request) -> Response:
    """Every model, newest first."""
    # The library keeps the bytes for as long as its models stay the same, under the function that
    # wrote them: clients read this list again and again.
    return Response(await run_sync(_library(http).rendered, _tags_body), media_type=JSON)


async def show(http: Request) -> Response:
    """One model in detail."""
    request = SHOW.decode(await http.body())
    name = names.resolve(request.named, refusal=names.CLOUD_DETAILS)
    library = _library(http)
    model = library.peek(name)
    # Known and unchanged takes one stat, which is cheaper than a worker thread.
    if model is None:
        model = await run_sync(library.get, name)
    copilot = http.headers.get("user-agent", "").startswith(_COPILOT)
    reply = show_body(
        model,
        system=request.system,
        options=request.options,
        basename=request.named if copilot else "",
        **(await run_sync(_arrays, model) if request.verbose else {}),
    )
    return json_reply(with_go_floats(reply))


async def copy(http: Request) -> Response:
    """A second name for a model."""
    request = COPY.decode(await http.body())
    source = _plain_name("source", request.source)
    destination = _plain_name("destination", request.destination)
    try:
        await run_sync(_library(http).copy, source, destination)
    except NotFound as error:
        raise NotFound(f'model "{request.source}" not found') from error
    return empty()


async def delete(http: Request) -> Response:
    """Remove a name, and the blobs that only it used."""
    request = DELETE.decode(await http.body())
    if not request.named.strip():
        raise Invalid("model is required")
    try:
        name = names.stored(request.named)
    except Invalid as error:
        # Other refusals say more than that the name is wrong, and stay as they are.
        if error.message != "invalid model name":
            raise
        raise Invalid(f'name "{request.named}" is invalid') from error
    try:
        await run_sync(_library(http).delete, name)
    except NotFound as error:
        raise NotFound(f"model '{request.named}' not found") from error
    return empty()


async def create(http: Request) -> Response:
    """Make a model. What can be checked is checked before the reply starts, and has its status."""
    body = decode(await http.body(), CREATE)
    name = names.parse(str(body.get("model") or body.get("name") or ""))
    operation = partial(_make_model, services_of(http), name, parse_recipe(body))
    return ProgressResponse(operation, stream=body.get("stream", True))


async def _make_model(services: Services, name: Name, recipe: Recipe, send: StatusSink) -> None:
    """Pull and convert what has to be, then write; a client that leaves in between cancels it."""
    library = services.library
    if recipe.base and await run_sync(library.find, recipe.base) is None:
        await services.transfers.pull(recipe.base, "https", send)
    plan = await run_sync(prepare, library, recipe)
    converted: dict[int, ConvertedBlob] = {}
    lines = list(plan.progress)
    if plan.conversions:
        tool = program(services.engine.server)
        for line in lines:
            await send({"status": line})
        for conversion in plan.conversions:
            converted[conversion.part] = await convert(tool, library.blobs, conversion, send)
            await send({"status": VERIFIED})
        lines.clear()
    # With nothing to convert, all is done before the first line is sent: an error has its status.
    lines += await run_sync(finish, library, name, recipe, plan, converted)
    for line in lines:
        await send({"status": line})


async def blob(http: Request) -> Response:
    """HEAD: whether a blob is here. POST: store the body under its digest; 201 if it is new."""
    digest = digests.parse(http.path_params["digest"])
    blobs = _library(http).blobs
    exists = blobs.exists(digest)
    if http.method == "HEAD":
        if not exists:
            raise NotFound(f'blob "{digest}" not found')
        return empty()
    if exists:
        # A client whose connection closes while it sends may never read the reply: read it all.
        async for _ in http.stream():
            pass
        await run_sync(blobs.touch, digest)
        return empty()
    try:
        with blobs.writer(digest) as out:
            piece = bytearray()
            async for chunk in http.stream():
                piece += chunk
                if len(piece) >= PIECE:
                    await run_sync(out.write, piece)
                    piece = bytearray()
            if piece:
                await run_sync(out.write, piece)
            await run_sync(out.commit)
    except OSError as error:
        raise Broken(f"the blob cannot be stored: {error.strerror}") from error
    return empty(201)


def _tags_body(entries: Sequence[Entry]) -> bytes:
    return dumps({"models": [tag_entry(entry) for entry in entries]})


def _library(http: Request) -> Library:
    return services_of(http).library


def _plain_name(role: str, text: str) -> Name:
    try:
        return names.parse(text)
    except Invalid as error:
        raise Invalid(f'{role} "{text}" is invalid') from error


def _arrays(model: Model) -> dict[str, Mapping[str, list[Scalar]]]:
    """The arrays of the model's files in full, as a verbose description has them."""
    arrays: dict[str, Mapping[str, list[Scalar]]] = {}
    if model.header:
        arrays["arrays"] = read_arrays(model.weights)
    if model.projector:
        arrays["projector_arrays"] = read_arrays(model.projectors[0])
    return arrays
