"""The only table from meaning to status; bodies in the dialect of the path."""

import html
import posixpath
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway import errors
from gateway.api.anthropic import requests as anthropic
from gateway.api.anthropic import stream as anthropic_replies
from gateway.api.openai.requests import error_body
from gateway.api.reply import json_reply
from gateway.http.request_log import Facts
from gateway.inference.types import EngineError, repaired
from runners import (
    Busy,
    CoolingDown,
    Crashed,
    Refused,
    RunnerError,
    StartFailed,
    Stopped,
    TooLarge,
)

STATUS: Mapping[type[Exception], int] = {
    errors.Invalid: 400,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Unavailable: 503,
    errors.Broken: 500,
    Busy: 503,
    CoolingDown: 503,
    Stopped: 503,
    TooLarge: 500,
    StartFailed: 500,
    Crashed: 500,
}
_METHODS = ("HEAD", "GET", "POST", "PUT", "DELETE")
_OVERFLOW = "exceed_context_size_error"
_ANTHROPIC = "/v1/messages"


def status_of(error: Exception) -> int:
    """The status that `error` means; the engine's own, put right, where it refused."""
    if isinstance(error, EngineError):
        return error.status
    if isinstance(error, Refused):
        return repaired(error.status, error.message)
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500


async def answer(request: Request, error: Exception) -> Response:
    """An error that is meant for the client."""
    assert isinstance(error, errors.GatewayError | RunnerError | EngineError)
    headers = {}
    if isinstance(error, CoolingDown):
        headers["retry-after"] = str(max(1, round(error.retry_after)))
    elif isinstance(error, Busy):
        headers["retry-after"] = "1"
    facts: Facts = request.state.facts
    facts.error = error.message
    code = "context_length_exceeded" if _overflows(error) else None
    return reply(request, error.message, status_of(error), headers, code)


def _overflows(error: Exception) -> bool:
    return isinstance(error, Refused) and error.kind == _OVERFLOW


def reply(
    request: Request,
    message: str,
    status: int,
    headers: Mapping[str, str] | None = None,
    code: str | None = None,
) -> Response:
    if request.scope["path"].startswith(_ANTHROPIC):
        return json_reply(
            anthropic_replies.error_body(anthropic.too_long(message), status, request_id(request)),
            status,
            media_type="application/json",
            headers=headers,
        )
    if request.scope["path"].startswith(("/v1/", "/v2/")):
        return json_reply(
            error_body(message, status, code),
            status,
            media_type="application/json",
            headers=headers,
        )
    return json_reply({"error": message}, status, headers=headers)


def request_id(request: Request) -> str:
    """The id of a request as Anthropic's clients know it; the log has it without its prefix."""
    facts: Facts = request.state.facts
    return f"req_{facts.id}"


async def http(request: Request, error: Exception) -> Response:
    """No such path, or not with this method: plain text, as Ollama's router answers."""
    assert isinstance(error, HTTPException)
    path = request.scope["path"]
    if error.status_code == 404 and (clean := _clean(path)) != path:
        return _moved(request, clean)
    text = {404: "404 page not found", 405: "405 method not allowed"}.get(error.status_code)
    headers = {"content-type": "text/plain"}
    if error.headers and "Allow" in error.headers:
        headers["allow"] = allow(error.headers["Allow"].split(", "))
    return Response(text or error.detail, error.status_code, headers=headers)


def allow(methods: Iterable[str]) -> str:
    """Methods as an Allow header lists them; HEAD first, as Ollama's router does."""
    taken = set(methods)
    return ", ".join(method for method in _METHODS if method in taken)


def _clean(path: str) -> str:
    """Without doubled slashes, dot segments and a slash at the end."""
    return posixpath.normpath("/" + path.lstrip("/"))


def _moved(request: Request, path: str) -> Response:
    """To the clean path: a POST stays a POST."""
    path = quote(path, safe="/:@!$&'()*+,;=~")
    if request.method not in ("GET", "HEAD"):
        return Response(status_code=307, headers={"location": path})
    text = f'<a href="{html.escape(path)}">Moved Permanently</a>.\n\n'
    return Response(text, 301, headers={"location": path}, media_type="text/html")


async def gone(request: Request, error: Exception) -> Response:
    """The client left while its body was read; nobody sees this but the log."""
    return reply(request, "request canceled", 499)


async def broken(request: Request, error: Exception) -> Response:
    """A defect of ours: said plainly, told in the log, and not in the answer."""
    return reply(request, "internal error; the server's log says more", 500)


HANDLERS = {
    errors.GatewayError: answer,
    RunnerError: answer,
    EngineError: answer,
    HTTPException: http,
    ClientDisconnect: gone,
    Exception: broken,
}
