"""What is said in a recording."""

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from gateway.api.transcription import transcript as transcription
from gateway.api.transcription.multipart import form
from gateway.inference.handler import find_model, generate


async def transcriptions(http: Request) -> Response:
    """The whole recording goes to the model at once."""
    body = await http.body()
    fields = await run_sync(form, body, http.headers.get("content-type", ""))
    asked = transcription.request(fields)
    request = await run_sync(transcription.turn, asked)
    model = await find_model(http, asked.model)
    return await generate(http, model, request, transcription.Transcript(asked))
