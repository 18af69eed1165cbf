"""When a runner is ready: it announces that on its standard output, or answers `/health`."""

from collections.abc import Awaitable, Callable

import anyio

from runners.child import ChildProcess
from runners.diagnose import cause_of, explain, last_words
from runners.errors import Cause, StartFailed

# An announcement comes at once, and polling is late by half its interval on average; so an engine
# that speaks the protocol of a router's child is never polled. One that has announced nothing for a
# second is taken for one that does not speak it.
_SILENCE = 1.0
_POLL_INTERVAL = 0.02

HealthCheck = Callable[[], Awaitable[bool]]
"""Whether `/health` answers 200."""


async def wait_ready(child: ChildProcess, healthy: HealthCheck, stall: float) -> None:
    """Returns once the runner is ready.

    Raises StartFailed if its process exits, or writes nothing for `stall` seconds (0: for ever).
    """
    stalled = False
    async with anyio.create_task_group() as tasks:

        async def first(wait: Callable[[], Awaitable[object]]) -> None:
            await wait()
            tasks.cancel_scope.cancel()

        async def poll() -> None:
            with anyio.move_on_after(_SILENCE):
                await child.announced.wait()
            if child.announced.is_set():
                await anyio.sleep_forever()
            while not await healthy():  # noqa: ASYNC110 - a socket has no event to wait for
                await anyio.sleep(_POLL_INTERVAL)

        async def silence() -> None:
            # The length of a load says nothing: a large model from a slow disk takes minutes. But
            # the engine writes lines and announcements on its way.
            nonlocal stalled
            if stall <= 0:
                await anyio.sleep_forever()
            while (left := child.activity + stall - anyio.current_time()) > 0:  # noqa: ASYNC110
                await anyio.sleep(left)
            stalled = True

        for wait in (child.ready.wait, child.exited.wait, poll, silence):
            tasks.start_soon(first, wait)
    tail = child.tail()
    # Several may be true at once; the exit status says most.
    if child.exited.is_set():
        raise StartFailed(explain(child.exit_code, tail), cause_of(child.exit_code, tail))
    if stalled:
        words = last_words(tail)
        raise StartFailed(
            f"no progress for {stall:g} s" + (f": {words}" if words else ""), Cause.STALLED
        )
