"""One real process: the end of its output is kept, and it ends, even if it ignores signals."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import psutil
import pytest

from runners.child import ChildProcess, reap, spawn
from runners.errors import Cause, StartFailed

pytestmark = pytest.mark.anyio

READY = 'print(\'cmd_child_to_router:state:{"state":"ready"}\', flush=True)\n'
LISTEN = "import sys\nsys.exit(0 if 'exit' in sys.stdin.readline() else 3)"
STAY = "\nprint('up', flush=True)\ntime.sleep(60)"
DEAF = f"import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN){STAY}"
POLITE = f"import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(4)){STAY}"
GRANDCHILD = (
    "import subprocess, sys, time\n"
    "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(p.pid, flush=True)\ntime.sleep(60)"
)


@asynccontextmanager
async def running(script: str) -> AsyncIterator[ChildProcess]:
    child = await spawn(Path(sys.executable), ["-c", script], dict(os.environ))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reap, child)
        try:
            with anyio.fail_after(20):
                yield child
        finally:
            child.signal(signal.SIGKILL)


async def first_output(child: ChildProcess) -> str:
    """Waits for it."""
    while not child.tail():
        await anyio.sleep(0.005)
    return child.tail()


async def test_an_exit_is_noticed_with_its_code() -> None:
    async with running("import sys; sys.exit(7)") as child:
        await child.exited.wait()
        assert child.exit_code == 7


async def test_a_signal_is_a_negative_code() -> None:
    async with running("import os; os.abort()") as child:
        await child.exited.wait()
        assert child.exit_code == -signal.SIGABRT


async def test_both_outputs_are_drained_beyond_a_pipes_size_and_the_end_is_kept() -> None:
    script = (
        "import sys\n"
        "for n in range(4000):\n"
        "    print('o' * 100, n)\n"
        "    print('e' * 100, n, file=sys.stderr)\n"
    )
    async with running(script) as child:
        await child.exited.wait()
        lines = child.tail().splitlines()
        assert len(lines) == 200
        assert {f"{letter * 100} 3999" for letter in "oe"} & set(lines)


async def test_a_line_without_an_end_is_kept_too() -> None:
    async with running("import sys; sys.stderr.write('no newline')") as child:
        await child.exited.wait()
        assert child.tail() == "no newline"


async def test_a_line_of_any_length_takes_bounded_memory() -> None:
    async with running("print('x' * 1_000_000)") as child:
        await child.exited.wait()
        assert 0 < len(child.tail()) <= 8192


async def test_states_are_read_and_not_kept_as_output() -> None:
    script = (
        'print(\'cmd_child_to_router:state:{"state":"loading"}\', flush=True)\n'
        "print('cmd_child_to_router:state:not json', flush=True)\n"
        'print(\'cmd_child_to_router:state:{"state":"ready"}\', flush=True)\n'
    )
    async with running(script) as child:
        await child.ready.wait()
        assert child.announced.is_set()
        await child.exited.wait()
        assert child.tail() == ""


async def test_stopping_begins_with_the_exit_line() -> None:
    async with running(READY + LISTEN) as child:
        await child.ready.wait()
        await child.stop(grace=10)
        assert child.exit_code == 0


async def test_stopping_does_not_wait_for_one_that_still_loads() -> None:
    async with running(POLITE) as child:
        await first_output(child)
        await child.stop(grace=60)
        assert child.exit_code == 4


async def test_stopping_terminates_what_ignores_the_exit_line() -> None:
    async with running(READY + POLITE) as child:
        await first_output(child)
        await child.stop(grace=0.05)
        assert child.exit_code == 4


async def test_stopping_does_not_wait_long_for_one_that_loses_the_exit_line() -> None:
    async with running(READY + POLITE) as child:
        await first_output(child)
        await child.stop(grace=60)
        assert child.exit_code == 4


async def test_stopping_ends_with_a_kill() -> None:
    async with running(DEAF) as child:
        await first_output(child)
        await child.stop(grace=0.05)
        assert child.exit_code == -signal.SIGKILL


async def test_stopping_what_has_ended_returns_at_once() -> None:
    async with running("pass") as child:
        await child.exited.wait()
        await child.stop(grace=60)
        assert child.exit_code == 0


async def test_a_grandchild_goes_with_its_group_and_does_not_hold_us_up() -> None:
    async with running(GRANDCHILD) as child:
        pid = int(await first_output(child))
        await child.stop(grace=0.05)
        with anyio.fail_after(5):
            while psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie":
                await anyio.sleep(0.005)


async def test_the_child_leads_a_group_of_its_own() -> None:
    async with running(LISTEN) as child:
        assert os.getpgid(child.pid) == child.pid != os.getpgid(0)


async def test_what_is_not_there_cannot_be_started() -> None:
    with pytest.raises(StartFailed, match="cannot be started") as caught:
        await spawn(Path("/nowhere/llama-server"), [], {})
    assert caught.value.cause is Cause.ENGINE
