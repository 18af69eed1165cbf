"""Why a lease was not given, or ended early. Facts only: `gateway` has the sentences for clients.

RunnerError
├── Busy           the queue of pending leases is full
├── TooLarge       the model can never fit this machine
├── StartFailed    the runner did not become ready; carries the cause
├── BackingOff     it failed again and again; no new attempt for a while
├── Crashed        the runner's process ended under a lease
├── Disconnected   the connection to the runner broke, and its process lives
├── Refused        the runner answered a call with an error status
└── Stopped        the scheduler is closing
"""

from enum import Enum


class Cause(Enum):
    """What exit status and output of a process say about its end."""

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
    """`message` says what happened in words that a client may read: no paths, no secrets."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Busy(RunnerError):
    pass


class TooLarge(RunnerError):
    pass


class StartFailed(RunnerError):
    def __init__(self, message: str, cause: Cause) -> None:
        super().__init__(message)
        self.cause = cause


class BackingOff(RunnerError):
    """`retry_after` seconds must pass before the next attempt; `failure` ended the last one."""

    def __init__(self, failure: RunnerError, retry_after: float) -> None:
        super().__init__(f"next attempt in {retry_after:.0f} s, after: {failure.message}")
        self.failure = failure
        self.retry_after = retry_after


class Crashed(RunnerError):
    pass


class Disconnected(RunnerError):
    pass


class Refused(RunnerError):
    """`message`, `status` and `kind` are the engine's own: its text, HTTP status and error type."""

    def __init__(self, message: str, status: int, kind: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


class Stopped(RunnerError):
    pass
