"""What the recorder keeps of the calls it sees, and the commands it takes."""

import asyncio
import sys
import threading
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from bench.profiled import START, STOP, Recorder, obey

ROOT = Path("/checkout")


def function(path: str, source: str) -> Callable[..., Any]:
    """The `f` that `source` defines, as if it stood in this file of the checkout."""
    names: dict[str, Callable[..., Any]] = {}
    exec(compile(source, str(ROOT / path), "exec"), names)
    return names["f"]


PLAIN = function("gateway/a.py", "def f(): pass")
RUNNER = function("runners/inner/b.py", "def f(): pass")
TESTS = function("tests/c.py", "def f(): pass")
ALIKE = function("gateway_two/d.py", "def f(): pass")
COROUTINE = function("gateway/e.py", "async def f(): pass")
GENERATOR = function("gateway/g.py", "def f(): yield from ()")
STREAM = function(
    "gateway/h.py",
    """
async def words():
    yield 1
def f():
    return words().__anext__()
""",
)


def recorded(*actions: Callable[[], object]) -> dict[str, bool]:
    recorder = Recorder(ROOT)
    recorder.start()
    before = sys.getprofile()
    sys.setprofile(recorder)
    try:
        for action in actions:
            action()
    finally:
        sys.setprofile(before)
    return recorder.stop()


def test_files_are_in_order_of_first_entry_and_only_those_of_the_product() -> None:
    entered = recorded(RUNNER, TESTS, PLAIN, ALIKE, RUNNER)
    assert list(entered.items()) == [("runners/inner/b.py", False), ("gateway/a.py", False)]


def test_coroutines_and_asynchronous_generators_are_marked_and_plain_generators_are_not() -> None:
    async def use() -> None:
        await COROUTINE()
        list(GENERATOR())
        await STREAM()

    assert recorded(lambda: asyncio.run(use())) == {
        "gateway/e.py": True,
        "gateway/g.py": False,
        "gateway/h.py": True,
    }


def test_a_recording_begins_and_ends_by_command() -> None:
    ours, theirs = Pipe()
    recorder = Recorder(ROOT)
    server = threading.Thread(target=obey, args=(theirs, recorder))
    server.start()
    before = sys.getprofile()
    sys.setprofile(recorder)
    try:
        PLAIN()
        ours.send(START)
        assert ours.recv() is None
        RUNNER()
        ours.send(STOP)
        first = ours.recv()
        PLAIN()
        ours.send(START)
        assert ours.recv() is None
        ours.send(STOP)
        second = ours.recv()
    finally:
        sys.setprofile(before)
    ours.close()
    server.join()
    assert (first, second) == ({"runners/inner/b.py": False}, {})
