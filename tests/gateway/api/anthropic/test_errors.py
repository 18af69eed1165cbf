"""Errors in Anthropic's envelope."""

import pytest

from gateway.api.anthropic.errors import ANTHROPIC, error_body
from gateway.api.anthropic.fields import MessagesRequest, check_refused
from gateway.api.dialect import ApiError
from gateway.errors import Invalid
from gateway.llama.errors import ContextOverflow


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (503, "overloaded_error"),
        (529, "overloaded_error"),
        (499, "api_error"),
        (500, "api_error"),
    ],
)
def test_an_error_has_the_type_of_its_status(status: int, kind: str) -> None:
    assert error_body("no", status, "req_1") == {
        "type": "error",
        "error": {"type": kind, "message": "no"},
        "request_id": "req_1",
    }


def test_without_threads_a_client_learns_to_do_without() -> None:
    with pytest.raises(Invalid) as caught:
        check_refused(MessagesRequest(thread={"type": "create"}))
    body = error_body(caught.value.message, 400, "req_1")
    details = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    error = {"type": "invalid_request_error", "message": caught.value.message, "details": details}
    assert body["error"] == error


def test_a_prompt_that_is_too_long_is_reported_in_anthropics_words() -> None:
    overflow = ContextOverflow.of(3009, 1024)
    body = ANTHROPIC.error_body(ApiError("ours", 400, "1", overflow))
    message = "prompt is too long: 3009 tokens > 1024 maximum"
    assert body == error_body(message, 400, "req_1")
    assert ANTHROPIC.error_body(ApiError("ours", 400, "1")) == error_body("ours", 400, "req_1")
