"""Why a lease was not given, or ended early.

RunnerError
├── Busy           the waiting line is full
├── TooLarge       the model can never fit this machine
├── StartFailed    the child did not become ready; carries the cause
├── CoolingDown    it failed again and again; not tried now
├── Crashed        the child died under a lease
├── Refused        the child answered a call with an error status
└── Stopped        the scheduler is closing
"""

from enum import Enum


class Cause(Enum):
    """What the child's exit and last words say."""

    MISSING = "missing file"
    UNSUPPORTED = "unsupported model"
    CORRUPT = "corrupt model"
    MEMORY = "out of memory"
    ILLEGAL = "illegal instruction"
    STALLED = "no progress"
    FLAG = "flag the engine does not know"
    ENGINE = "engine cannot be started"
    CRASH = "crash"


class RunnerError(Exception):
    """An error whose text is meant for the client."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Busy(RunnerError):
    """The waiting line is full."""


class TooLarge(RunnerError):
    """The model can never fit this machine."""


class StartFailed(RunnerError):
    """The child did not become ready."""

    def __init__(self, message: str, cause: Cause) -> None:
        super().__init__(message)
        self.cause = cause


class CoolingDown(RunnerError):
    """Several starts failed in a row; `retry_after` seconds must pass before the next."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Crashed(RunnerError):
    """The child died while a lease was held."""


class Refused(RunnerError):
    """The child answered with an error status; `kind` is its own word for it."""

    def __init__(self, message: str, status: int, kind: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


class Stopped(RunnerError):
    """The scheduler is closing."""
