"""What can go wrong on the way to a registry, and how often it is worth another try."""

import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio

from gateway.errors import Broken

T = TypeVar("T")

# What OpenSSL reports when it reads plain HTTP instead of TLS. Clients know Ollama's text for it.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
_PLAIN = "http: server gave HTTP response to HTTPS client"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """In seconds; `pause` is that before the second attempt."""

    # Ollama's figures. The pause doubles, so that a short failure costs a second, while a registry
    # that restarts has half a minute in all, and is not kept busy by those who wait for it.
    attempts: int = 6
    pause: float = 1.0
    # A connection that is alive but silent would hold its chunk for ever.
    stall: float = 30.0


class ConnectionLost(Broken):
    """The connection failed, or what came of it did; another try may do better."""


class ConnectionStalled(ConnectionLost):
    """The connection fell silent."""


class LostAfterProgress(ConnectionLost):
    """It did so after bytes of it had arrived."""


class NotInRegistry(Broken):
    """The registry does not have it."""

    def __init__(self) -> None:
        super().__init__("file does not exist")


class AccessDenied(Broken):
    """The registry wants somebody else."""

    def __init__(self) -> None:
        super().__init__("unauthorized: access denied")


class UnusablePartial(Broken):
    """What is here of a blob cannot be gone on from."""


async def retry(policy: RetryPolicy, attempt: Callable[[], Awaitable[T]]) -> T:
    """The outcome of the first attempt that is not ConnectionLost. Broken after the last."""
    failures = 0
    while True:
        try:
            return await attempt()
        except LostAfterProgress:
            # Not counted, and without a pause: a large blob may see more stalls than there are
            # attempts, and each of them has brought bytes that need not come again.
            continue
        except ConnectionLost as error:
            failures += 1
            if failures >= policy.attempts:
                raise Broken(f"max retries exceeded: {error.message}") from error
        await anyio.sleep(policy.pause * 2 ** (failures - 1))


def reason(error: BaseException) -> str:
    """Why a connection failed, from the innermost of the errors it was wrapped in."""
    # The outer errors name the step of the HTTP library that failed, the innermost one the cause.
    inner = _innermost(error)
    if isinstance(inner, ssl.SSLError):
        why = str(getattr(inner, "reason", None) or inner)
        return _PLAIN if why in _NO_TLS else why.lower().replace("_", " ")
    if isinstance(inner, socket.gaierror):
        return f"lookup: {inner.strerror}"
    if isinstance(inner, OSError) and inner.errno:
        return os.strerror(inner.errno).lower()
    if isinstance(inner, TimeoutError):
        return "timed out"
    return str(error) or type(error).__name__


def _innermost(error: BaseException) -> BaseException:
    cause = error.__cause__ or error.__context__
    if isinstance(error, BaseExceptionGroup):
        cause = error.exceptions[0]
    return _innermost(cause) if cause is not None else error
