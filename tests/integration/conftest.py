"""A gateway as a process over engines that misbehave as they are told."""

import contextlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest

from tests.fakes.engine import fake_engine
from tests.fakes.process import Gateway, gateway
from tests.fakes.scripts import Scripted, create

_NUMBERS = itertools.count(1)


class Start(Protocol):
    """Start a gateway whose every engine behaves so, with settings of its own."""

    def __call__(self, *behaviour: str, **settings: Any) -> Gateway: ...


class Model(Protocol):
    """Create a model whose engines behave so, trained on so many tokens; its name."""

    def __call__(self, *behaviour: str, context: int = 2048) -> str: ...


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("integration")


@pytest.fixture(scope="session")
def served(folder: Path) -> Iterator[Gateway]:
    """The gateway of all tests that leave it as it is: two slots a model."""
    engine = fake_engine(folder / "engine")
    with gateway(folder, engine=engine, num_parallel=2) as running:
        yield running


@pytest.fixture
def client(served: Gateway) -> Iterator[httpx.Client]:
    with served.client() as client:
        yield client


@pytest.fixture
def model(client: httpx.Client, folder: Path) -> Model:
    def make(*behaviour: str, context: int = 2048) -> str:
        name = f"model{next(_NUMBERS)}"
        script = Scripted((f"{name} ",), more={"context": context})
        digest = create(client, name, script, folder)
        blob = folder / "models" / "blobs" / digest.replace(":", "-")
        Path(f"{blob}.behaviour").write_text(json.dumps(behaviour))
        return name

    return make


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with contextlib.ExitStack() as stack:

        def begin(*behaviour: str, **settings: Any) -> Gateway:
            engine = fake_engine(tmp_path / "engine", *behaviour)
            return stack.enter_context(gateway(tmp_path, engine=engine, **settings))

        yield begin
