"""Readiness: announced, polled for, or never."""

from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from runners.errors import Cause, StartFailed
from runners.health import wait_ready
from tests.runners.test_child import running

pytestmark = pytest.mark.anyio

READY = 'cmd_child_to_router:state:{"state":"ready","payload":{}}'
LOADING = 'cmd_child_to_router:state:{"state":"loading","payload":{"value":0.5}}'
STAY = "\nimport time; time.sleep(60)"


async def never() -> bool:
    return False


async def test_an_announcement_is_believed_without_polling() -> None:
    async def refuse() -> bool:
        raise AssertionError("polled an engine that announces")

    async with running(f"print('{LOADING}'); print('{READY}', flush=True){STAY}") as child:
        await wait_ready(child, refuse, stall=10)


async def test_a_silent_engine_is_polled_until_it_is_ready() -> None:
    answers = iter([False, False, True])
    polls = 0

    async def healthy() -> bool:
        nonlocal polls
        polls += 1
        return next(answers)

    async with running(STAY) as child:
        await wait_ready(child, healthy, stall=10)
    assert polls == 3


async def test_an_exit_is_quoted_with_its_cause() -> None:
    script = (
        "import sys\n"
        'sys.stderr.write("0.00.004.215 E llama_model_load: error loading model: '
        "unknown model architecture: 'x'\\n\")\nsys.exit(1)"
    )
    async with running(script) as child:
        with pytest.raises(StartFailed) as caught:
            await wait_ready(child, never, stall=10)
    assert caught.value.cause is Cause.UNSUPPORTED
    assert caught.value.message == (
        "exit status 1: llama_model_load: error loading model: unknown model architecture: 'x'"
    )


async def test_no_progress_for_too_long_is_a_failure() -> None:
    async with running(f"print('{LOADING}', flush=True){STAY}") as child:
        with pytest.raises(StartFailed, match=r"no progress for 0\.2 s") as caught:
            await wait_ready(child, never, stall=0.2)
    assert caught.value.cause is Cause.STALLED


async def test_progress_keeps_a_slow_load_alive() -> None:
    script = (
        "import time\n"
        f"for _ in range(8): print('{LOADING}', flush=True); time.sleep(0.1)\n"
        f"print('{READY}', flush=True){STAY}"
    )
    async with running(script) as child:
        await wait_ready(child, never, stall=0.5)


async def test_without_a_limit_a_load_may_take_its_time(tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = (
        f"import os, time\nprint('{LOADING}', flush=True)\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.005)\n"
        f"print('{READY}', flush=True){STAY}"
    )
    async with AsyncExitStack() as stack:
        child = await stack.enter_async_context(running(script))
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(wait_ready, child, never, 0)
        await child.announced.wait()
        assert not child.ready.is_set()
        go.touch()
        await child.ready.wait()
