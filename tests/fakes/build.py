"""Stand-ins for the parts of a build: orders, compilations, trials and what they report."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from runners.build.compile import EngineOrder
from runners.build.pin import Pin
from runners.build.progress import BuildProgress
from runners.build.recipe import PROGRAMS, BuildOptions, Compiler
from runners.build.source import Origin
from runners.build.trial import TrialCrashed


@dataclass
class RecordedProgress:
    """Keeps what a build reports."""

    lines: list[str] = field(default_factory=list)
    counts: list[tuple[str, int, int]] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.lines.append(text)

    def compiled(self, flavour: str, done: int, total: int) -> None:
        self.counts.append((flavour, done, total))


class RecordedCompilations:
    """Leaves programs in the work folder that hold the names of the instructions left out."""

    def __init__(self) -> None:
        self.without: list[tuple[str, ...]] = []

    def __call__(
        self,
        order: EngineOrder,
        options: BuildOptions,
        work: Path,
        keep: int,
        progress: BuildProgress,
    ) -> None:
        self.without.append(tuple(options.without))
        (work / "bin").mkdir(parents=True, exist_ok=True)
        for name in (*PROGRAMS, "llama-bench", "libggml-cpu-sapphirerapids.so"):
            (work / "bin" / name).write_text(",".join(options.without))


class CrashingTrials:
    """A trial that crashes `crashes` times, then passes."""

    def __init__(self, crashes: int) -> None:
        self.crashes = crashes
        self.gpu: list[bool] = []

    def __call__(self, programs: Path, gpu: bool) -> None:
        self.gpu.append(gpu)
        if len(self.gpu) <= self.crashes:
            raise TrialCrashed("llama-server died of SIGSEGV on a Q4_0 model")


def engine_order(folder: Path) -> EngineOrder:
    """An order whose source tree has what engine.json needs."""
    tree = folder / "tree"
    (tree / "ggml").mkdir(parents=True, exist_ok=True)
    for name in ("CMakeLists.txt", "ggml/CMakeLists.txt", "LICENSE"):
        (tree / name).write_text("MIT")
    return EngineOrder(
        BuildOptions(flavour="cpu", label="some-source 1.0"),
        Origin("ab" * 32, "some-source 1.0"),
        Pin("some-source", "1.0", "ab" * 32, 5, ()),
        Compiler("cc", "c++", "c++ 12", frozenset({"__AVX512F__", "__AMX_TILE__"})),
        folder / "cache",
        tree,
    )


def program(folder: Path, name: str, text: str = "") -> Path:
    """A shell script that can be run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    return folder / name


def broken_copy(engine: Path, folder: Path) -> Path:
    """A copy of a real engine whose llama-server dies of a signal."""
    copy = Path(shutil.copytree(engine, folder / "engine"))
    program(copy / "bin", "llama-server", "kill -SEGV $$")
    return copy
