"""From what went wrong to the status that a client sees."""

import pytest

from gateway import errors as meanings
from gateway.errors import Broken, DigestMismatch, Forbidden, Invalid, NotFound, Unavailable
from gateway.inference.errors import STATUS, status_of
from gateway.llama.errors import ContextOverflow, EngineError
from runners import (
    Busy,
    Cause,
    CoolingDown,
    Crashed,
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
    (CoolingDown("x", 1.0), 503),
    (Stopped("x"), 503),
    (TooLarge("x"), 500),
    (StartFailed("x", Cause.MEMORY), 500),
    (Crashed("x"), 500),
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
