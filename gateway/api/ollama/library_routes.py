"""The models on disk: /api/tags, /api/show, /api/copy, /api/delete, /api/create and /api/blobs.

Disk work runs in worker threads; a handler only reads the body, calls one thing and answers.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
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
from gateway.services import services_of
from gateway.store.create import VERIFIED, finish, prepare
from gateway.store.gguf import Scalar, read_arrays
from gateway.store.library import Library
from gateway.store.model import Entry, Model
from gateway.store.quantize import ConvertedBlob, StatusSink, convert, program
from gateway.store.recipe import Recipe, parse_recipe

# Uploads arrive in small chunks. One trip to a worker thread pays for this much of them.
PIECE = 1 << 20
_COPILOT = "GitHubCopilotChat/"


async def tags(request: Request) -> Response:
    """Every model, newest first."""
    return Response(await run_sync(_library(request).rendered, _tags_body), media_type=JSON)


async def show(request: Request) -> Response:
    """One model in detail."""
    wanted = SHOW.decode(await request.body())
    name = names.resolve(wanted.named, refusal=names.CLOUD_DETAILS)
    library = _library(request)
    # `peek` first: a trip to a worker thread takes longer than a stat.
    model = library.peek(name)
    if model is None:
        model = await run_sync(library.get, name)
    # GitHub Copilot looks for the model's name in this field.
    copilot = request.headers.get("user-agent", "").startswith(_COPILOT)
    reply = show_body(
        model,
        system=wanted.system,
        options=wanted.options,
        basename=wanted.named if copilot else "",
        **(await run_sync(_arrays, model) if wanted.verbose else {}),
    )
    return json_reply(with_go_floats(reply))


async def copy(request: Request) -> Response:
    """A second name for a model."""
    wanted = COPY.decode(await request.body())
    source = _plain_name("source", wanted.source)
    destination = _plain_name("destination", wanted.destination)
    try:
        await run_sync(_library(request).copy, source, destination)
    except NotFound as error:
        # The name as the client wrote it, not with its defaults filled in.
        raise NotFound(f'model "{wanted.source}" not found') from error
    return empty()


async def delete(request: Request) -> Response:
    """Remove a name, and the blobs that only it used."""
    text = DELETE.decode(await request.body()).named
    if not text.strip():
        raise Invalid("model is required")
    try:
        name = names.stored(text)
    except Invalid as error:
        # Ollama has a sentence of its own for this endpoint, but not for conflicting suffixes.
        if error.message != "invalid model name":
            raise
        raise Invalid(f'name "{text}" is invalid') from error
    try:
        await run_sync(_library(request).delete, name)
    except NotFound as error:
        raise NotFound(f"model '{text}' not found") from error
    return empty()


async def create(request: Request) -> Response:
    """Make a model. What can be checked is so before the answer starts, and keeps its status."""
    body = decode(await request.body(), CREATE)
    name = names.parse(str(body.get("model") or body.get("name") or ""))
    work = partial(_make, request, name, parse_recipe(body))
    return ProgressResponse(work, stream=body.get("stream", True))


async def _make(request: Request, name: Name, recipe: Recipe, send: StatusSink) -> None:
    """Pull and convert what has to be, then write; a client that leaves in between ends it."""
    library = _library(request)
    if recipe.base and await run_sync(library.find, recipe.base) is None:
        await services_of(request).transfers.pull(recipe.base, "https", send)
    plan = await run_sync(prepare, library, recipe)
    converted: dict[int, ConvertedBlob] = {}
    lines = list(plan.progress)
    if plan.conversions:
        tool = program(services_of(request).engine.server)
        for line in lines:
            await send({"status": line})
        for conversion in plan.conversions:
            converted[conversion.part] = await convert(tool, library.blobs, conversion, send)
            await send({"status": VERIFIED})
        lines.clear()
    # With nothing to convert, all is done before the first line is sent: an error then still has
    # its own status code.
    lines += await run_sync(finish, library, name, recipe, plan, converted)
    for line in lines:
        await send({"status": line})


async def blob(request: Request) -> Response:
    return await (blob_head if request.method == "HEAD" else blob_post)(request)


async def blob_head(request: Request) -> Response:
    """200 when the blob is stored, else 404."""
    digest = digests.parse(request.path_params["digest"])
    if not _library(request).blobs.exists(digest):
        raise NotFound(f'blob "{digest}" not found')
    return empty()


async def blob_post(request: Request) -> Response:
    """Store the body under its digest: 201 when it is new, 200 when it was stored before."""
    digest = digests.parse(request.path_params["digest"])
    blobs = _library(request).blobs
    if blobs.exists(digest):
        # Read to the end first: a client that still sends when the connection is closed gets an
        # error of its own instead of the response.
        async for _ in request.stream():
            pass
        await run_sync(blobs.touch, digest)
        return empty()
    try:
        with blobs.writer(digest) as out:
            async for piece in _pieces(request.stream()):
                await run_sync(out.write, piece)
            await run_sync(out.commit)
    except OSError as error:
        raise Broken(f"the blob cannot be stored: {error.strerror}") from error
    return empty(201)


def _tags_body(entries: Sequence[Entry]) -> bytes:
    return dumps({"models": [tag_entry(entry) for entry in entries]})


def _library(request: Request) -> Library:
    return services_of(request).library


def _plain_name(role: str, text: str) -> Name:
    try:
        return names.parse(text)
    except Invalid as error:
        raise Invalid(f'{role} "{text}" is invalid') from error


def _arrays(model: Model) -> dict[str, Mapping[str, list[Scalar]]]:
    """The arrays of the model's files in full, as arguments of `show_body`."""
    arrays: dict[str, Mapping[str, list[Scalar]]] = {}
    if model.header:
        arrays["arrays"] = read_arrays(model.weights)
    if model.projector:
        arrays["projector_arrays"] = read_arrays(model.projectors[0])
    return arrays


async def _pieces(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytearray]:
    """The same bytes in pieces of at least PIECE, but for the last."""
    gathered = bytearray()
    async for chunk in chunks:
        gathered += chunk
        if len(gathered) >= PIECE:
            yield gathered
            gathered = bytearray()
    if gathered:
        yield gathered
