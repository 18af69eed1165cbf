"""Errors of runners in the sentences that clients know."""

import pytest

from gateway.errors import NotFound
from gateway.runner_errors import client_message
from runners import (
    BackingOff,
    Busy,
    Cause,
    Crashed,
    Disconnected,
    Refused,
    StartFailed,
    Stopped,
    TooLarge,
)


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
