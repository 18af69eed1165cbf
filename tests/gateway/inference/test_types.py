"""The engine's statuses, put right."""

import pytest

from gateway.inference.types import Call, EngineError, Tally, repaired


@pytest.mark.parametrize(
    "message",
    [
        "[json.exception.parse_error.101] parse error at line 1",
        "Failed to parse messages: Missing 'role' in message",
        "Failed to parse tools: Unsupported tool type",
        "Failed to parse tool call arguments as JSON: x",
        "'messages' is required",
        "image input is not supported - hint: if this is unexpected",
        "audio input is not supported - hint",
        "video input is not supported",
        '"prompt" elements must be a string',
        "input (9000 tokens) is too large to process",
        "Failed to download image",
        "Invalid base64 value",
        "Unknown reasoning format: zzz",
        "Cannot use both json_schema and grammar",
    ],
)
def test_a_client_mistake_that_the_engine_takes_for_its_own_is_400(message: str) -> None:
    assert repaired(500, message) == 400
    assert repaired(503, message) == 503
    assert repaired(500, f"so: {message}") == 500


@pytest.mark.parametrize(
    ("status", "repaired_status"), [(400, 400), (404, 404), (500, 500), (501, 400), (503, 503)]
)
def test_other_statuses_stay_but_for_what_an_engine_cannot_do(
    status: int, repaired_status: int
) -> None:
    assert repaired(status, "Compute error.") == repaired_status


def test_an_engine_error_has_a_message_and_a_status() -> None:
    error = EngineError("no", 400)
    assert (str(error), error.message, error.status) == ("no", "no", 400)


def test_a_call_is_a_value_and_a_tally_begins_at_nothing() -> None:
    assert Call("/x", b"{}") == Call("/x", b"{}")
    assert Tally() == Tally(0, 0, 0.0, 0, 0.0)
