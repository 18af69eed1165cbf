"""One runner's whole life: with an engine that misbehaves on demand, and with the real one."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import psutil
import pytest

from runners.build import scripted_model
from runners.engine import Engine, find
from runners.errors import Cause, Crashed, RunnerError, StartFailed
from runners.estimate import EngineEstimator
from runners.flags import ALIAS
from runners.spec import MIB, Placement, Spec
from runners.supervise import Endpoint, Supervisor
from runners.upstream import open_call
from tests.fakes.engine import fake_engine

pytestmark = pytest.mark.anyio

PLACE = Placement(shares=(("CPU", 1),))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, for that of a socket is limited."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


class RealLife:
    """A life under way; `ending` is there when it has `ended`."""

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


def life(folder: Path, *behaviour: str, stall: float = 20, grace: float = 5) -> RealLife:
    engine = find(str(fake_engine(folder / "engine", *behaviour)))
    model = folder / "model.gguf"
    model.touch()
    return RealLife(Supervisor(engine, folder, stall=stall, grace=grace), model)


async def test_a_good_life_is_ready_serves_and_ends_when_stopped(folder: Path) -> None:
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
    assert one.ending.message == f"exit status 1: {words}"
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


async def test_an_engine_without_announcements_is_polled(folder: Path) -> None:
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


async def test_a_runner_that_ignores_signals_is_killed(folder: Path) -> None:
    one = life(folder, "--ignore-term", grace=0.1)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.live)
            await one.ready.wait()
            one.stop.set()
    assert one.ending is None
    assert one.traces() == []


async def test_cancelling_a_life_ends_the_process(folder: Path) -> None:
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


async def test_a_chatty_runner_is_drained(folder: Path) -> None:
    one = life(folder, "--chatty", "20000")
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.live)
            await one.ready.wait()
            one.stop.set()
    assert one.ending is None


# The real engine: it takes our flags, and its own words tell what went wrong


@pytest.fixture
def engine() -> Engine:
    return find()


def spec(
    weights: Path, *, context: int = 128, parallel: int = 1, prompt_cache: int = 0, threads: int = 0
) -> Spec:
    return Spec(
        weights,
        "sha256:aa",
        size=weights.stat().st_size if weights.exists() else 0,
        context=context,
        parallel=parallel,
        prompt_cache=prompt_cache,
        threads=threads,
    )


def model(folder: Path, architecture: str = "llama", layers: int = 1) -> Path:
    path = folder / "model.gguf"
    return scripted_model.write(path, ("Hello ", "there"), architecture=architecture, layers=layers)


async def failure(engine: Engine, folder: Path, wanted: Spec) -> StartFailed:
    """How a life ends that never becomes ready."""

    def ready(_: Endpoint) -> None:
        raise AssertionError("it became ready")

    supervisor = Supervisor(engine, folder)
    with anyio.fail_after(60):
        ending = await supervisor(1, wanted, PLACE, ready, anyio.Event())
    assert isinstance(ending, StartFailed)
    assert list(folder.glob("1.*")) == []
    return ending


@pytest.mark.engine
async def test_a_scripted_model_is_served_and_leaves_nothing_behind(
    engine: Engine, folder: Path
) -> None:
    stop, is_ready = anyio.Event(), anyio.Event()
    endings: list[RunnerError | None] = []
    endpoints: list[Endpoint] = []

    def ready(endpoint: Endpoint) -> None:
        endpoints.append(endpoint)
        is_ready.set()

    async def live() -> None:
        wanted = spec(model(folder), parallel=2, prompt_cache=8, threads=1)
        endings.append(await Supervisor(engine, folder)(1, wanted, PLACE, ready, stop))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(live)
            await is_ready.wait()
            async with open_call(endpoints[0].socket, "/v1/models") as upstream:
                assert ALIAS.encode() in await upstream.read_all()
            body = b'{"prompt": "x", "n_predict": 8, "temperature": 0}'
            async with open_call(endpoints[0].socket, "/completion", body) as upstream:
                assert b'"content":"Hello there"' in await upstream.read_all()
            stop.set()
    assert endings == [None]
    assert not psutil.pid_exists(endpoints[0].pid)
    assert list(folder.glob("1.*")) == []


def nothing(folder: Path) -> Path:
    return folder / "absent.gguf"


def garbage(folder: Path) -> Path:
    path = folder / "garbage.gguf"
    path.write_bytes(b"NOPE" + bytes(1000))
    return path


def cut_short(folder: Path) -> Path:
    path = model(folder)
    path.write_bytes(path.read_bytes()[:-100])
    return path


def unheard_of(folder: Path) -> Path:
    return model(folder, architecture="llamx")


@pytest.mark.engine
@pytest.mark.parametrize(
    ("make", "cause", "words"),
    [
        (nothing, Cause.MISSING, "No such file or directory"),
        (garbage, Cause.CORRUPT, "invalid magic"),
        (cut_short, Cause.CORRUPT, "model is corrupted or incomplete"),
        (unheard_of, Cause.UNSUPPORTED, "unknown model architecture: 'llamx'"),
    ],
)
async def test_a_model_that_cannot_be_loaded_is_explained(
    engine: Engine, folder: Path, make: Callable[[Path], Path], cause: Cause, words: str
) -> None:
    error = await failure(engine, folder, spec(make(folder)))
    assert error.cause is cause
    assert error.message.startswith("exit status 1: ")
    assert words in error.message


@pytest.mark.engine
async def test_a_cache_beyond_all_memory_is_explained(engine: Engine, folder: Path) -> None:
    error = await failure(engine, folder, spec(model(folder, layers=64), context=4_000_000))
    assert error.cause is Cause.MEMORY
    assert "insufficient memory" in error.message


@pytest.mark.engine
async def test_the_estimate_covers_what_the_engine_takes(engine: Engine, folder: Path) -> None:
    wanted = spec(model(folder))
    need = await EngineEstimator(engine)(wanted)
    assert need.exact
    stop = anyio.Event()
    taken: list[int] = []

    def ready(endpoint: Endpoint) -> None:
        memory = psutil.Process(endpoint.pid).memory_info()
        taken.append(memory.rss - memory.shared)
        stop.set()

    with anyio.fail_after(60):
        await Supervisor(engine, folder)(1, wanted, PLACE, ready, stop)
    assert 0 < taken[0] <= need.total
    assert need.total < 500 * MIB
