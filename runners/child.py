"""One OS process: spawned in its own group, its output drained, stopped by a ladder and reaped."""

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

_STATE = b"cmd_child_to_router:state:"
_EXIT = b"cmd_router_to_child:exit\n"
_HEEDS = 0.5
"""Seconds within which the engine ends if it heard that it should. Told in the very moment in which
it becomes ready, it hears and forgets."""
_TAIL_LINES = 200
_LINE = 4096


@dataclass(slots=True)
class Child:
    """A running child; `tail()` is the end of what it said."""

    process: Process
    announced: anyio.Event = field(default_factory=anyio.Event)
    """It has told one of its states: it speaks the protocol of a router's child."""
    ready: anyio.Event = field(default_factory=anyio.Event)
    """It has announced that its model is loaded."""
    exited: anyio.Event = field(default_factory=anyio.Event)
    """Set once the child is reaped and its output read to the end."""
    activity: float = 0.0
    """When it last wrote anything, by the event loop's clock."""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """Negative for a signal; None while it lives."""
        return self.process.returncode

    def tail(self) -> str:
        return "\n".join(self.lines)

    def signal(self, number: int) -> None:
        """To the whole group: the child is its leader."""
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    async def stop(self, grace: float) -> None:
        """Ask, then terminate, then kill after `grace` seconds; returns when it is reaped.

        Who still loads does not listen, and is terminated at once.
        """
        if self.ready.is_set() and not self.exited.is_set():
            with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                assert self.process.stdin is not None
                await self.process.stdin.send(_EXIT)
            with anyio.move_on_after(min(grace, _HEEDS)):
                await self.exited.wait()
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.signal(number)
            with anyio.move_on_after(grace):
                await self.exited.wait()
                return
        await self.exited.wait()


async def spawn(program: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> Child:
    """Start `program`; whoever calls runs `reap` beside it and ends with `stop`.

    Its standard input stays open: the engine ends itself when that closes, so that no child
    outlives a killed gateway. Raises StartFailed if there is nothing to run.
    """
    try:
        process = await anyio.open_process(
            [str(program), *arguments], env=environment, start_new_session=True
        )
    except OSError as exc:
        raise StartFailed(f"engine {program} cannot be started: {exc}", Cause.ENGINE) from exc
    return Child(process, activity=anyio.current_time())


async def reap(child: Child) -> None:
    """Read both pipes to their ends and wait for the exit status. Not cancelled: stop the child."""
    process = child.process
    with anyio.CancelScope(shield=True):
        async with anyio.create_task_group() as tasks:
            assert process.stdout is not None
            assert process.stderr is not None
            tasks.start_soon(_drain, child, process.stdout, True)
            tasks.start_soon(_drain, child, process.stderr, False)
            await process.wait()
            # A grandchild may hold the pipes open; what the child itself wrote is read by then.
            tasks.cancel_scope.deadline = anyio.current_time() + 0.5
        child.exited.set()
        with contextlib.suppress(OSError):
            await process.aclose()


async def _drain(child: Child, stream: ByteReceiveStream, announces: bool) -> None:
    rest = b""
    with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        while True:
            data = rest + await stream.receive(65536)
            child.activity = anyio.current_time()
            *lines, rest = data.split(b"\n")
            rest = rest[-_LINE:]
            for line in lines:
                _note(child, line, announces)
    if rest:
        _note(child, rest, announces)


def _note(child: Child, line: bytes, announces: bool) -> None:
    if announces and line.startswith(_STATE):
        child.announced.set()
        with contextlib.suppress(ValueError):
            if json.loads(line[len(_STATE) :]).get("state") == "ready":
                child.ready.set()
    elif text := line[:_LINE].decode("utf-8", "replace").rstrip():
        child.lines.append(text)
