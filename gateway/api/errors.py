"""Errors as each API answers them: the status from `inference.errors`, the body by the dialect."""

import html
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway.api.dialect import ApiError, Dialect
from gateway.api.reply import json_reply
from gateway.errors import GatewayError
from gateway.http.request_log import RequestRecord
from gateway.inference.errors import client_message, status_of
from gateway.llama.errors import EngineError
from runners import BackingOff, Busy, RunnerError

# In the order of Ollama's router.
_METHODS = ("HEAD", "GET", "POST", "PUT", "DELETE")


class ErrorResponses:
    """Starlette's exception handlers. The path decides the dialect, the first that fits.

    Where none fits the body is Ollama's.
    """

    def __init__(self, dialects: Sequence[Dialect]) -> None:
        self._dialects = dialects
        self.handlers = {
            GatewayError: self.answer,
            RunnerError: self.answer,
            EngineError: self.answer,
            HTTPException: self.not_routed,
            ClientDisconnect: self.disconnected,
            Exception: self.internal,
        }

    async def answer(self, request: Request, error: Exception) -> Response:
        """An error that is meant for the client."""
        assert isinstance(error, GatewayError | RunnerError | EngineError)
        headers = {}
        if isinstance(error, BackingOff):
            # Whole seconds, and not 0, by which a client would retry in a tight loop.
            headers["retry-after"] = str(max(1, round(error.retry_after)))
        elif isinstance(error, Busy):
            headers["retry-after"] = "1"
        request.state.record.error = message = client_message(error)
        return self._response(request, message, status_of(error), headers, error)

    async def not_routed(self, request: Request, error: Exception) -> Response:
        """No such path, or not with this method: plain text, as Ollama's router answers."""
        assert isinstance(error, HTTPException)
        path = request.scope["path"]
        clean = posixpath.normpath("/" + path.lstrip("/"))
        if error.status_code == 404 and clean != path:
            location = quote(clean, safe="/:@!$&'()*+,;=~")
            # 307, for after a 301 many clients send a GET in place of a POST.
            if request.method not in ("GET", "HEAD"):
                return Response(status_code=307, headers={"location": location})
            link = f'<a href="{html.escape(location)}">Moved Permanently</a>.\n\n'
            return Response(link, 301, headers={"location": location}, media_type="text/html")
        text = {404: "404 page not found", 405: "405 method not allowed"}.get(error.status_code)
        headers = {"content-type": "text/plain"}
        if error.headers and "Allow" in error.headers:
            headers["allow"] = allow(error.headers["Allow"].split(", "))
        return Response(text or error.detail, error.status_code, headers=headers)

    async def disconnected(self, request: Request, error: Exception) -> Response:
        # The client left while its body was read; nobody sees this but the log, where nginx's
        # status for it is known.
        return self._response(request, "request canceled", 499)

    async def internal(self, request: Request, error: Exception) -> Response:
        # A defect of ours. The log has the traceback, which is no client's business.
        return self._response(request, "internal error; the server's log says more", 500)

    def _response(
        self,
        request: Request,
        message: str,
        status: int,
        headers: Mapping[str, str] | None = None,
        cause: Exception | None = None,
    ) -> Response:
        record: RequestRecord = request.state.record
        error = ApiError(message, status, record.id, cause)
        for dialect in self._dialects:
            if request.scope["path"].startswith(dialect.prefixes):
                body = dialect.error_body(error)
                return json_reply(body, status, media_type=dialect.media_type, headers=headers)
        return json_reply({"error": message}, status, headers=headers)


def allow(methods: Iterable[str]) -> str:
    """Methods as an Allow header lists them."""
    methods = set(methods)
    return ", ".join(method for method in _METHODS if method in methods)
