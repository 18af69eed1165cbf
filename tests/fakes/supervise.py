"""Lives without processes: the name of its weights, or the test, decides what becomes of a runner.

good       ready at once, ends when stopped
slow       ready when the test sets `go`
refuses    never ready: fails to start
stubborn   ready at once, and when stopped ends only when the test sets `go`
"""

from collections.abc import Callable
from pathlib import Path

import anyio

from runners.errors import Cause, Crashed, RunnerError, StartFailed
from runners.spec import MIB, Device, DeviceKind, Estimate, Placement, Spec
from runners.supervise import Endpoint

REFUSAL = "exit status 1: unknown model architecture: 'x'"


def spec(name: str, *, mib: int = 100, parallel: int = 1, context: int = 64) -> Spec:
    """A Spec whose runner behaves as the first word of `name` tells, see above."""
    return Spec(weights=Path(name), digest=name, size=mib * MIB, context=context, parallel=parallel)


class FakeLife:
    """One call of supervise. `go` lets a slow one be ready and a stubborn one end."""

    def __init__(self, number: int, spec: Spec, stop: anyio.Event) -> None:
        self.number = number
        self.spec = spec
        self.stop = stop
        self.go = anyio.Event()
        self.died = anyio.Event()
        self.over = False

    def crash(self) -> None:
        self.died.set()


class Lives:
    """A supervise function that remembers every life."""

    def __init__(self) -> None:
        self.all: list[FakeLife] = []

    async def __call__(
        self,
        number: int,
        spec: Spec,
        placement: Placement,
        ready: Callable[[Endpoint], None],
        stop: anyio.Event,
    ) -> RunnerError | None:
        life = FakeLife(number, spec, stop)
        self.all.append(life)
        try:
            return await self._live(life, ready)
        finally:
            life.over = True

    async def _live(self, life: FakeLife, ready: Callable[[Endpoint], None]) -> RunnerError | None:
        kind = life.spec.digest.split()[0]
        if kind == "refuses":
            return StartFailed(REFUSAL, Cause.UNSUPPORTED)
        if kind == "slow" and not await first(life.go, life.stop, life.died):
            return None if life.stop.is_set() else StartFailed("it died", Cause.CRASH)
        ready(Endpoint(Path("/nowhere"), 1, 0.0))
        await first(life.stop, life.died)
        if kind == "stubborn" and life.stop.is_set():
            await life.go.wait()
        return None if life.stop.is_set() else Crashed("signal SIGKILL")

    def of(self, name: str) -> list[FakeLife]:
        """The lives of these weights, oldest first."""
        return [life for life in self.all if life.spec.digest == name]

    def living(self) -> list[str]:
        return [life.spec.digest for life in self.all if not life.over]


async def first(wanted: anyio.Event, *others: anyio.Event) -> bool:
    """Wait until one of the events is set; whether it is `wanted`."""
    async with anyio.create_task_group() as tasks:

        async def wait(event: anyio.Event) -> None:
            await event.wait()
            tasks.cancel_scope.cancel()

        for event in (wanted, *others):
            tasks.start_soon(wait, event)
    return wanted.is_set()


class Sizes:
    """An estimator: a Spec needs what its weights weigh, all of it on the host."""

    def known(self, spec: Spec) -> Estimate | None:
        return Estimate(gpu=0, host=spec.size, exact=True)

    async def __call__(self, spec: Spec) -> Estimate:
        raise AssertionError("estimated what was known")


class FixedMemory:
    """A machine with this much host memory, all of it free to us."""

    def __init__(self, mib: int) -> None:
        self.device = Device("CPU", DeviceKind.CPU, mib * MIB, mib * MIB)

    def __call__(self) -> tuple[Device, ...]:
        return (self.device,)

    async def refresh(self) -> None:
        """Nothing changes."""
