"""What a client reads when it gets no runner, or loses it: Ollama's sentences, which clients know.

`runners` raises facts; whoever sends one of its errors to a client puts it into words here.
"""

from gateway.dialects.call import CUT_SHORT
from runners import BackingOff, Busy, Cause, Crashed, Disconnected, StartFailed


def client_message(error: Exception) -> str:
    """The text of `error` for a client; of an error that is none of a runner's, its own."""
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
