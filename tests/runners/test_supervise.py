"""One runner's whole life, with an engine that misbehaves on demand."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import anyio
import psutil
import pytest

from runners.engine import find
from runners.errors import Cause, Crashed, RunnerError, StartFailed
from runners.spec import Placement, Spec
from runners.supervise import Endpoint, Supervisor
from runners.upstream import open_call
from tests.fakes.engine import fake_engine

pytestmark = pytest.mark.anyio

PLACE = Placement(shares=(("CPU", 1),))


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


class Life:
    """A life under way: `ready` and `stop` are events, `ending` is there when it has `ended`."""

    def __init__(self, supervisor: Supervisor, model: Path) -> None:
        self.supervisor = supervisor
        self.spec = Spec(weights=model, digest="sha256:aa", size=1)
        self.ready = anyio.Event()
        self.stop = anyio.Event()
        self.ended = anyio.Event()
        self.endpoint: Endpoint | None = None
        self.ending: RunnerError | None = None

    async def live(self) -> None:
        self.ending = await self.supervisor(1, self.spec, PLACE, self._ready, self.stop)
        self.ended.set()

    def _ready(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.ready.set()

    def traces(self) -> list[str]:
        """What is left of it on disk and among processes."""
        files = [entry.name for entry in self.supervisor.folder.glob("1.*")]
        mark = str(self.supervisor.folder / "1.sock")
        processes = [
            str(process.pid)
            for process in psutil.process_iter(["cmdline"])
            if mark in (process.info["cmdline"] or ())
        ]
        return files + processes


def life(folder: Path, *behaviour: str, stall: float = 20, grace: float = 5) -> Life:
    engine = find(str(fake_engine(folder / "engine", *behaviour)))
    model = folder / "model.gguf"
    model.touch()
    return Life(Supervisor(engine, folder, stall=stall, grace=grace), model)


async def test_a_good_life_is_ready_serves_and_ends_when_told(folder: Path) -> None:
    one = life(folder)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.live)
            await one.ready.wait()
            assert one.endpoint is not None
            assert one.endpoint.seconds > 0
            assert psutil.pid_exists(one.endpoint.pid)
            async with open_call(one.endpoint.socket, "/health") as upstream:
                assert upstream.status == 200
            one.stop.set()
    assert one.ending is None
    assert one.traces() == []


async def test_stopping_during_a_load_ends_the_load(folder: Path) -> None:
    one = life(folder, "--load", "60", grace=0.5)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.live)
            while not (folder / "1.pid").exists():
                await anyio.sleep(0.005)
            one.stop.set()
    assert one.ending is None
    assert not one.ready.is_set()
    assert one.traces() == []


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("error loading model: unknown model architecture: 'x'", Cause.UNSUPPORTED),
        ("failed to open GGUF file '/m' (No such file or directory)", Cause.MISSING),
        ("allocating 9 MiB on device 0: cudaMalloc failed: out of memory", Cause.MEMORY),
        ("tensor 'a' data is not within the file bounds", Cause.CORRUPT),
        ("something else", Cause.CRASH),
    ],
)
async def test_a_failed_load_says_why(folder: Path, words: str, cause: Cause) -> None:
    one = life(folder, "--exit-on-load", "1", "--say", words)
    with anyio.fail_after(20):
        await one.live()
    assert isinstance(one.ending, StartFailed)
    assert one.ending.cause is cause
    assert one.ending.message == f"llama-server process has terminated: exit status 1: {words}"
    assert not one.ready.is_set()
    assert one.traces() == []


async def test_an_illegal_instruction_is_named(folder: Path) -> None:
    one = life(folder, "--illegal")
    with anyio.fail_after(20):
        await one.live()
    assert isinstance(one.ending, StartFailed)
    assert one.ending.cause is Cause.ILLEGAL
    assert "SIGILL" in one.ending.message


async def test_a_load_without_progress_is_given_up(folder: Path) -> None:
    one = life(folder, "--never-ready", stall=0.3, grace=0.5)
    with anyio.fail_after(20):
        await one.live()
    assert isinstance(one.ending, StartFailed)
    assert one.ending.cause is Cause.STALLED
    assert one.traces() == []


async def test_an_engine_without_announcements_is_found_ready_by_asking(folder: Path) -> None:
    one = life(folder, "--no-protocol")
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.live)
            await one.ready.wait()
            one.stop.set()
    assert one.ending is None


async def test_a_crash_while_idle_is_noticed_at_once(folder: Path) -> None:
    trigger = folder / "now"
    one = life(
        folder, "--crash-when-idle", "--trigger", str(trigger), "--say", "GGML_ASSERT(x) failed"
    )
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.live)
            await one.ready.wait()
            trigger.touch()
            await one.ended.wait()
    assert isinstance(one.ending, Crashed)
    assert "SIGABRT: GGML_ASSERT(x) failed" in one.ending.message
    assert one.traces() == []


async def test_a_child_that_will_not_go_is_killed(folder: Path) -> None:
    one = life(folder, "--ignore-term", grace=0.1)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.live)
            await one.ready.wait()
            one.stop.set()
    assert one.ending is None
    assert one.traces() == []


async def test_cancelling_a_life_ends_the_child(folder: Path) -> None:
    one = life(folder)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.live)
            await one.ready.wait()
            tasks.cancel_scope.cancel()
    assert one.traces() == []


async def test_no_engine_is_a_failed_start(folder: Path) -> None:
    one = life(folder)
    one.supervisor.engine.server.unlink()
    await one.live()
    assert isinstance(one.ending, StartFailed)
    assert one.ending.cause is Cause.ENGINE


async def test_a_chatty_child_is_drained(folder: Path) -> None:
    one = life(folder, "--chatty", "20000")
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.live)
            await one.ready.wait()
            one.stop.set()
    assert one.ending is None
