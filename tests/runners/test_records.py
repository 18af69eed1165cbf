"""Records: what a lease says when its runner dies, and what runners hold together."""

import tempfile
from pathlib import Path

import pytest

from runners.errors import Crashed, Stopped
from runners.records import Lease, Runner, held
from runners.spec import Placement, Spec
from runners.supervise import Endpoint
from tests.runners.test_upstream import CHUNKED, serving

pytestmark = pytest.mark.anyio

SPEC = Spec(weights=Path("/m"), digest="sha256:0123456789abcdef", size=1, context=64, parallel=2)


def runner(socket: Path = Path("/nowhere"), **shares: int) -> Runner:
    one = Runner(1, SPEC, Placement(tuple(shares.items())))
    one.endpoint = Endpoint(socket, 1, 0.1)
    return one


def test_a_runner_is_named_by_weights_context_and_slots() -> None:
    assert str(runner()) == "runner 1 (0123456789ab/64x2)"


def test_memory_is_summed_by_device() -> None:
    assert held([runner(CPU=1, CUDA0=5), runner(CPU=2)]) == {"CPU": 3, "CUDA0": 5}
    assert held([]) == {}


async def test_a_broken_connection_is_explained_by_the_childs_end() -> None:
    one = runner()
    one.ending = Crashed("signal SIGKILL")
    one.ended.set()
    with pytest.raises(Crashed, match="signal SIGKILL"):
        async with Lease(one, 0, 0).open("/x", b""):
            pass


async def test_the_explanation_is_waited_for() -> None:
    async def end() -> None:
        one.ending = Crashed("its last words")
        one.ended.set()

    with tempfile.TemporaryDirectory() as folder:
        one = runner(Path(folder) / "s")
        async with serving(Path(folder) / "s", CHUNKED, close=True) as server:
            with pytest.raises(Crashed, match="its last words"):
                async with Lease(one, 0, 0).open("/x", b"") as upstream:
                    server.tasks.start_soon(end)
                    await upstream.read()


async def test_a_child_that_lives_on_leaves_it_unexplained() -> None:
    with pytest.raises(Crashed, match="unexpected EOF"):
        async with Lease(runner(), 0, 0).open("/x", b""):
            pass


async def test_a_call_that_is_ended_because_the_runner_stops_says_so() -> None:
    with tempfile.TemporaryDirectory() as folder:
        one = runner(Path(folder) / "s")
        async with serving(Path(folder) / "s", CHUNKED) as server:
            with pytest.raises(Stopped, match="the server is stopping"):
                async with Lease(one, 0, 0).open("/x", b"") as upstream:
                    assert one.calls == {upstream}
                    one.stop.set()
                    upstream.close()
                    await upstream.read()
            await server.left.wait()
        assert one.calls == set()
