"""What every measurement works with: a library of models, an engine, gateways, and load."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from bench import model
from bench.direct import Flags
from bench.gateway import Gateway
from bench.load import BenchError, Lane, Load, Questions
from runners.build import scripted_model
from tests.fakes.scripts import NATIVE

T = TypeVar("T")

SCRIPTED, OTHER, ENDLESS = "scripted", "other", "endless"
BIG, SECOND = "big", "second"
SLOTS = 8
"""Of every model, unless a measurement needs another number."""
_LEAST_ROUNDS = 3


@dataclass(slots=True)
class Lab:
    """`folder` is the bench's own, and gone afterwards."""

    folder: Path
    engine: str
    load: Load
    say: Callable[[str], None]
    questions: Questions = field(default_factory=Questions)
    digests: dict[str, str] = field(default_factory=dict)
    """Of each model's file, as the name of a blob has it."""

    @property
    def library(self) -> Path:
        return self.folder / "models"

    def gateway(self, engine: str = "", **settings: object) -> Gateway:
        settings = {"NUM_PARALLEL": SLOTS, **settings}
        return Gateway(self.folder, self.library, engine or self.engine, **settings)

    def lane(
        self,
        address: str,
        path: str,
        name: str,
        count: int,
        tokens: int,
        streams: int = 1,
        *,
        keep: bool = True,
    ) -> Lane:
        """`count` new questions, each with a reply of `tokens` tokens."""
        bodies = self.questions.bodies(path, name, count, tokens)
        return Lane(address, path, bodies, streams, keep, tokens)

    def flags(self, gateway: Gateway, name: str) -> Flags:
        """Of the runner of a model that the gateway has loaded."""
        for runner in gateway.runners():
            flags = Flags.of(runner)
            if flags.option("--model").endswith(self.digests[name]):
                return flags
        raise BenchError(f"the gateway has no runner of {name}")

    def stock(self, cache: Path) -> None:
        """Make the library; models that take time to write are kept in `cache`."""
        blobs = self.library / "blobs"
        blobs.mkdir(parents=True)
        for name, path in self._sources(cache).items():
            self.digests[name] = _digest(path)
            _link(path, blobs / f"sha256-{self.digests[name]}")
        with self.gateway() as gateway:
            for name, digest in self.digests.items():
                files = {f"{name}.gguf": f"sha256:{digest}"}
                gateway.call("POST", "/api/create", {"model": name, "files": files})

    def _sources(self, cache: Path) -> dict[str, Path]:
        here = self.folder
        write = partial(scripted_model.write, template=NATIVE)
        pieces = [f"other {number} " for number in range(30)]
        return {
            SCRIPTED: write(here / "scripted.gguf", scripted_model.DEMO),
            OTHER: write(here / "other.gguf", pieces),
            ENDLESS: write(here / "endless.gguf", scripted_model.DEMO, loop=True),
            BIG: model.cached(cache, 1),
            SECOND: model.cached(cache, 2),
        }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _link(path: Path, goal: Path) -> None:
    """A second name where the file system has that, else a copy."""
    try:
        os.link(path, goal)
    except OSError:
        shutil.copyfile(path, goal)


def taking_turns(
    rounds: int,
    *turns: Callable[[], T],
    budget: float = 40.0,
    clock: Callable[[], float] = time.monotonic,
) -> Sequence[list[T]]:
    """What each of `turns` returns in each round; every other round goes backwards.

    What is compared is measured side by side, so that what the machine does meanwhile cancels out.
    After `budget` seconds no further round begins, but there are three in any case.
    """
    samples: list[list[T]] = [[] for _ in turns]
    deadline = clock() + budget
    for number in range(rounds):
        if number >= _LEAST_ROUNDS and clock() > deadline:
            break
        order = range(len(turns)) if number % 2 == 0 else reversed(range(len(turns)))
        for index in order:
            samples[index].append(turns[index]())
    return samples
