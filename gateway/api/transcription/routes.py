"""/v1/audio/transcriptions: the words of a recording."""

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from gateway.api.transcription.multipart import read_form
from gateway.api.transcription.requests import generation_request, read_request
from gateway.api.transcription.stream import TranscriptWriter
from gateway.inference.handler import find_model, generate


async def transcriptions(http: Request) -> Response:
    """The whole recording goes to the model at once."""
    body = await http.body()
    # A recording has megabytes, and base64 of it takes as long as many tokens of other streams.
    form = await run_sync(read_form, body, http.headers.get("content-type", ""))
    request = read_request(form)
    generation = await run_sync(generation_request, request)
    model = await find_model(http, request.model)
    return await generate(http, model, generation, TranscriptWriter(request))
