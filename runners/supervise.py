"""One runner's life: spawned, ready, watched, stopped. It reports ready, and how the life ended."""

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import anyio

from runners.child import reap, spawn
from runners.diagnose import explain
from runners.engine import Engine
from runners.errors import Crashed, RunnerError, StartFailed
from runners.flags import argv, environment
from runners.health import wait_ready
from runners.rundir import forget, record
from runners.spec import Placement, Spec
from runners.upstream import healthy


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a ready runner is reached."""

    socket: Path
    pid: int
    seconds: float
    """From spawn to ready."""


Supervise = Callable[
    [int, Spec, Placement, Callable[[Endpoint], None], anyio.Event],
    Awaitable[RunnerError | None],
]
"""What the scheduler calls for each runner: a Supervisor, or a fake of one. See its `__call__`."""


@dataclass(frozen=True, slots=True)
class Supervisor:
    """Runs runners of one engine, their sockets in one folder.

    `stall`: seconds without progress after which a load has failed, 0 for never; `grace`: seconds
    between the signals that end a process.
    """

    engine: Engine
    folder: Path
    stall: float = 300.0
    grace: float = 5.0

    async def __call__(
        self,
        number: int,
        spec: Spec,
        placement: Placement,
        ready: Callable[[Endpoint], None],
        stop: anyio.Event,
    ) -> RunnerError | None:
        """Live one life; None if it ended because `stop` was set, else why it ended."""
        # A UNIX socket for each runner, in a folder that only this user can enter: no ports that
        # two runners could race for, and no second door to the model beside the gateway.
        socket = self.folder / f"{number}.sock"
        began = time.perf_counter()
        try:
            child = await spawn(
                self.engine.server, argv(spec, placement, socket), environment(os.environ)
            )
        except StartFailed as error:
            return error
        record(self.folder, number, child.pid)

        async def live() -> RunnerError | None:
            try:
                await wait_ready(child, lambda: healthy(socket), self.stall)
            except StartFailed as error:
                return error
            ready(Endpoint(socket, child.pid, time.perf_counter() - began))
            await child.exited.wait()
            return Crashed(explain(child.exit_code, child.tail()))

        ending: RunnerError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reap, child)
            try:
                async with anyio.create_task_group() as race:

                    async def end_on_stop() -> None:
                        await stop.wait()
                        race.cancel_scope.cancel()

                    race.start_soon(end_on_stop)
                    ending = await live()
                    race.cancel_scope.cancel()
            finally:
                # Shielded: a cancelled supervisor still has a process to end.
                with anyio.CancelScope(shield=True):
                    await child.stop(self.grace)
                    forget(self.folder, number)
        # A process that ended while it was being stopped did what it should.
        return None if stop.is_set() else ending
