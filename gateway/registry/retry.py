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

_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
_PLAIN = "http: server gave HTTP response to HTTPS client"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often to try, how long to wait before the second time (then twice that, and so on), and
    how long a connection may say nothing; in seconds."""

    attempts: int = 6
    pause: float = 1.0
    stall: float = 30.0


class ConnectionLost(Broken):
    """The connection failed, or what came of it did; another try may do better."""


class ConnectionStalled(ConnectionLost):
    """The connection fell silent."""


class LostAfterProgress(ConnectionLost):
    """It did so after it had gone well for a while, so that this try does not count."""


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
            continue
        except ConnectionLost as error:
            failures += 1
            if failures >= policy.attempts:
                raise Broken(f"max retries exceeded: {error.message}") from error
        await anyio.sleep(policy.pause * 2 ** (failures - 1))


def reason(error: BaseException) -> str:
    """Why a connection failed, from the innermost of the errors it was wrapped in."""
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
