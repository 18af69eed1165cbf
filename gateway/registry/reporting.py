"""Progress of a transfer: one line a layer, as often as a client can use it."""

from collections.abc import Awaitable, Callable, Mapping

import anyio

from gateway.errors import GatewayError

ProgressSink = Callable[[Mapping[str, object]], Awaitable[None]]
"""Takes one object of progress."""

# Ollama's period.
REPORT_PERIOD = 0.06
"""Seconds between two lines of one layer."""


def line(verb: str, digest: str, total: int, completed: int) -> dict[str, object]:
    """One object of progress; numbers that are 0 are left out, as Ollama does."""
    counts = {"total": total, "completed": completed}
    return {
        "status": f"{verb} {digest.removeprefix('sha256:')[:12]}",
        "digest": digest,
        **{key: value for key, value in counts.items() if value},
    }


async def with_progress(
    work: Callable[[], Awaitable[None]],
    look: Callable[[], Mapping[str, object]],
    report: ProgressSink,
) -> None:
    """Do the work, and report what `look` sees of it whenever that has changed; its end always."""
    ended = anyio.Event()
    failure: Exception | None = None

    async def watch() -> None:
        last: Mapping[str, object] = {}
        while not ended.is_set():
            # Waiting first: what is over at once has its last line only.
            with anyio.move_on_after(REPORT_PERIOD):
                await ended.wait()
            if not ended.is_set() and (seen := look()) != last:
                last = seen
                await report(seen)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        try:
            await work()
        # Carried out of the task group, which would wrap it in an ExceptionGroup that no caller
        # expects.
        except (GatewayError, OSError) as error:
            failure = error
        finally:
            ended.set()
    if failure is not None:
        raise failure
    await report(look())
