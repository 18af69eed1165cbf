"""The right to use one slot of a runner: while it is pending, and once it is granted."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import anyio

from runners.errors import Crashed, Disconnected, RunnerError, Stopped
from runners.runner import Runner
from runners.spec import Spec
from runners.upstream import Upstream, open_call

# The socket breaks some moments before the process is reaped and its last output read, and only
# that output says why it died. A second is long for it, and short for a client whose reply is over.
_EXIT_WAIT = 1.0


@dataclass(slots=True, eq=False)
class PendingLease:
    """A request in the queue. Once `settled`, either `runner` or `error` is set."""

    id: int
    spec: Spec
    arrived: float
    keep_alive: float | None
    settled: anyio.Event = field(default_factory=anyio.Event)
    runner: Runner | None = None
    error: RunnerError | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """One slot of a runner, until the block of `Scheduler.lease` is left."""

    runner: Runner
    waited: float
    """Seconds from the request to the grant, a load included."""
    loaded: float
    """Seconds of those in which the runner was started; 0 if it was ready."""

    def open(self, path: str, body: bytes | None = None) -> AbstractAsyncContextManager[Upstream]:
        """Call the runner; see `open_call`.

        Raises Crashed, with the end of its output, if the process ended; Stopped if the scheduler
        closes; Disconnected if the connection broke for no reason that is known.
        """
        assert self.runner.endpoint is not None
        # No coroutine of its own: each one around the path of a token costs every request.
        return open_call(
            self.runner.endpoint.socket, path, body, self.runner.calls, self._why_disconnected
        )

    async def _why_disconnected(self) -> RunnerError:
        # Closing ends all calls itself, so a broken connection is then no sign of a crash.
        if self.runner.stop.is_set():
            return Stopped("the server is stopping")
        with anyio.move_on_after(_EXIT_WAIT):
            await self.runner.ended.wait()
        if isinstance(self.runner.ending, Crashed):
            return self.runner.ending
        return Disconnected("the runner closed the connection")
