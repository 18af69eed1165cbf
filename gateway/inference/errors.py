"""What a failure means to a client, whichever API it used: a status. The one table of it."""

from collections.abc import Mapping

from gateway import errors
from gateway.llama.errors import EngineError
from runners import (
    Busy,
    CoolingDown,
    Crashed,
    StartFailed,
    Stopped,
    TooLarge,
)

STATUS: Mapping[type[Exception], int] = {
    errors.Invalid: 400,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Unavailable: 503,
    errors.Broken: 500,
    Busy: 503,
    CoolingDown: 503,
    Stopped: 503,
    TooLarge: 500,
    StartFailed: 500,
    Crashed: 500,
}


def status_of(error: Exception) -> int:
    """The status that `error` means."""
    if isinstance(error, EngineError):
        return error.status
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500
