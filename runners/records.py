"""What the scheduler keeps about runners and requests, and what it shows of it."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from runners.errors import Crashed, RunnerError, Stopped
from runners.spec import Placement, Spec
from runners.states import State
from runners.supervise import Endpoint
from runners.upstream import Upstream, open_call

LAST_WORDS = 1.0
"""Seconds to wait for the exit status of a child whose connection broke."""


@dataclass(slots=True, eq=False)
class Runner:
    """One life. Only the scheduler changes it."""

    id: int
    spec: Spec
    placement: Placement
    state: State = State.STARTING
    leases: set[int] = field(default_factory=set)
    calls: set[Upstream] = field(default_factory=set)
    """Those of the leases that are open now."""
    keep_alive: float | None = None
    """As the last request wished; None: the scheduler's default."""
    last_used: float = 0.0
    idle_since: float | None = None
    ready_at: float | None = None
    endpoint: Endpoint | None = None
    stop: anyio.Event = field(default_factory=anyio.Event)
    ended: anyio.Event = field(default_factory=anyio.Event)
    """The child is reaped and `ending` says why."""
    gone: anyio.Event = field(default_factory=anyio.Event)
    """Its memory has been given back as well."""
    ending: RunnerError | None = None

    def __str__(self) -> str:
        return f"runner {self.id} ({self.spec})"


def held(runners: Iterable[Runner]) -> Counter[str]:
    """Bytes of each device that are set aside for `runners`."""
    sizes: Counter[str] = Counter()
    for runner in runners:
        sizes.update(dict(runner.placement.shares))
    return sizes


@dataclass(slots=True, eq=False)
class Waiting:
    id: int
    spec: Spec
    arrived: float
    keep_alive: float | None
    settled: anyio.Event = field(default_factory=anyio.Event)
    runner: Runner | None = None
    error: RunnerError | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to use one slot of a runner, until the block that gave it is left."""

    runner: Runner
    waited: float
    """Seconds between asking and getting it."""
    loaded: float
    """Seconds of that spent bringing the runner up; 0 if it was ready."""

    @asynccontextmanager
    async def open(self, path: str, body: bytes | None = None) -> AsyncIterator[Upstream]:
        """Call the runner; see `open_call`.

        Raises Crashed, with its last words, if it died; Stopped if the scheduler closes.
        """
        assert self.runner.endpoint is not None
        socket, calls = self.runner.endpoint.socket, self.runner.calls
        try:
            async with open_call(socket, path, body, calls) as upstream:
                yield upstream
        except ConnectionError as exc:
            raise await self.crashed() from exc

    async def crashed(self) -> RunnerError:
        """Why the connection broke, as far as the child can still say."""
        if self.runner.stop.is_set():
            return Stopped("the server is stopping")
        with anyio.move_on_after(LAST_WORDS):
            await self.runner.ended.wait()
        if isinstance(self.runner.ending, Crashed):
            return self.runner.ending
        return Crashed("an error was encountered while running the model: unexpected EOF")


@dataclass(frozen=True, slots=True)
class RunnerInfo:
    """A runner as `/api/ps`, logs and tests see it; times by the scheduler's clock."""

    id: int
    spec: Spec
    state: State
    placement: Placement
    leases: int
    keep_alive: float
    expires: float | None
    pid: int | None
    load_seconds: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    runners: tuple[RunnerInfo, ...]
    waiting: int
    now: float
