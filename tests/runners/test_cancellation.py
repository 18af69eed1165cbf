"""Leaving at every point on the way to a lease and out of it: nothing stays held."""

import anyio
import anyio.lowlevel
import pytest

from tests.fakes.supervise import spec
from tests.runners.test_scheduler import LIMITS, Client, World, world

pytestmark = pytest.mark.anyio


async def test_leaving_the_line_gives_the_place_to_the_next() -> None:
    async with world() as (one, ask):
        held = ask(spec("good"))
        await one.until(lambda: held.lease is not None)
        leaver, stayer = ask(spec("good")), ask(spec("good"))
        await one.until(lambda: one.scheduler.snapshot().waiting == 2)
        leaver.leave()
        held.done.set()
        await one.until(lambda: stayer.lease is not None)
        assert leaver.lease is None
        assert one.scheduler.snapshot().waiting == 0


async def test_leaving_while_holding_frees_the_slot() -> None:
    async with world() as (one, ask):
        holder = ask(spec("good"))
        await one.until(lambda: holder.lease is not None)
        following = ask(spec("good"))
        holder.leave()
        await one.until(lambda: following.lease is not None)


async def test_leaving_in_the_tick_of_the_grant_frees_the_slot() -> None:
    async with world() as (one, ask):
        holder = ask(spec("good"))
        await one.until(lambda: holder.lease is not None)
        waiting = ask(spec("good"))
        await one.until(lambda: one.scheduler.snapshot().waiting == 1)
        # Both in one turn of the loop: the grant is made, and nobody is there to take it.
        holder.done.set()
        await anyio.lowlevel.checkpoint()
        waiting.leave()
        await one.until(lambda: not any(r.leases for r in one.scheduler.snapshot().runners))
        following = ask(spec("good"))
        await one.until(lambda: following.lease is not None)


@pytest.mark.parametrize("turns", range(12))
async def test_leaving_after_any_number_of_turns_leaves_nothing_behind(turns: int) -> None:
    async with world() as (one, ask):
        slow = ask(spec("slow"), keep_alive=0.0)
        good = ask(spec("good"), keep_alive=0.0)
        for turn in range(turns):
            await anyio.lowlevel.checkpoint()
            if turn == 4:
                one.lives.of("slow")[0].go.set()
        slow.leave()
        good.leave()
        await one.until(lambda: one.states() == {})
        assert one.scheduler.snapshot().waiting == 0


async def test_cancelling_the_scheduler_itself_ends_every_child() -> None:
    one = World(LIMITS, 1000)
    holder = Client(one, spec("good"))
    with anyio.CancelScope() as scope:
        async with one.scheduler, anyio.create_task_group() as tasks:
            tasks.start_soon(holder.run)
            await one.until(lambda: holder.lease is not None)
            scope.cancel()
    assert one.lives.living() == []
