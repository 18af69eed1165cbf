"""What a lease raises when its runner dies."""

import tempfile
from pathlib import Path

import pytest

from runners.errors import Crashed, Disconnected, Stopped
from runners.lease import Lease
from runners.runner import Runner
from runners.spec import Placement, Spec
from runners.supervise import Endpoint
from tests.runners.test_upstream import CHUNKED, serving

pytestmark = pytest.mark.anyio

SPEC = Spec(weights=Path("/m"), digest="sha256:0123456789abcdef", size=1, context=64, parallel=2)


def runner(socket: Path = Path("/nowhere")) -> Runner:
    one = Runner(1, SPEC, Placement(()))
    one.endpoint = Endpoint(socket, 1, 0.1)
    return one


async def test_a_broken_connection_is_explained_by_the_end_of_its_process() -> None:
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


async def test_a_process_that_lives_on_leaves_it_unexplained() -> None:
    with pytest.raises(Disconnected):
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
