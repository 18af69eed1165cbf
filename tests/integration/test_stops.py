"""Ends that somebody resists: engines that do not listen, a gateway that had no time to tell."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import psutil
import pytest

from runners import Limits
from tests.fakes.caller import Caller
from tests.fakes.engine import fake_engine
from tests.fakes.process import Gateway, eventually, gateway, runtime_folder
from tests.fakes.scripts import PLAIN, create
from tests.fakes.server import open_gateway
from tests.integration.conftest import Start

HI = [{"role": "user", "content": "hi"}]
SAID = "Hello from the fake engine."


@pytest.fixture
def place() -> Iterator[Path]:
    with runtime_folder() as folder:
        yield folder


@contextlib.contextmanager
def loading(running: Gateway, folder: Path) -> Iterator[psutil.Process]:
    """Somebody waits for a model as long as this is open; its engine."""
    with running.client() as client:
        create(client, "plain", PLAIN, folder)
    with Caller(running.url, "/api/chat", {"model": "plain", "messages": HI}):
        yield eventually(running.children)[0]


def load(running: Gateway, folder: Path) -> psutil.Process:
    """Load a model; its engine."""
    with running.client() as client:
        create(client, "plain", PLAIN, folder)
        reply = client.post("/api/chat", json={"model": "plain", "messages": HI, "stream": False})
        assert reply.json()["message"]["content"] == SAID
    (child,) = running.children()
    return child


@pytest.mark.anyio
async def test_engines_that_will_not_go_are_killed_all_at_once() -> None:
    """Each is given 0.3 s twice; six of them in turn would take 3.6 s."""
    names = ("one", "two", "three", "four", "five", "six")
    async with open_gateway("--ignore-term", limits=Limits(runners=6)) as running:
        for name in names:
            running.add(name, pieces=(f"{name} ",))
            reply = await running.client.post("/api/chat", json={"model": name, "messages": HI})
            assert reply.status_code == 200
        pids = {runner.pid for runner in running.scheduler.snapshot().runners}
        assert len(pids) == 6
        began = anyio.current_time()
    assert 0.6 <= anyio.current_time() - began < 3.0
    assert not any(psutil.pid_exists(pid) for pid in pids if pid)


def test_an_engine_that_outlives_a_killed_gateway_is_swept_by_the_next(
    tmp_path: Path, place: Path
) -> None:
    engine = fake_engine(tmp_path / "engine", "--ignore-term")
    with gateway(tmp_path, place, engine=engine) as killed:
        child = load(killed, tmp_path)
        killed.process.kill()
        killed.wait()
        assert child.is_running()
        with gateway(tmp_path, place, engine=engine) as running:
            eventually(lambda: not child.is_running())
            assert f"ended leftover runner {child.pid}" in running.log_text()
            (home,) = place.iterdir()
            assert [folder.name.partition("-")[0] for folder in home.iterdir()] == [
                str(running.pid)
            ]


def test_a_gateway_leaves_the_engines_of_another_alone(tmp_path: Path, place: Path) -> None:
    engine = fake_engine(tmp_path / "engine")
    with gateway(tmp_path / "one", place, engine=engine) as first:
        child = load(first, tmp_path)
        with gateway(tmp_path / "two", place, engine=engine) as second:
            load(second, tmp_path)
            second.process.terminate()
            assert second.wait() == 0
        assert child.is_running()
        assert load(first, tmp_path) == child


def test_a_gateway_killed_during_a_load_leaves_nothing(start: Start, tmp_path: Path) -> None:
    killed = start("--load", "0.7")
    with loading(killed, tmp_path) as child:
        killed.process.kill()
        killed.wait()
        assert psutil.wait_procs([child], 5.0)[1] == []


def test_stopping_during_a_load_does_not_wait_for_it(start: Start, tmp_path: Path) -> None:
    running = start("--load", "60", drain="100ms")
    with loading(running, tmp_path) as child:
        began = time.monotonic()
        running.process.terminate()
        assert running.wait() == 0
        assert time.monotonic() - began < 4.0
        assert not child.is_running()
