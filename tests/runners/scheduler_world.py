"""A scheduler with fake lives and a clock of its own, and clients that take leases of it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import anyio.lowlevel

from runners.devices import Probe
from runners.errors import RunnerError
from runners.estimate import Estimator
from runners.lease import Lease
from runners.scheduler import Scheduler
from runners.spec import Limits, Spec
from runners.supervise import Supervise
from tests.fakes.supervise import FixedMemory, Lives, Sizes

LIMITS = Limits(runners=10, queue=10, headroom=0.0, patience=60.0)


async def until(true: Callable[[], bool]) -> None:
    """Let the other tasks run until something is so."""
    with anyio.fail_after(10):
        while not true():
            await anyio.lowlevel.checkpoint()


class SchedulerWorld:
    """A scheduler on real time, and its lives."""

    def __init__(self, limits: Limits = LIMITS, mib: int = 1000) -> None:
        self.lives = Lives()
        self.scheduler = Scheduler(
            limits, supervise=self.lives, estimator=Sizes(), probe=FixedMemory(mib)
        )

    def states(self) -> dict[str, str]:
        return {
            runner.spec.digest: runner.state.value for runner in self.scheduler.snapshot().runners
        }

    def leases(self) -> int:
        return sum(runner.leases for runner in self.scheduler.snapshot().runners)

    def waiting(self) -> int:
        return self.scheduler.snapshot().waiting


class LeaseClient:
    """A request in its own task, which holds its lease until `done` is set or it leaves.

    `lease` is what it got, `error` why it did not.
    """

    def __init__(self, world: SchedulerWorld, spec: Spec, keep_alive: float | None = None) -> None:
        self.world = world
        self.spec = spec
        self.keep_alive = keep_alive
        self.lease: Lease | None = None
        self.error: RunnerError | None = None
        self.done = anyio.Event()
        self.scope = anyio.CancelScope()

    async def run(self) -> None:
        with self.scope:
            try:
                async with self.world.scheduler.lease(self.spec, self.keep_alive) as lease:
                    self.lease = lease
                    await self.done.wait()
            except RunnerError as exc:
                self.error = exc

    async def granted(self) -> Lease:
        await until(lambda: self.lease is not None)
        assert self.lease is not None
        return self.lease

    async def failed(self) -> RunnerError:
        await until(lambda: self.error is not None)
        assert self.error is not None
        return self.error

    def leave(self) -> None:
        self.scope.cancel()


@asynccontextmanager
async def scheduler_world(
    limits: Limits = LIMITS, mib: int = 1000
) -> AsyncIterator[tuple[SchedulerWorld, Callable[..., LeaseClient]]]:
    """A running scheduler, and a function that sends it a request; all is checked at the end."""
    world = SchedulerWorld(limits, mib)
    async with world.scheduler:
        async with anyio.create_task_group() as tasks:

            def request(spec: Spec, keep_alive: float | None = None) -> LeaseClient:
                client = LeaseClient(world, spec, keep_alive)
                tasks.start_soon(client.run)
                return client

            with anyio.fail_after(20):
                yield world, request
            world.scheduler.validate()
            tasks.cancel_scope.cancel()
    assert world.lives.living() == []
    assert world.scheduler.snapshot().runners == ()
    assert world.waiting() == 0


@dataclass
class SetClock:
    """Time stands still until the test sets it."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def running(
    supervise: Supervise,
    estimator: Estimator | None = None,
    probe: Probe | None = None,
    clock: SetClock | None = None,
    limits: Limits = LIMITS,
) -> AsyncIterator[Scheduler]:
    """A running scheduler of these parts; all is checked at the end."""
    scheduler = Scheduler(
        limits,
        supervise=supervise,
        estimator=estimator or Sizes(),
        probe=probe or FixedMemory(1000),
        clock=clock or SetClock(),
    )
    with anyio.fail_after(20):
        async with scheduler:
            yield scheduler
            scheduler.validate()
    assert scheduler.snapshot().runners == ()
    assert scheduler.snapshot().waiting == 0


async def hold(scheduler: Scheduler, wanted: Spec) -> None:
    async with scheduler.lease(wanted):
        await anyio.sleep_forever()
