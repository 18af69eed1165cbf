"""What the scheduler believes of the machine, of time and of the engine's answers."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from runners.devices import Probe
from runners.errors import CoolingDown, RunnerError, StartFailed, Stopped
from runners.measure import Oracle
from runners.scheduler import Scheduler
from runners.spec import MIB, Device, Estimate, Kind, Limits, Placement, Spec
from runners.supervise import Endpoint, Supervise
from tests.fakes.supervise import Lives, Room, Sizes, spec

pytestmark = pytest.mark.anyio

LIMITS = Limits(headroom=0.0, patience=60.0)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Card:
    """A machine with a GPU of 1000 MiB; `others` MiB are not ours. It is seen when looked at."""

    others: int = 0
    lives: Lives = field(default_factory=Lives)
    looks: int = 0
    seen: int = 0
    open: anyio.Event = field(default_factory=anyio.Event)
    """Looking takes until this is set."""

    def __call__(self) -> tuple[Device, ...]:
        host = Device("CPU", Kind.CPU, 9000 * MIB, 9000 * MIB)
        return (host, Device("GPU0", Kind.GPU, 1000 * MIB, self.seen))

    async def refresh(self) -> None:
        self.looks += 1
        await self.open.wait()
        ours = sum(life.spec.size for life in self.lives.all if not life.over)
        self.seen = (1000 - self.others) * MIB - ours


class OnGpu:
    """An oracle: a Spec needs what its weights weigh, on a GPU."""

    def known(self, spec: Spec) -> Estimate | None:
        return Estimate(gpu=spec.size, host=0, exact=True)

    async def __call__(self, spec: Spec) -> Estimate:
        raise AssertionError("asked about what was known")


@dataclass
class Engine:
    """An oracle that knows nothing and takes until `answers` is set to say what weights weigh."""

    asked: list[str] = field(default_factory=list)
    answers: anyio.Event = field(default_factory=anyio.Event)

    def known(self, spec: Spec) -> Estimate | None:
        return None

    async def __call__(self, spec: Spec) -> Estimate:
        self.asked.append(spec.digest)
        await self.answers.wait()
        return Estimate(gpu=0, host=spec.size, exact=True)


@asynccontextmanager
async def running(
    supervise: Supervise,
    oracle: Oracle | None = None,
    probe: Probe | None = None,
    clock: Clock | None = None,
    limits: Limits = LIMITS,
) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(
        limits,
        supervise=supervise,
        oracle=oracle or Sizes(),
        probe=probe or Room(1000),
        clock=clock or Clock(),
    )
    with anyio.fail_after(20):
        async with scheduler:
            yield scheduler
            scheduler.validate()
    assert scheduler.snapshot().runners == ()
    assert scheduler.snapshot().waiting == 0


async def until(true: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not true():
            await anyio.lowlevel.checkpoint()


async def hold(scheduler: Scheduler, wanted: Spec) -> None:
    async with scheduler.lease(wanted):
        await anyio.sleep_forever()


# GPUs


async def test_what_strangers_hold_of_a_gpu_stays_theirs_between_two_looks() -> None:
    card = Card(others=300)
    card.open.set()
    async with running(card.lives, OnGpu(), card) as scheduler, anyio.create_task_group() as tasks:
        async with scheduler.lease(spec("good a", mib=400)):
            tasks.start_soon(hold, scheduler, spec("good b", mib=400))
            await until(lambda: scheduler.snapshot().waiting == 1)
            assert card.looks == 1
            assert card.lives.living() == ["good a"]
        await until(lambda: card.lives.living() == ["good b"])
        tasks.cancel_scope.cancel()


async def test_a_look_after_an_end_does_not_count_what_has_ended() -> None:
    card = Card(others=300)
    card.open.set()
    async with running(card.lives, OnGpu(), card) as scheduler:
        async with scheduler.lease(spec("good a", mib=400), keep_alive=0.0):
            pass
        await until(lambda: not scheduler.snapshot().runners)
        async with scheduler.lease(spec("good b", mib=900)) as lease:
            assert lease.runner.placement.on("GPU0") == 700 * MIB
            assert lease.runner.placement.on("CPU") == 200 * MIB


async def test_memory_of_a_gpu_is_given_away_only_after_a_new_look_at_it() -> None:
    card = Card()
    card.open.set()
    async with running(card.lives, OnGpu(), card) as scheduler, anyio.create_task_group() as tasks:
        async with scheduler.lease(spec("good a", mib=700)):
            card.open = anyio.Event()
        tasks.start_soon(hold, scheduler, spec("good b", mib=700))
        await until(lambda: card.looks == 2)
        await anyio.lowlevel.checkpoint()
        assert card.lives.living() == []
        assert [runner.spec.digest for runner in scheduler.snapshot().runners] == ["good a"]
        card.open.set()
        await until(lambda: card.lives.living() == ["good b"])
        tasks.cancel_scope.cancel()


async def test_a_runner_on_the_host_alone_is_no_reason_to_look_at_gpus() -> None:
    card = Card()
    card.open.set()
    async with running(card.lives, OnGpu(), card) as scheduler:
        async with scheduler.lease(replace(spec("good"), gpu_layers=0), keep_alive=0.0):
            pass
        await until(lambda: not scheduler.snapshot().runners)
        assert card.looks == 1


# Time


async def test_a_lease_says_how_long_it_took_and_how_much_of_that_was_loading() -> None:
    clock = Clock()

    async def supervise(
        number: int,
        spec: Spec,
        placement: Placement,
        ready: Callable[[Endpoint], None],
        stop: anyio.Event,
    ) -> RunnerError | None:
        clock.now += 5.0
        ready(Endpoint(Path("/nowhere"), 1, seconds=3.0))
        await stop.wait()
        return None

    async with running(supervise, clock=clock) as scheduler:
        async with scheduler.lease(spec("any")) as lease:
            assert (lease.waited, lease.loaded) == (5.0, 3.0)
        async with scheduler.lease(spec("any")) as lease:
            assert (lease.waited, lease.loaded) == (0.0, 0.0)
        (info,) = scheduler.snapshot().runners
        assert (info.load_seconds, info.expires) == (3.0, 5.0 + 300.0)


async def test_after_a_pause_a_failing_model_is_tried_again() -> None:
    clock, lives = Clock(), Lives()
    async with running(lives, clock=clock) as scheduler:
        for error in (StartFailed, StartFailed, CoolingDown):
            with pytest.raises(error):
                async with scheduler.lease(spec("refuses")):
                    pass
        clock.now = 1.0
        with pytest.raises(StartFailed):
            async with scheduler.lease(spec("refuses")):
                pass
        with pytest.raises(CoolingDown) as caught:
            async with scheduler.lease(spec("refuses")):
                pass
        assert caught.value.retry_after == 2.0
        assert len(lives.all) == 3


async def crash(scheduler: Scheduler, lives: Lives) -> None:
    """One life that ends with a crash at once."""
    async with scheduler.lease(spec("good")) as lease:
        lives.all[-1].crash()
        await lease.runner.gone.wait()


async def test_two_crashes_in_a_row_are_followed_by_a_pause() -> None:
    lives = Lives()
    async with running(lives) as scheduler:
        await crash(scheduler, lives)
        await crash(scheduler, lives)
        with pytest.raises(CoolingDown):
            async with scheduler.lease(spec("good")):
                pass


async def test_a_life_that_was_stable_makes_up_for_an_earlier_crash() -> None:
    clock, lives = Clock(), Lives()
    async with running(lives, clock=clock) as scheduler:
        await crash(scheduler, lives)
        async with scheduler.lease(spec("good"), keep_alive=0.0):
            clock.now += 10.0
        await until(lambda: not lives.living())
        await crash(scheduler, lives)
        async with scheduler.lease(spec("good")):
            assert len(lives.all) == 4


async def test_of_two_busy_runners_the_one_that_is_drained_stays_the_same() -> None:
    clock, lives = Clock(), Lives()
    a, b = (spec(f"good {name}", parallel=2) for name in "ab")
    limits = replace(LIMITS, runners=2, patience=0.0)
    async with (
        running(lives, clock=clock, limits=limits) as scheduler,
        anyio.create_task_group() as tasks,
        AsyncExitStack() as stack,
    ):
        held = []
        for wanted in (a, b, a, b):
            clock.now += 1
            held.append(await stack.enter_async_context(AsyncExitStack()))
            await held[-1].enter_async_context(scheduler.lease(wanted))
        tasks.start_soon(hold, scheduler, spec("good c"))
        await until(lambda: scheduler.snapshot().waiting == 1)
        clock.now += 1
        await held[0].aclose()
        tasks.start_soon(hold, scheduler, a)
        await until(lambda: scheduler.snapshot().waiting == 2)
        await held[1].aclose()
        async with scheduler.lease(b):
            assert scheduler.snapshot().waiting == 2
        await held[2].aclose()
        await until(lambda: lives.living() == ["good b", "good c"])
        tasks.cancel_scope.cancel()


async def test_a_runner_that_just_started_is_not_the_first_to_be_drained() -> None:
    clock, lives = Clock(now=1.0), Lives()
    a = spec("good a", parallel=2)
    limits = replace(LIMITS, runners=2, patience=0.0)
    async with running(lives, clock=clock, limits=limits) as scheduler:
        async with anyio.create_task_group() as tasks, scheduler.lease(a):
            clock.now = 2.0
            tasks.start_soon(hold, scheduler, spec("slow"))
            await until(lambda: len(lives.all) == 2)
            tasks.start_soon(hold, scheduler, spec("good c"))
            await until(lambda: scheduler.snapshot().waiting == 2)
            tasks.start_soon(hold, scheduler, a)
            await until(lambda: scheduler.snapshot().waiting == 3)
            tasks.cancel_scope.cancel()


# The engine's answers


async def test_what_may_not_fit_is_asked_about_once_and_started_after_the_answer() -> None:
    engine, lives = Engine(), Lives()
    large = spec("good", mib=600, parallel=2)
    async with running(lives, engine) as scheduler, anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(hold, scheduler, large)
        await until(lambda: engine.asked == ["good"] and scheduler.snapshot().waiting == 2)
        assert lives.all == []
        engine.answers.set()
        await until(lambda: [r.leases for r in scheduler.snapshot().runners] == [2])
        assert engine.asked == ["good"]
        tasks.cancel_scope.cancel()


async def test_what_plainly_fits_is_started_unasked() -> None:
    engine = Engine()
    async with running(Lives(), engine) as scheduler:
        async with scheduler.lease(spec("good", mib=100)):
            assert engine.asked == []


async def test_leaving_while_the_engine_is_asked_starts_nothing() -> None:
    engine, lives = Engine(), Lives()
    async with running(lives, engine) as scheduler, anyio.create_task_group() as tasks:
        tasks.start_soon(hold, scheduler, spec("good", mib=600))
        await until(lambda: bool(engine.asked))
        tasks.cancel_scope.cancel()
        engine.answers.set()
    assert lives.all == []


async def test_closing_does_not_wait_for_the_engines_answer() -> None:
    engine = Engine()

    async def ask(scheduler: Scheduler) -> None:
        with pytest.raises(Stopped):
            await hold(scheduler, spec("good", mib=600))

    async with anyio.create_task_group() as tasks:
        async with running(Lives(), engine) as scheduler:
            tasks.start_soon(ask, scheduler)
            await until(lambda: bool(engine.asked))
    assert not engine.answers.is_set()
