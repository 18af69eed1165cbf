"""What a failure means to a client, whichever API it used: a status, and Ollama's words."""

from collections.abc import Mapping

from gateway import errors
from gateway.llama.errors import CUT_SHORT, EngineError
from runners import (
    BackingOff,
    Busy,
    Cause,
    Crashed,
    Disconnected,
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
    BackingOff: 503,
    Stopped: 503,
    TooLarge: 500,
    StartFailed: 500,
    Crashed: 500,
    Disconnected: 500,
}


def status_of(error: Exception) -> int:
    """The status that `error` means."""
    if isinstance(error, EngineError):
        return error.status
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500


def client_message(error: Exception) -> str:
    """The text of `error` for a client; of an error that is none of a runner's, its own."""
    # `runners` raises facts; clients know the sentences that Ollama puts around them.
    match error:
        case Busy():
            # With two spaces, as Ollama has it.
            return "server busy, please try again.  maximum pending requests exceeded"
        case StartFailed(cause=Cause.ENGINE):
            return str(error)
        case StartFailed(cause=Cause.STALLED):
            return f"timed out waiting for llama-server to start - {error}"
        case StartFailed():
            return f"llama-server process has terminated: {error}"
        case BackingOff():
            why = client_message(error.failure)
            return f"model failed repeatedly, next try in {error.retry_after:.0f} s: {why}"
        case Crashed():
            return (
                "model runner has unexpectedly stopped, this may be due to resource limitations or "
                f"an internal error: {error}"
            )
        case Disconnected():
            return CUT_SHORT
        case _:
            return str(error)
