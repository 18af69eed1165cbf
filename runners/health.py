"""When is a child ready? It says so on its standard output; one that does not is asked."""

from collections.abc import Awaitable, Callable

import anyio

from runners.child import Child
from runners.diagnose import cause_of, explain, last_words
from runners.errors import Cause, StartFailed

_SILENCE = 1.0
"""Seconds without an announcement after which the child is taken for one that makes none."""
_INTERVAL = 0.02

Ask = Callable[[], Awaitable[bool]]
"""Whether `/health` answers 200."""


async def wait_ready(child: Child, ask: Ask, stall: float) -> None:
    """Returns once the child is ready.

    Raises StartFailed if it exits, or neither writes nor progresses for `stall` seconds.
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
            while not await ask():  # noqa: ASYNC110 - a socket has no event to wait for
                await anyio.sleep(_INTERVAL)

        async def silence() -> None:
            nonlocal stalled
            await _silence(child, stall)
            stalled = True

        for wait in (child.ready.wait, child.exited.wait, poll, silence):
            tasks.start_soon(first, wait)
    if child.exited.is_set():
        raise failure(child)
    if stalled:
        raise _stalled(child, stall)


async def _silence(child: Child, stall: float) -> None:
    """Returns, and so ends the wait, once the child was silent for `stall` seconds."""
    if stall <= 0:
        await anyio.sleep_forever()
    while (left := child.activity + stall - anyio.current_time()) > 0:  # noqa: ASYNC110
        await anyio.sleep(left)


def _stalled(child: Child, stall: float) -> StartFailed:
    words = last_words(child.tail())
    return StartFailed(
        f"timed out waiting for llama-server to start - no progress for {stall:g} s"
        + (f": {words}" if words else ""),
        Cause.STALLED,
    )


def failure(child: Child) -> StartFailed:
    """Why a child ended before it was ready, in its own last words."""
    tail = child.tail()
    reason = explain(child.exit_code, tail)
    return StartFailed(
        f"llama-server process has terminated: {reason}", cause_of(child.exit_code, tail)
    )
