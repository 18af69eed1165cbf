"""What the scheduler makes of the machine's devices and of the engine's estimates."""

from dataclasses import dataclass, field, replace

import anyio
import anyio.lowlevel
import pytest

from runners.errors import Stopped
from runners.scheduler import Scheduler
from runners.spec import MIB, Device, DeviceKind, Estimate, Spec
from tests.fakes.supervise import Lives, spec
from tests.runners.scheduler_world import hold, running, until

pytestmark = pytest.mark.anyio


@dataclass
class Card:
    """A machine with a GPU of 1000 MiB, of which `foreign` MiB are not ours."""

    foreign: int = 0
    lives: Lives = field(default_factory=Lives)
    probes: int = 0
    free: int = 0
    """Bytes, as of the last refresh."""
    open: anyio.Event = field(default_factory=anyio.Event)
    """A refresh takes until this is set."""

    def __call__(self) -> tuple[Device, ...]:
        host = Device("CPU", DeviceKind.CPU, 9000 * MIB, 9000 * MIB)
        return (host, Device("GPU0", DeviceKind.GPU, 1000 * MIB, self.free))

    async def refresh(self) -> None:
        self.probes += 1
        await self.open.wait()
        ours = sum(life.spec.size for life in self.lives.all if not life.over)
        self.free = (1000 - self.foreign) * MIB - ours


class OnGpu:
    """A Spec needs what its weights weigh, on a GPU."""

    def known(self, spec: Spec) -> Estimate | None:
        return Estimate(gpu=spec.size, host=0, exact=True)

    async def __call__(self, spec: Spec) -> Estimate:
        raise AssertionError("estimated what was known")


@dataclass
class SlowEstimates:
    """Needs what the weights weigh, but nothing is known before `answers` is set."""

    calls: list[str] = field(default_factory=list)
    answers: anyio.Event = field(default_factory=anyio.Event)

    def known(self, spec: Spec) -> Estimate | None:
        return None

    async def __call__(self, spec: Spec) -> Estimate:
        self.calls.append(spec.digest)
        await self.answers.wait()
        return Estimate(gpu=0, host=spec.size, exact=True)


# GPUs


async def test_foreign_memory_of_a_gpu_stays_foreign_between_two_probes() -> None:
    card = Card(foreign=300)
    card.open.set()
    async with running(card.lives, OnGpu(), card) as scheduler, anyio.create_task_group() as tasks:
        async with scheduler.lease(spec("good a", mib=400)):
            tasks.start_soon(hold, scheduler, spec("good b", mib=400))
            await until(lambda: scheduler.snapshot().waiting == 1)
            assert card.probes == 1
            assert card.lives.living() == ["good a"]
        await until(lambda: card.lives.living() == ["good b"])
        tasks.cancel_scope.cancel()


async def test_a_probe_after_an_end_does_not_count_what_has_ended() -> None:
    card = Card(foreign=300)
    card.open.set()
    async with running(card.lives, OnGpu(), card) as scheduler:
        async with scheduler.lease(spec("good a", mib=400), keep_alive=0.0):
            pass
        await until(lambda: not scheduler.snapshot().runners)
        async with scheduler.lease(spec("good b", mib=900)) as lease:
            assert lease.runner.placement.on("GPU0") == 700 * MIB
            assert lease.runner.placement.on("CPU") == 200 * MIB


async def test_memory_of_a_gpu_is_given_away_only_after_it_was_probed_again() -> None:
    card = Card()
    card.open.set()
    async with running(card.lives, OnGpu(), card) as scheduler, anyio.create_task_group() as tasks:
        async with scheduler.lease(spec("good a", mib=700)):
            card.open = anyio.Event()
        tasks.start_soon(hold, scheduler, spec("good b", mib=700))
        await until(lambda: card.probes == 2)
        await anyio.lowlevel.checkpoint()
        assert card.lives.living() == []
        assert [runner.spec.digest for runner in scheduler.snapshot().runners] == ["good a"]
        card.open.set()
        await until(lambda: card.lives.living() == ["good b"])
        tasks.cancel_scope.cancel()


async def test_a_runner_on_the_host_alone_is_no_reason_to_probe_gpus() -> None:
    card = Card()
    card.open.set()
    async with running(card.lives, OnGpu(), card) as scheduler:
        async with scheduler.lease(replace(spec("good"), gpu_layers=0), keep_alive=0.0):
            pass
        await until(lambda: not scheduler.snapshot().runners)
        assert card.probes == 1


# The engine's estimates


async def test_what_may_not_fit_is_estimated_once_and_then_started() -> None:
    estimates, lives = SlowEstimates(), Lives()
    large = spec("good", mib=600, parallel=2)
    async with running(lives, estimates) as scheduler, anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(hold, scheduler, large)
        await until(lambda: estimates.calls == ["good"] and scheduler.snapshot().waiting == 2)
        assert lives.all == []
        estimates.answers.set()
        await until(lambda: [r.leases for r in scheduler.snapshot().runners] == [2])
        assert estimates.calls == ["good"]
        tasks.cancel_scope.cancel()


async def test_what_plainly_fits_is_started_without_an_estimate() -> None:
    estimates = SlowEstimates()
    async with running(Lives(), estimates) as scheduler:
        async with scheduler.lease(spec("good", mib=100)):
            assert estimates.calls == []


async def test_leaving_during_an_estimate_starts_nothing() -> None:
    estimates, lives = SlowEstimates(), Lives()
    async with running(lives, estimates) as scheduler, anyio.create_task_group() as tasks:
        tasks.start_soon(hold, scheduler, spec("good", mib=600))
        await until(lambda: bool(estimates.calls))
        tasks.cancel_scope.cancel()
        estimates.answers.set()
    assert lives.all == []


async def test_closing_does_not_wait_for_an_estimate() -> None:
    estimates = SlowEstimates()

    async def stopped(scheduler: Scheduler) -> None:
        with pytest.raises(Stopped):
            await hold(scheduler, spec("good", mib=600))

    async with anyio.create_task_group() as tasks:
        async with running(Lives(), estimates) as scheduler:
            tasks.start_soon(stopped, scheduler)
            await until(lambda: bool(estimates.calls))
    assert not estimates.answers.is_set()
