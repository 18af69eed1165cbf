"""From what went wrong to the status that a client sees."""

import pytest

from gateway import errors as meanings
from gateway.errors import Broken, DigestMismatch, Forbidden, Invalid, NotFound, Unavailable
from gateway.inference.errors import STATUS, client_message, status_of
from gateway.llama.errors import ContextOverflow, EngineError
from runners import (
    BackingOff,
    Busy,
    Cause,
    Crashed,
    Disconnected,
    Refused,
    RunnerError,
    StartFailed,
    Stopped,
    TooLarge,
)

CASES: list[tuple[Exception, int]] = [
    (Invalid("x"), 400),
    (DigestMismatch("x"), 400),
    (Forbidden("x"), 403),
    (NotFound("x"), 404),
    (Unavailable("x"), 503),
    (Broken("x"), 500),
    (Busy("x"), 503),
    (BackingOff(Crashed("x"), 1.0), 503),
    (Stopped("x"), 503),
    (TooLarge("x"), 500),
    (StartFailed("x", Cause.MEMORY), 500),
    (Crashed("x"), 500),
    (Disconnected("x"), 500),
    (RunnerError("x"), 500),
    (ContextOverflow.of(9, 4), 400),
    (EngineError("x", 500), 500),
    (EngineError("x", 400), 400),
    (ValueError("x"), 500),
]


@pytest.mark.parametrize(("error", "status"), CASES)
def test_each_meaning_has_its_status(error: Exception, status: int) -> None:
    assert status_of(error) == status


def test_no_meaning_is_without_a_status() -> None:
    leaves = [kind for kind in vars(meanings).values() if isinstance(kind, type)]
    named = [kind for kind in leaves if kind is not meanings.GatewayError]
    assert all(any(base in STATUS for base in kind.__mro__) for kind in named)
    # A refusal is an EngineError by the time that anybody wants its status.
    kinds = set(RunnerError.__subclasses__()) - {Refused}
    assert kinds <= STATUS.keys()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (Busy("x"), "server busy, please try again.  maximum pending requests exceeded"),
        (StartFailed("no engine", Cause.ENGINE), "no engine"),
        (
            StartFailed("no progress for 3 s: words", Cause.STALLED),
            "timed out waiting for llama-server to start - no progress for 3 s: words",
        ),
        (
            StartFailed("exit status 1: words", Cause.CORRUPT),
            "llama-server process has terminated: exit status 1: words",
        ),
        (
            BackingOff(StartFailed("exit status 1", Cause.CRASH), 3.7),
            "model failed repeatedly, next try in 4 s: "
            "llama-server process has terminated: exit status 1",
        ),
        (
            Crashed("signal SIGKILL"),
            "model runner has unexpectedly stopped, this may be due to resource limitations or an "
            "internal error: signal SIGKILL",
        ),
        (Disconnected("x"), "an error was encountered while running the model: unexpected EOF"),
        (TooLarge("model requires more memory"), "model requires more memory"),
        (Stopped("the server is stopping"), "the server is stopping"),
        (Refused("too long", 400, "exceed_context_size_error"), "too long"),
        (NotFound("model 'x' not found"), "model 'x' not found"),
    ],
)
def test_each_error_has_its_sentence(error: Exception, message: str) -> None:
    assert client_message(error) == message
