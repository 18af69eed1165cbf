"""The envelope of every error below /v1/messages, within a stream too."""

from collections.abc import Mapping

from gateway.api.anthropic.fields import NO_THREADS
from gateway.api.dialect import ApiError, Dialect
from gateway.llama.errors import ContextOverflow

# Anthropic's ids begin so; the log has the same id without it.
REQUEST_ID_PREFIX = "req_"
_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}
# Anthropic's client then goes on without a thread by itself.
_THREAD_DETAILS = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}


def error_body(message: str, status: int, request_id: str) -> dict[str, object]:
    """`{"type": "error", "error": {"type", "message"}, "request_id"}`."""
    error: dict[str, object] = {"type": _TYPES.get(status, "api_error"), "message": message}
    if message == NO_THREADS:
        error["details"] = _THREAD_DETAILS
    return {"type": "error", "error": error, "request_id": request_id}


def _dialect_body(error: ApiError) -> dict[str, object]:
    message = error.message
    if isinstance(error.cause, ContextOverflow) and error.cause.limit:
        # Agents match on this sentence of Anthropic's, and shorten their conversation.
        message = f"prompt is too long: {error.cause.tokens} tokens > {error.cause.limit} maximum"
    return error_body(message, error.status, REQUEST_ID_PREFIX + error.request_id)


ANTHROPIC = Dialect(("/v1/messages",), _dialect_body, "application/json")
