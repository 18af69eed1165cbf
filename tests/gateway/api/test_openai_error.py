"""The envelope of errors on OpenAI's paths."""

import pytest

from gateway.api.dialect import ApiError
from gateway.api.openai_error import OPENAI, error_body
from gateway.llama.errors import ContextOverflow, EngineError


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (404, "not_found_error"),
        (403, "api_error"),
        (500, "api_error"),
        (503, "api_error"),
    ],
)
def test_an_error_has_openais_envelope(status: int, kind: str) -> None:
    error = {"message": "m", "type": kind, "param": None, "code": None}
    assert error_body("m", status) == {"error": error}
    assert error_body("m", status, "c") == {"error": {**error, "code": "c"}}


def test_a_prompt_that_is_too_long_has_a_code() -> None:
    def code(cause: Exception | None) -> object:
        error = OPENAI.error_body(ApiError("m", 400, "id", cause))["error"]
        assert isinstance(error, dict)
        return error["code"]

    assert code(ContextOverflow.of(9, 4)) == "context_length_exceeded"
    assert code(EngineError("m", 400)) is None
    assert code(None) is None
