"""A runner as the scheduler keeps it, and as it is shown to others."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import anyio

from runners.errors import RunnerError
from runners.spec import Placement, Spec
from runners.states import RunnerState
from runners.supervise import Endpoint
from runners.upstream import Upstream


@dataclass(slots=True, eq=False)
class Runner:
    """One llama-server process, from the decision to start it until its memory is free again.

    Only the scheduler changes it.
    """

    id: int
    spec: Spec
    placement: Placement
    state: RunnerState = RunnerState.STARTING
    leases: set[int] = field(default_factory=set)
    calls: set[Upstream] = field(default_factory=set)
    """The open connections of its leases."""
    keep_alive: float | None = None
    """Seconds, as the last request that named any wants it; None: the scheduler's default."""
    last_used: float = 0.0
    idle_since: float | None = None
    ready_at: float | None = None
    endpoint: Endpoint | None = None
    """None until it is ready."""
    stop: anyio.Event = field(default_factory=anyio.Event)
    """Set by the scheduler; the supervisor then ends the process."""
    # Two events, because a driver returns the memory of a process some moments after its end: a
    # client hears at once why its runner died, while nothing is started in that memory yet.
    ended: anyio.Event = field(default_factory=anyio.Event)
    """The process is reaped and `ending` says why."""
    gone: anyio.Event = field(default_factory=anyio.Event)
    """Its memory is free again."""
    ending: RunnerError | None = None

    def __str__(self) -> str:
        return f"runner {self.id} ({self.spec})"


def allocated(runners: Iterable[Runner]) -> Counter[str]:
    """Bytes of each device that the placements of `runners` set aside."""
    sizes: Counter[str] = Counter()
    for runner in runners:
        sizes.update(dict(runner.placement.shares))
    return sizes


@dataclass(frozen=True, slots=True)
class RunnerInfo:
    """A runner as `/api/ps`, logs and tests see it; times by the scheduler's clock."""

    id: int
    spec: Spec
    state: RunnerState
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
    """Pending leases."""
    now: float
