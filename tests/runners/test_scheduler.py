"""The scheduler with fake lives: who gets which runner, when, and that nothing is left behind."""

import math
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from runners.errors import BackingOff, Busy, Crashed, RunnerError, StartFailed, Stopped, TooLarge
from runners.scheduler import Scheduler
from runners.spec import Placement, Spec
from runners.states import RunnerState
from runners.supervise import Endpoint
from tests.fakes.supervise import REFUSAL, Lives, spec
from tests.runners.scheduler_world import (
    LIMITS,
    LeaseClient,
    SchedulerWorld,
    SetClock,
    hold,
    running,
    scheduler_world,
    until,
)

pytestmark = pytest.mark.anyio


async def test_requests_for_one_model_share_a_load() -> None:
    async with scheduler_world() as (world, request):
        clients = [request(spec("slow", parallel=2)) for _ in range(2)]
        await until(lambda: bool(world.lives.all))
        world.lives.all[0].go.set()
        await until(lambda: all(client.lease for client in clients))
        assert len(world.lives.all) == 1


async def test_a_full_runner_is_waited_for_and_not_doubled() -> None:
    async with scheduler_world() as (world, request):
        first = request(spec("good"))
        await first.granted()
        second = request(spec("good"))
        await until(lambda: world.waiting() == 1)
        first.done.set()
        await second.granted()
        assert len(world.lives.all) == 1


async def test_loads_of_two_models_overlap() -> None:
    async with scheduler_world() as (world, request):
        clients = [request(spec("slow a")), request(spec("slow b"))]
        await until(lambda: len(world.lives.all) == 2)
        for life in reversed(world.lives.all):
            life.go.set()
        await until(lambda: all(client.lease for client in clients))


async def test_what_can_run_does_not_wait_for_what_cannot() -> None:
    async with scheduler_world(mib=250) as (_, request):
        busy = request(spec("good a", mib=200))
        await busy.granted()
        large = request(spec("good b", mib=200))
        small = request(spec("good c", mib=40))
        await small.granted()
        assert large.lease is None
        busy.done.set()
        await large.granted()


async def test_an_idle_runner_stays_and_is_used_again() -> None:
    async with scheduler_world() as (world, request):
        for _ in range(3):
            client = request(spec("good"))
            await client.granted()
            client.done.set()
            await until(lambda: world.scheduler.snapshot().runners[0].leases == 0)
        assert len(world.lives.all) == 1


async def test_a_keep_alive_of_nothing_lets_the_runner_go_when_idle() -> None:
    async with scheduler_world() as (world, request):
        client = request(spec("good"), keep_alive=0.0)
        await client.granted()
        assert world.states() == {"good": "ready"}
        client.done.set()
        await until(lambda: world.states() == {})


async def test_a_keep_alive_runs_out_by_itself() -> None:
    async with scheduler_world() as (world, request):
        client = request(spec("good"), keep_alive=0.03)
        await client.granted()
        client.done.set()
        await until(lambda: world.states() == {})
        assert "idle past its keep alive" in world.scheduler.story()[-1][1]


async def test_a_keep_alive_holds_for_later_requests_that_name_none() -> None:
    async with scheduler_world() as (world, request):
        for wanted, kept in ((math.inf, math.inf), (None, math.inf), (7.0, 7.0)):
            client = request(spec("good"), keep_alive=wanted)
            await client.granted()
            assert world.scheduler.snapshot().runners[0].keep_alive == kept
            client.done.set()


async def test_without_any_keep_alive_the_default_holds() -> None:
    async with scheduler_world(replace(LIMITS, keep_alive=0.02)) as (world, request):
        client = request(spec("good"))
        await client.granted()
        client.done.set()
        await until(lambda: world.states() == {})


async def test_expire_stops_an_idle_runner_now_and_a_busy_one_when_idle() -> None:
    async with scheduler_world() as (world, request):
        idle, busy = request(spec("good a")), request(spec("good b"))
        await until(lambda: bool(idle.lease and busy.lease))
        idle.done.set()
        await until(lambda: world.leases() == 1)
        assert world.scheduler.expire("good a")
        assert world.scheduler.expire("good b")
        assert not world.scheduler.expire("good c")
        await until(lambda: world.states() == {"good b": "ready"})
        busy.done.set()
        await until(lambda: world.states() == {})


async def test_the_least_recently_used_idle_runner_makes_room() -> None:
    async with scheduler_world(replace(LIMITS, runners=2)) as (world, request):
        for name in ("good a", "good b", "good a"):
            client = request(spec(name))
            await client.granted()
            client.done.set()
            await until(lambda: world.leases() == 0)
        third = request(spec("good c"))
        await third.granted()
        assert world.states() == {"good a": "ready", "good c": "ready"}


async def test_a_busy_runner_is_never_stopped() -> None:
    async with scheduler_world(replace(LIMITS, runners=1)) as (world, request):
        busy = request(spec("good a"))
        await busy.granted()
        other = request(spec("good b"))
        await until(lambda: world.waiting() == 1)
        assert not world.lives.of("good a")[0].stop.is_set()
        busy.done.set()
        await other.granted()


async def test_memory_comes_back_only_when_the_process_is_gone() -> None:
    async with scheduler_world(mib=150) as (world, request):
        first = request(spec("stubborn"))
        await first.granted()
        first.done.set()
        second = request(spec("good"))
        await until(lambda: world.states() == {"stubborn": "stopping"})
        assert second.lease is None
        world.lives.all[0].go.set()
        await second.granted()


async def test_a_steady_stream_does_not_starve_another_model() -> None:
    limits = replace(LIMITS, runners=1, patience=0.02)
    async with scheduler_world(limits) as (_, request):
        current = request(spec("good a", parallel=2))
        await current.granted()
        other = request(spec("good b"))
        rounds = 0
        while other.lease is None and rounds < 100_000:
            following = request(spec("good a", parallel=2))
            await anyio.sleep(0.001)
            current.done.set()
            current, rounds = following, rounds + 1
        assert other.lease is not None
        other.done.set()
        await current.granted()


async def test_the_waiting_line_is_bounded() -> None:
    async with scheduler_world(replace(LIMITS, queue=1)) as (world, request):
        held = request(spec("good"))
        await held.granted()
        waiting = request(spec("good"))
        await until(lambda: world.waiting() == 1)
        refused = request(spec("good"))
        await refused.failed()
        assert isinstance(refused.error, Busy)
        held.done.set()
        await waiting.granted()


async def test_what_can_never_fit_is_refused() -> None:
    async with scheduler_world(mib=100) as (world, request):
        client = request(spec("good", mib=101))
        await client.failed()
        assert isinstance(client.error, TooLarge)
        assert world.lives.all == []


async def test_a_failed_start_fails_all_who_waited_and_is_not_tried_again_by_itself() -> None:
    async with scheduler_world() as (world, request):
        clients = [request(spec("refuses")) for _ in range(3)]
        await until(lambda: all(client.error for client in clients))
        assert {type(client.error) for client in clients} == {StartFailed}
        assert {str(client.error) for client in clients} == {REFUSAL}
        assert len(world.lives.all) == 1


async def test_repeated_failures_back_off_and_say_why() -> None:
    async with scheduler_world() as (world, request):
        errors = []
        for _ in range(3):
            client = request(spec("refuses"))
            await client.failed()
            errors.append(client.error)
        assert [type(error) for error in errors] == [StartFailed, StartFailed, BackingOff]
        assert isinstance(errors[2], BackingOff)
        assert REFUSAL in errors[2].message
        assert 0 < errors[2].retry_after <= 1
        assert len(world.lives.all) == 2


async def test_a_crash_is_over_at_once_and_the_next_request_starts_anew() -> None:
    async with scheduler_world() as (world, request):
        client, bystander = request(spec("good a")), request(spec("good b"))
        await until(lambda: bool(client.lease and bystander.lease))
        assert client.lease is not None
        world.lives.of("good a")[0].crash()
        await client.lease.runner.ended.wait()
        assert isinstance(client.lease.runner.ending, Crashed)
        assert world.states() == {"good b": "ready"}
        again = request(spec("good a"))
        await again.granted()
        assert len(world.lives.of("good a")) == 2
        assert not world.lives.of("good b")[0].over


async def test_an_idle_crash_leaves_no_runner_behind() -> None:
    async with scheduler_world() as (world, request):
        client = request(spec("good"))
        await client.granted()
        client.done.set()
        world.lives.all[0].crash()
        await until(lambda: world.states() == {})


async def test_a_load_survives_its_first_requester_if_another_waits() -> None:
    async with scheduler_world() as (world, request):
        first, second = request(spec("slow")), request(spec("slow"))
        await until(lambda: world.waiting() == 2)
        first.leave()
        await until(lambda: world.waiting() == 1)
        world.lives.all[0].go.set()
        await second.granted()
        assert len(world.lives.all) == 1


async def test_a_load_that_nobody_waits_for_is_stopped() -> None:
    async with scheduler_world() as (world, request):
        client = request(spec("slow"))
        await until(lambda: bool(world.lives.all))
        client.leave()
        await until(lambda: world.states() == {})
        assert world.lives.all[0].stop.is_set()


async def test_closing_rejects_who_waits_and_ends_who_lives() -> None:
    world = SchedulerWorld()
    held, waiting = LeaseClient(world, spec("good")), LeaseClient(world, spec("good"))
    async with anyio.create_task_group() as tasks:
        async with world.scheduler:
            tasks.start_soon(held.run)
            await held.granted()
            tasks.start_soon(waiting.run)
            await until(lambda: world.waiting() == 1)
        assert world.lives.living() == []
        await waiting.failed()
        assert isinstance(waiting.error, Stopped)
        late = LeaseClient(world, spec("good"))
        await late.run()
        assert isinstance(late.error, Stopped)
        held.done.set()


async def test_the_story_tells_what_was_done_and_why() -> None:
    async with scheduler_world() as (world, request):
        client = request(spec("good"), keep_alive=0.0)
        await client.granted()
        client.done.set()
        await until(lambda: world.states() == {})
        lines = [text for _, text in world.scheduler.story()]
    assert [text.split()[0] for text in lines] == ["start", "ready", "stop"]
    assert lines[0].endswith("on 100 MiB of CPU: wanted by request 1")


async def test_states_are_shown() -> None:
    async with scheduler_world() as (world, request):
        request(spec("slow"))
        await until(lambda: bool(world.lives.all))
        (info,) = world.scheduler.snapshot().runners
        assert (info.state, info.pid, info.expires) == (RunnerState.STARTING, None, None)


# Time


async def test_a_lease_says_how_long_it_took_and_how_much_of_that_was_loading() -> None:
    clock = SetClock()

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
    clock, lives = SetClock(), Lives()
    async with running(lives, clock=clock) as scheduler:
        for error in (StartFailed, StartFailed, BackingOff):
            with pytest.raises(error):
                async with scheduler.lease(spec("refuses")):
                    pass
        clock.now = 1.0
        with pytest.raises(StartFailed):
            async with scheduler.lease(spec("refuses")):
                pass
        with pytest.raises(BackingOff) as caught:
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
        with pytest.raises(BackingOff):
            async with scheduler.lease(spec("good")):
                pass


async def test_a_life_that_was_stable_makes_up_for_an_earlier_crash() -> None:
    clock, lives = SetClock(), Lives()
    async with running(lives, clock=clock) as scheduler:
        await crash(scheduler, lives)
        async with scheduler.lease(spec("good"), keep_alive=0.0):
            clock.now += 10.0
        await until(lambda: not lives.living())
        await crash(scheduler, lives)
        async with scheduler.lease(spec("good")):
            assert len(lives.all) == 4


async def test_of_two_busy_runners_the_one_that_is_drained_stays_the_same() -> None:
    clock, lives = SetClock(), Lives()
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
    clock, lives = SetClock(now=1.0), Lives()
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


# Leaving at every point on the way to a lease and out of it


async def test_leaving_the_line_gives_the_place_to_the_next() -> None:
    async with scheduler_world() as (world, request):
        held = request(spec("good"))
        await held.granted()
        leaver, stayer = request(spec("good")), request(spec("good"))
        await until(lambda: world.waiting() == 2)
        leaver.leave()
        held.done.set()
        await stayer.granted()
        assert leaver.lease is None
        assert world.waiting() == 0


async def test_leaving_while_holding_frees_the_slot() -> None:
    async with scheduler_world() as (_, request):
        holder = request(spec("good"))
        await holder.granted()
        following = request(spec("good"))
        holder.leave()
        await following.granted()


async def test_leaving_in_the_tick_of_the_grant_frees_the_slot() -> None:
    async with scheduler_world() as (world, request):
        holder = request(spec("good"))
        await holder.granted()
        waiting = request(spec("good"))
        await until(lambda: world.waiting() == 1)
        # Both in one turn of the loop: the grant is made, and nobody is there to take it.
        holder.done.set()
        await anyio.lowlevel.checkpoint()
        waiting.leave()
        await until(lambda: world.leases() == 0)
        following = request(spec("good"))
        await following.granted()


@pytest.mark.parametrize("turns", range(12))
async def test_leaving_after_any_number_of_turns_leaves_nothing_behind(turns: int) -> None:
    async with scheduler_world() as (world, request):
        slow = request(spec("slow"), keep_alive=0.0)
        good = request(spec("good"), keep_alive=0.0)
        for turn in range(turns):
            await anyio.lowlevel.checkpoint()
            if turn == 4:
                world.lives.of("slow")[0].go.set()
        slow.leave()
        good.leave()
        await until(lambda: world.states() == {})
        assert world.waiting() == 0


async def test_cancelling_the_scheduler_itself_ends_every_child() -> None:
    world = SchedulerWorld()
    holder = LeaseClient(world, spec("good"))
    with anyio.CancelScope() as scope:
        async with world.scheduler, anyio.create_task_group() as tasks:
            tasks.start_soon(holder.run)
            await holder.granted()
            scope.cancel()
    assert world.lives.living() == []
