"""One OS process: spawned in a group of its own, its output read, stopped in steps and reaped."""

import contextlib
import json
import os
import signal
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio.abc import ByteReceiveStream, Process

from runners.errors import Cause, StartFailed

# llama-server's protocol between a router and its children: states on standard output, one JSON
# object after this mark; the exit line on standard input.
_STATE_MARK = b"cmd_child_to_router:state:"
_EXIT_LINE = b"cmd_router_to_child:exit\n"
# An idle engine ends some 10 ms after the exit line. One that reads the line in the very moment in
# which it becomes ready forgets it, so there is no use in waiting for as long as for a signal.
_EXIT_LINE_WAIT = 0.5
# A grandchild, such as a debugger that writes down a crash, may hold the pipes open for ever.
_PIPE_WAIT = 0.5
# Only the end of the output is kept: it says why the process ended.
_TAIL_LINES = 200
_MAX_LINE = 4096


@dataclass(slots=True)
class ChildProcess:
    process: Process
    announced: anyio.Event = field(default_factory=anyio.Event)
    """It has printed one of its states: it speaks the protocol of a router's child."""
    ready: anyio.Event = field(default_factory=anyio.Event)
    """It has announced that its model is loaded."""
    exited: anyio.Event = field(default_factory=anyio.Event)
    """Set once it is reaped and its output read to the end."""
    activity: float = 0.0
    """When it last wrote anything, by the event loop's clock."""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """Negative for a signal; None while it runs."""
        return self.process.returncode

    def tail(self) -> str:
        """The last lines of its output, both streams together."""
        return "\n".join(self.lines)

    def signal(self, number: int) -> None:
        # To the whole group, which it leads: what it started must not outlive it.
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    async def stop(self, grace: float) -> None:
        """Exit line, SIGTERM, then after `grace` seconds SIGKILL; returns when it is reaped."""
        # While it loads it reads no exit line, and has no handler for SIGTERM, which therefore ends
        # it at once.
        if self.ready.is_set() and not self.exited.is_set():
            with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                assert self.process.stdin is not None
                await self.process.stdin.send(_EXIT_LINE)
            with anyio.move_on_after(min(grace, _EXIT_LINE_WAIT)):
                await self.exited.wait()
        # After SIGTERM an idle engine ends in a fraction of a second, but one with a call in flight
        # not before the other side has closed that connection: hence a deadline, and SIGKILL.
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.signal(number)
            with anyio.move_on_after(grace):
                await self.exited.wait()
                return
        await self.exited.wait()


async def spawn(
    program: Path, arguments: Sequence[str], environment: Mapping[str, str]
) -> ChildProcess:
    """Start `program`; whoever calls runs `reap` beside it and ends with `stop`.

    Raises StartFailed if there is nothing to run.
    """
    # Its standard input is a pipe that stays open: when it closes, because the gateway was killed,
    # the engine ends itself. So no runner outlives its gateway, with no one left to end it.
    # A session of its own keeps a Ctrl-C in the gateway's terminal from it: the gateway first lets
    # the requests come to their end.
    try:
        process = await anyio.open_process(
            [str(program), *arguments], env=environment, start_new_session=True
        )
    except OSError as exc:
        raise StartFailed(f"engine {program} cannot be started: {exc}", Cause.ENGINE) from exc
    return ChildProcess(process, activity=anyio.current_time())


async def reap(child: ChildProcess) -> None:
    """Read both pipes to their ends and wait for the exit status. Not cancelled: stop the child."""
    process = child.process
    # Shielded, because a process whose pipes nobody reads stops at the first full one, and one that
    # nobody waits for stays a zombie.
    with anyio.CancelScope(shield=True):
        async with anyio.create_task_group() as tasks:
            assert process.stdout is not None
            assert process.stderr is not None
            tasks.start_soon(_drain, child, process.stdout, True)
            tasks.start_soon(_drain, child, process.stderr, False)
            await process.wait()
            tasks.cancel_scope.deadline = anyio.current_time() + _PIPE_WAIT
        child.exited.set()
        with contextlib.suppress(OSError):
            await process.aclose()


async def _drain(child: ChildProcess, stream: ByteReceiveStream, announces: bool) -> None:
    rest = b""
    with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        while True:
            data = rest + await stream.receive(65536)
            child.activity = anyio.current_time()
            *lines, rest = data.split(b"\n")
            # A line without an end must not fill the memory.
            rest = rest[-_MAX_LINE:]
            for line in lines:
                _note(child, line, announces)
    if rest:
        _note(child, rest, announces)


def _note(child: ChildProcess, line: bytes, announces: bool) -> None:
    if announces and line.startswith(_STATE_MARK):
        child.announced.set()
        with contextlib.suppress(ValueError):
            if json.loads(line[len(_STATE_MARK) :]).get("state") == "ready":
                child.ready.set()
    elif text := line[:_MAX_LINE].decode("utf-8", "replace").rstrip():
        child.lines.append(text)
