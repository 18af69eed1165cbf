"""A gateway over the real engine, with scripted models that were created by its API."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest

from runners import Engine, find
from tests.fakes.process import Gateway, eventually, gateway
from tests.fakes.scripts import MODELS, create


class Start(Protocol):
    """Start another gateway over the same library, with settings of its own."""

    def __call__(self, **settings: Any) -> Gateway: ...


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The one that was built, unless PADDOCK_ENGINE names another."""
    return find(os.environ.get("PADDOCK_ENGINE", ""))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("e2e")


@pytest.fixture(scope="session")
def served(engine: Engine, folder: Path) -> Iterator[Gateway]:
    """The gateway of all tests that leave it as it is."""
    with gateway(folder, engine=engine.server, num_parallel=4) as running:
        with running.client() as client:
            for name, script in MODELS.items():
                create(client, name, script, folder)
        yield running


@pytest.fixture
def client(served: Gateway) -> Iterator[httpx.Client]:
    with served.client() as client:
        yield client


@pytest.fixture
def fresh(served: Gateway, client: httpx.Client) -> Gateway:
    """The same with nothing loaded."""
    for model in client.get("/api/ps").json()["models"]:
        client.post("/api/generate", json={"model": model["name"], "keep_alive": 0})
    eventually(lambda: not served.children())
    return served


@pytest.fixture
def start(served: Gateway, engine: Engine, folder: Path, tmp_path: Path) -> Iterator[Start]:
    with contextlib.ExitStack() as stack:

        def begin(**settings: Any) -> Gateway:
            usual = {"engine": engine.server, "models": folder / "models", "num_parallel": 4}
            return stack.enter_context(gateway(tmp_path, **{**usual, **settings}))

        yield begin
