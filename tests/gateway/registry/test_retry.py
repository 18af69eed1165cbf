"""How often something is tried, and the reason that a failure gives."""

import socket
import ssl
from itertools import pairwise

import pytest

from gateway.errors import Broken
from gateway.registry.retry import (
    AccessDenied,
    ConnectionLost,
    ConnectionStalled,
    LostAfterProgress,
    NotInRegistry,
    RetryPolicy,
    reason,
    retry,
)

pytestmark = pytest.mark.anyio

EAGER = RetryPolicy(pause=0)


class Attempts:
    """Fails with these, then gives 7."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.count = 0

    async def __call__(self) -> int:
        self.count += 1
        if self.failures:
            raise self.failures.pop(0)
        return 7


async def test_a_lost_connection_is_tried_again() -> None:
    attempt = Attempts(ConnectionLost("a"), ConnectionStalled("b"))
    assert await retry(EAGER, attempt) == 7
    assert attempt.count == 3


async def test_the_sixth_failure_is_the_last() -> None:
    attempt = Attempts(*(ConnectionLost(str(number)) for number in range(9)))
    with pytest.raises(Broken, match=r"^max retries exceeded: 5$") as caught:
        await retry(EAGER, attempt)
    assert attempt.count == 6
    assert not isinstance(caught.value, ConnectionLost)


async def test_what_had_moved_does_not_count() -> None:
    attempt = Attempts(
        *(LostAfterProgress("a") for _ in range(9)), *(ConnectionLost("b") for _ in range(5))
    )
    assert await retry(EAGER, attempt) == 7
    assert attempt.count == 15


@pytest.mark.parametrize(
    "error", [NotInRegistry(), AccessDenied(), OSError(28, "full"), Broken("no")]
)
async def test_what_will_not_change_is_not_tried_again(error: Exception) -> None:
    attempt = Attempts(error)
    with pytest.raises(type(error)):
        await retry(EAGER, attempt)
    assert attempt.count == 1


def test_words_of_the_registry() -> None:
    assert NotInRegistry().message == "file does not exist"
    assert AccessDenied().message == "unauthorized: access denied"


def chained(*errors: BaseException) -> BaseException:
    """The first error, caused by the second, and so on."""
    for outer, inner in pairwise(errors):
        outer.__cause__ = inner
    return errors[0]


def plain_text() -> ssl.SSLError:
    error = ssl.SSLError(1, "[SSL] record layer failure")
    error.reason = "RECORD_LAYER_FAILURE"
    return error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (chained(RuntimeError("a"), OSError("all"), OSError(111, "x")), "connection refused"),
        (
            chained(OSError("all"), ExceptionGroup("", [OSError(111, ""), OSError(113, "")])),
            "connection refused",
        ),
        (
            chained(RuntimeError("a"), socket.gaierror(-2, "Name or service not known")),
            "lookup: Name or service not known",
        ),
        (
            chained(RuntimeError("a"), plain_text()),
            "http: server gave HTTP response to HTTPS client",
        ),
        (chained(RuntimeError("a"), ssl.SSLError(1, "bad certificate")), "bad certificate"),
        (TimeoutError(), "timed out"),
        (RuntimeError("gone"), "gone"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_a_reason_is_that_of_the_innermost_error(error: BaseException, text: str) -> None:
    assert reason(error) == text
