"""Replies in Ollama's framing: content types, lengths and newlines as its clients expect them."""

from collections.abc import Mapping

from starlette.responses import Response

from gateway.golang.json_encode import dumps

JSON = "application/json; charset=utf-8"
PLAIN_JSON = "application/json"
SSE = "text/event-stream"
NDJSON = "application/x-ndjson"


def json_reply(
    value: object,
    status: int = 200,
    *,
    media_type: str = JSON,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One JSON document, no trailing newline."""
    return Response(dumps(value), status, headers=headers, media_type=media_type)


def empty(status: int = 200) -> Response:
    """No body and no content type, as copy, delete and blob uploads answer."""
    return Response(b"", status)
