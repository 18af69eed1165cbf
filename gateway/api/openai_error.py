"""The envelope of every error on OpenAI's paths, within a stream too."""

from gateway.api.dialect import ApiError, Dialect
from gateway.llama.errors import ContextOverflow

_TYPES = {400: "invalid_request_error", 404: "not_found_error"}


def error_body(message: str, status: int, code: str | None = None) -> dict[str, object]:
    """`{"error": {"message", "type", "param", "code"}}`."""
    kind = _TYPES.get(status, "api_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _body_of(error: ApiError) -> dict[str, object]:
    # Agents compact their conversation when they see this code.
    overflow = isinstance(error.cause, ContextOverflow)
    return error_body(error.message, error.status, "context_length_exceeded" if overflow else None)


OPENAI = Dialect(("/v1/", "/v2/"), _body_of, "application/json")
