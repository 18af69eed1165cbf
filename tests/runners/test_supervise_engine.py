"""The real engine under supervision: it takes our flags, and its own words tell what went wrong."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import psutil
import pytest

from runners.build import scripted_model
from runners.engine import Engine, find
from runners.errors import Cause, RunnerError, StartFailed
from runners.flags import ALIAS
from runners.measure import Measurer
from runners.spec import MIB, Placement, Spec
from runners.supervise import Endpoint, Supervisor
from runners.upstream import open_call

pytestmark = [pytest.mark.anyio, pytest.mark.engine]

ON_HOST = Placement((("CPU", 1),))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, for that of a socket is limited."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def engine() -> Engine:
    return find()


def spec(weights: Path, **facts: int) -> Spec:
    size = weights.stat().st_size if weights.exists() else 0
    return Spec(weights, "sha256:aa", size, **{"context": 128, **facts})  # type: ignore[arg-type]


def model(folder: Path, architecture: str = "llama", layers: int = 1) -> Path:
    path = folder / "model.gguf"
    return scripted_model.write(path, ("Hello ", "there"), architecture=architecture, layers=layers)


async def failure(engine: Engine, folder: Path, wanted: Spec) -> StartFailed:
    """How a life ends that never becomes ready."""

    def ready(_: Endpoint) -> None:
        raise AssertionError("it became ready")

    supervisor = Supervisor(engine, folder)
    with anyio.fail_after(60):
        ending = await supervisor(1, wanted, ON_HOST, ready, anyio.Event())
    assert isinstance(ending, StartFailed)
    assert list(folder.glob("1.*")) == []
    return ending


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
        endings.append(await Supervisor(engine, folder)(1, wanted, ON_HOST, ready, stop))

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
    assert error.message.startswith("llama-server process has terminated: exit status 1: ")
    assert words in error.message


async def test_a_cache_beyond_all_memory_is_explained(engine: Engine, folder: Path) -> None:
    error = await failure(engine, folder, spec(model(folder, layers=64), context=4_000_000))
    assert error.cause is Cause.MEMORY
    assert "insufficient memory" in error.message


async def test_what_the_engine_is_said_to_need_covers_what_it_takes(
    engine: Engine, folder: Path
) -> None:
    wanted = spec(model(folder))
    need = await Measurer(engine)(wanted)
    assert need.exact
    stop = anyio.Event()
    taken: list[int] = []

    def ready(endpoint: Endpoint) -> None:
        memory = psutil.Process(endpoint.pid).memory_info()
        taken.append(memory.rss - memory.shared)
        stop.set()

    with anyio.fail_after(60):
        await Supervisor(engine, folder)(1, wanted, ON_HOST, ready, stop)
    assert 0 < taken[0] <= need.total
    assert need.total < 500 * MIB
