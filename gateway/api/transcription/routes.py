"""What is said in a recording."""

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from gateway.api.transcription import transcript as transcription
from gateway.api.transcription.multipart import form
from gateway.inference import handler as inference


async def transcriptions(request: Request) -> Response:
    """The whole recording goes to the model at once."""
    body = await request.body()
    fields = await run_sync(form, body, request.headers.get("content-type", ""))
    asked = transcription.request(fields)
    turn = await run_sync(transcription.turn, asked)
    return await inference.respond(request, asked.model, turn, transcription.Transcript(asked))
