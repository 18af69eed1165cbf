"""What the engine's errors mean, by the sentences of the pinned engine."""

from typing import Any

import pytest

from gateway.llama.errors import (
    CacheMiss,
    ContextOverflow,
    EngineError,
    MediaUnreadable,
    ReplyCutShort,
    TemplateRefused,
    from_event,
    from_refusal,
)
from runners import Refused


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
        "vector::_M_range_check: __n (which is 99)",
        "Failed to download image",
        "Invalid base64 value",
        "Unknown reasoning format: zzz",
        "Cannot use both json_schema and grammar",
    ],
)
def test_a_client_error_that_the_engine_takes_for_its_own_is_400(message: str) -> None:
    assert from_refusal(Refused(message, 500, "server_error")).status == 400
    assert from_refusal(Refused(message, 503, "server_error")).status == 503
    assert from_event({"message": message, "code": 500}).status == 400
    assert from_event({"message": f"so: {message}", "code": 500}).status == 500


@pytest.mark.parametrize(
    ("status", "visible"), [(400, 400), (404, 404), (500, 500), (501, 400), (503, 503)]
)
def test_other_statuses_stay_but_for_what_an_engine_cannot_do(status: int, visible: int) -> None:
    error = from_refusal(Refused("Compute error.", status, "server_error"))
    assert type(error) is EngineError
    assert (str(error), error.message, error.status) == ("Compute error.",) * 2 + (visible,)


@pytest.mark.parametrize(
    ("message", "kind", "tokens", "limit", "fits"),
    [
        (
            "request (3009 tokens) exceeds the available context size (1024 tokens), "
            "try increasing it",
            "exceed_context_size_error",
            3009,
            1024,
            1023,
        ),
        (
            "input (600 tokens) is too large to process. increase the physical batch size "
            "(current batch size: 512)",
            "server_error",
            600,
            512,
            512,
        ),
        (
            "input (600 tokens) is larger than the max context size (256 tokens). skipping",
            "server_error",
            600,
            256,
            256,
        ),
        ("too long", "exceed_context_size_error", 0, 0, 0),
    ],
)
def test_an_overflow_has_its_numbers(
    message: str, kind: str, tokens: int, limit: int, fits: int
) -> None:
    error = from_refusal(Refused(message, 400, kind))
    assert isinstance(error, ContextOverflow)
    assert (error.message, error.tokens, error.limit, error.fits) == (message, tokens, limit, fits)


def test_an_overflow_of_ours_reads_as_one_of_the_engines() -> None:
    ours = ContextOverflow.of(3009, 1024)
    theirs = from_refusal(Refused(ours.message, 400, "exceed_context_size_error"))
    assert isinstance(theirs, ContextOverflow)
    assert vars(theirs) == vars(ours)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Unable to generate parser: Jinja Exception: Roles must alternate!", TemplateRefused),
        ("Chunk not found", CacheMiss),
        ("Failed to load image or audio file", MediaUnreadable),
        ("Failed to tokenize prompt", MediaUnreadable),
        ("Compute error.", EngineError),
    ],
)
def test_what_can_be_answered_has_a_class_of_its_own(message: str, kind: type[EngineError]) -> None:
    assert type(from_refusal(Refused(message, 500, "server_error"))) is kind
    assert type(from_event({"message": message, "code": 500})) is kind


@pytest.mark.parametrize(
    ("error", "message", "status"),
    [
        ({"code": 500, "message": "Compute error.", "type": "server_error"}, "Compute error.", 500),
        ({"code": 400, "message": "too long"}, "too long", 400),
        ({"code": 500, "message": "Failed to parse tools: x"}, "Failed to parse tools: x", 400),
        ({"code": 501, "message": "no"}, "no", 400),
        ({"code": "x", "message": "no"}, "no", 500),
        ({"message": 5}, "5", 500),
        ({}, "the engine failed", 500),
        ("just a text", "just a text", 500),
    ],
)
def test_an_error_event_says_what_went_wrong(error: Any, message: str, status: int) -> None:
    raised = from_event(error)
    assert (raised.message, raised.status) == (message, status)


def test_a_reply_without_an_end_has_ollamas_words() -> None:
    error = ReplyCutShort()
    assert error.message.endswith("unexpected EOF")
    assert error.status == 500
