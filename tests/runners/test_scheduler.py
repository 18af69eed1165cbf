"""The scheduler with lives that do as they are told: who gets what, and what is left behind."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from runners.errors import Busy, CoolingDown, Crashed, RunnerError, StartFailed, Stopped, TooLarge
from runners.plan import cooling_for
from runners.records import Lease
from runners.scheduler import Scheduler
from runners.spec import Limits, Spec
from runners.states import State
from tests.fakes.supervise import REFUSAL, Lives, Room, Sizes, spec

pytestmark = pytest.mark.anyio

LIMITS = Limits(runners=10, queue=10, headroom=0.0, patience=60.0)


class World:
    """A scheduler, its lives, and clients that hold what they are given until told otherwise."""

    def __init__(self, limits: Limits, mib: int) -> None:
        self.lives = Lives()
        self.scheduler = Scheduler(limits, supervise=self.lives, oracle=Sizes(), probe=Room(mib))

    def states(self) -> dict[str, str]:
        return {
            runner.spec.digest: runner.state.value for runner in self.scheduler.snapshot().runners
        }

    async def until(self, true: Callable[[], bool]) -> None:
        """Let the others run until something is so."""
        with anyio.fail_after(10):
            while not true():
                await anyio.lowlevel.checkpoint()


class Client:
    """A request in its own task. `lease` is what it got, `error` why it did not."""

    def __init__(self, world: World, spec: Spec, keep_alive: float | None = None) -> None:
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

    def leave(self) -> None:
        self.scope.cancel()


Ask = Callable[..., Awaitable[Client]]


@asynccontextmanager
async def world(
    limits: Limits = LIMITS, mib: int = 1000
) -> AsyncIterator[tuple[World, Callable[..., Client]]]:
    """A running scheduler, and a function that sends it a request; all is checked at the end."""
    one = World(limits, mib)
    async with one.scheduler:
        async with anyio.create_task_group() as tasks:

            def ask(wanted: Spec, keep_alive: float | None = None) -> Client:
                client = Client(one, wanted, keep_alive)
                tasks.start_soon(client.run)
                return client

            with anyio.fail_after(20):
                yield one, ask
            one.scheduler.validate()
            tasks.cancel_scope.cancel()
    assert one.lives.living() == []
    assert one.scheduler.snapshot().runners == ()
    assert one.scheduler.snapshot().waiting == 0


async def test_requests_for_one_model_share_a_load() -> None:
    async with world() as (one, ask):
        clients = [ask(spec("slow", parallel=2)) for _ in range(2)]
        await one.until(lambda: bool(one.lives.all))
        one.lives.all[0].go.set()
        await one.until(lambda: all(client.lease for client in clients))
        assert len(one.lives.all) == 1


async def test_a_full_runner_is_waited_for_and_not_doubled() -> None:
    async with world() as (one, ask):
        first = ask(spec("good"))
        await one.until(lambda: first.lease is not None)
        second = ask(spec("good"))
        await one.until(lambda: one.scheduler.snapshot().waiting == 1)
        first.done.set()
        await one.until(lambda: second.lease is not None)
        assert len(one.lives.all) == 1


async def test_loads_of_two_models_overlap() -> None:
    async with world() as (one, ask):
        clients = [ask(spec("slow a")), ask(spec("slow b"))]
        await one.until(lambda: len(one.lives.all) == 2)
        for life in reversed(one.lives.all):
            life.go.set()
        await one.until(lambda: all(client.lease for client in clients))


async def test_what_can_run_does_not_wait_for_what_cannot() -> None:
    async with world(mib=250) as (one, ask):
        busy = ask(spec("good a", mib=200))
        await one.until(lambda: busy.lease is not None)
        large = ask(spec("good b", mib=200))
        small = ask(spec("good c", mib=40))
        await one.until(lambda: small.lease is not None)
        assert large.lease is None
        busy.done.set()
        await one.until(lambda: large.lease is not None)


async def test_an_idle_runner_stays_and_is_used_again() -> None:
    async with world() as (one, ask):
        for _ in range(3):
            client = ask(spec("good"))
            await one.until(lambda client=client: client.lease is not None)  # type: ignore[misc]
            client.done.set()
            await one.until(lambda: one.scheduler.snapshot().runners[0].leases == 0)
        assert len(one.lives.all) == 1


async def test_a_keep_alive_of_nothing_lets_the_runner_go_when_idle() -> None:
    async with world() as (one, ask):
        client = ask(spec("good"), keep_alive=0.0)
        await one.until(lambda: client.lease is not None)
        assert one.states() == {"good": "ready"}
        client.done.set()
        await one.until(lambda: one.states() == {})


async def test_a_keep_alive_runs_out_by_itself() -> None:
    async with world() as (one, ask):
        client = ask(spec("good"), keep_alive=0.03)
        await one.until(lambda: client.lease is not None)
        client.done.set()
        await one.until(lambda: one.states() == {})
        assert "idle past its keep alive" in one.scheduler.story()[-1][1]


async def test_a_keep_alive_holds_for_later_requests_that_name_none() -> None:
    async with world() as (one, ask):
        for wanted, kept in ((math.inf, math.inf), (None, math.inf), (7.0, 7.0)):
            client = ask(spec("good"), keep_alive=wanted)
            await one.until(lambda client=client: client.lease is not None)  # type: ignore[misc]
            assert one.scheduler.snapshot().runners[0].keep_alive == kept
            client.done.set()


async def test_without_any_keep_alive_the_default_holds() -> None:
    async with world(replace(LIMITS, keep_alive=0.02)) as (one, ask):
        client = ask(spec("good"))
        await one.until(lambda: client.lease is not None)
        client.done.set()
        await one.until(lambda: one.states() == {})


async def test_expire_stops_an_idle_runner_now_and_a_busy_one_when_idle() -> None:
    async with world() as (one, ask):
        idle, busy = ask(spec("good a")), ask(spec("good b"))
        await one.until(lambda: bool(idle.lease and busy.lease))
        idle.done.set()
        await one.until(lambda: sum(r.leases for r in one.scheduler.snapshot().runners) == 1)
        assert one.scheduler.expire("good a")
        assert one.scheduler.expire("good b")
        assert not one.scheduler.expire("good c")
        await one.until(lambda: one.states() == {"good b": "ready"})
        busy.done.set()
        await one.until(lambda: one.states() == {})


async def test_the_least_recently_used_idle_runner_makes_room() -> None:
    async with world(replace(LIMITS, runners=2)) as (one, ask):
        for name in ("good a", "good b", "good a"):
            client = ask(spec(name))
            await one.until(lambda client=client: client.lease is not None)  # type: ignore[misc]
            client.done.set()
            await one.until(lambda: not any(r.leases for r in one.scheduler.snapshot().runners))
        third = ask(spec("good c"))
        await one.until(lambda: third.lease is not None)
        assert one.states() == {"good a": "ready", "good c": "ready"}


async def test_a_busy_runner_is_never_stopped() -> None:
    async with world(replace(LIMITS, runners=1)) as (one, ask):
        busy = ask(spec("good a"))
        await one.until(lambda: busy.lease is not None)
        other = ask(spec("good b"))
        await one.until(lambda: one.scheduler.snapshot().waiting == 1)
        assert not one.lives.of("good a")[0].stop.is_set()
        busy.done.set()
        await one.until(lambda: other.lease is not None)


async def test_memory_comes_back_only_when_the_process_is_gone() -> None:
    async with world(mib=150) as (one, ask):
        first = ask(spec("stubborn"))
        await one.until(lambda: first.lease is not None)
        first.done.set()
        second = ask(spec("good"))
        await one.until(lambda: one.states() == {"stubborn": "stopping"})
        assert second.lease is None
        one.lives.all[0].go.set()
        await one.until(lambda: second.lease is not None)


async def test_a_steady_stream_does_not_starve_another_model() -> None:
    limits = replace(LIMITS, runners=1, patience=0.02)
    async with world(limits) as (one, ask):
        current = ask(spec("good a", parallel=2))
        await one.until(lambda: current.lease is not None)
        other = ask(spec("good b"))
        rounds = 0
        while other.lease is None and rounds < 100_000:
            following = ask(spec("good a", parallel=2))
            await anyio.sleep(0.001)
            current.done.set()
            current, rounds = following, rounds + 1
        assert other.lease is not None
        other.done.set()
        await one.until(lambda: current.lease is not None)


async def test_the_waiting_line_is_bounded() -> None:
    async with world(replace(LIMITS, queue=1)) as (one, ask):
        held = ask(spec("good"))
        await one.until(lambda: held.lease is not None)
        waiting = ask(spec("good"))
        await one.until(lambda: one.scheduler.snapshot().waiting == 1)
        refused = ask(spec("good"))
        await one.until(lambda: refused.error is not None)
        assert isinstance(refused.error, Busy)
        assert "server busy, please try again.  maximum" in refused.error.message
        held.done.set()
        await one.until(lambda: waiting.lease is not None)


async def test_what_can_never_fit_is_refused() -> None:
    async with world(mib=100) as (one, ask):
        client = ask(spec("good", mib=101))
        await one.until(lambda: client.error is not None)
        assert isinstance(client.error, TooLarge)
        assert one.lives.all == []


async def test_a_failed_start_fails_all_who_waited_and_is_not_tried_again_by_itself() -> None:
    async with world() as (one, ask):
        clients = [ask(spec("refuses")) for _ in range(3)]
        await one.until(lambda: all(client.error for client in clients))
        assert {type(client.error) for client in clients} == {StartFailed}
        assert {str(client.error) for client in clients} == {REFUSAL}
        assert len(one.lives.all) == 1


async def test_repeated_failures_cool_down_and_say_why() -> None:
    async with world() as (one, ask):
        errors = []
        for _ in range(3):
            client = ask(spec("refuses"))
            await one.until(lambda client=client: client.error is not None)  # type: ignore[misc]
            errors.append(client.error)
        assert [type(error) for error in errors] == [StartFailed, StartFailed, CoolingDown]
        assert isinstance(errors[2], CoolingDown)
        assert REFUSAL in errors[2].message
        assert 0 < errors[2].retry_after <= 1
        assert len(one.lives.all) == 2


def test_cooling_grows_and_is_bounded() -> None:
    assert [cooling_for(n) for n in (0, 1, 2, 3, 4, 7, 8, 9, 99)] == [
        *(0, 0, 1, 2, 4, 32),
        *(60, 60, 60),
    ]


async def test_a_crash_is_over_at_once_and_the_next_request_starts_anew() -> None:
    async with world() as (one, ask):
        client, bystander = ask(spec("good a")), ask(spec("good b"))
        await one.until(lambda: bool(client.lease and bystander.lease))
        assert client.lease is not None
        one.lives.of("good a")[0].crash()
        await client.lease.runner.ended.wait()
        assert isinstance(client.lease.runner.ending, Crashed)
        assert one.states() == {"good b": "ready"}
        again = ask(spec("good a"))
        await one.until(lambda: again.lease is not None)
        assert len(one.lives.of("good a")) == 2
        assert not one.lives.of("good b")[0].over


async def test_an_idle_crash_leaves_no_runner_behind() -> None:
    async with world() as (one, ask):
        client = ask(spec("good"))
        await one.until(lambda: client.lease is not None)
        client.done.set()
        one.lives.all[0].crash()
        await one.until(lambda: one.states() == {})


async def test_a_load_survives_its_first_requester_if_another_waits() -> None:
    async with world() as (one, ask):
        first, second = ask(spec("slow")), ask(spec("slow"))
        await one.until(lambda: one.scheduler.snapshot().waiting == 2)
        first.leave()
        await one.until(lambda: one.scheduler.snapshot().waiting == 1)
        one.lives.all[0].go.set()
        await one.until(lambda: second.lease is not None)
        assert len(one.lives.all) == 1


async def test_a_load_that_nobody_waits_for_is_stopped() -> None:
    async with world() as (one, ask):
        client = ask(spec("slow"))
        await one.until(lambda: bool(one.lives.all))
        client.leave()
        await one.until(lambda: one.states() == {})
        assert one.lives.all[0].stop.is_set()


async def test_closing_rejects_who_waits_and_ends_who_lives() -> None:
    one = World(LIMITS, 1000)
    held, waiting = Client(one, spec("good")), Client(one, spec("good"))
    async with anyio.create_task_group() as tasks:
        async with one.scheduler:
            tasks.start_soon(held.run)
            await one.until(lambda: held.lease is not None)
            tasks.start_soon(waiting.run)
            await one.until(lambda: one.scheduler.snapshot().waiting == 1)
        assert one.lives.living() == []
        await one.until(lambda: waiting.error is not None)
        assert isinstance(waiting.error, Stopped)
        late = Client(one, spec("good"))
        await late.run()
        assert isinstance(late.error, Stopped)
        held.done.set()


async def test_the_story_tells_what_was_done_and_why() -> None:
    async with world() as (one, ask):
        client = ask(spec("good"), keep_alive=0.0)
        await one.until(lambda: client.lease is not None)
        client.done.set()
        await one.until(lambda: one.states() == {})
        told = [text for _, text in one.scheduler.story()]
    assert [text.split()[0] for text in told] == ["start", "ready", "stop"]
    assert told[0].endswith("on 100 MiB of CPU: wanted by request 1")


async def test_states_are_shown() -> None:
    async with world() as (one, ask):
        ask(spec("slow"))
        await one.until(lambda: bool(one.lives.all))
        (info,) = one.scheduler.snapshot().runners
        assert (info.state, info.pid, info.expires) == (State.STARTING, None, None)
