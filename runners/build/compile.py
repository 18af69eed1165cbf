"""One engine to make, and the two commands that compile it: cmake, then ninja."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from runners.build import recipe, source
from runners.build.cache import locked
from runners.build.pin import Pin
from runners.build.progress import BuildProgress, ninja_count
from runners.build.source import BuildError
from runners.build.toolchain import find_tools


@dataclass(frozen=True, slots=True)
class EngineOrder:
    """One engine to make: what, of which source, with which compiler, and where.

    `tree` is the folder of the unpacked source, `context` what else decides the result (see
    `recipe.cache_key`), and `jobs` are flags for ninja.
    """

    options: recipe.BuildOptions
    origin: source.Origin
    pin: Pin
    compiler: recipe.Compiler
    cache: Path
    tree: Path
    context: Sequence[str] = ()
    jobs: Sequence[str] = ()

    @property
    def home(self) -> Path:
        """Where the finished engine belongs."""
        key = recipe.cache_key(self.origin.digest, self.options, self.compiler, self.context)
        return self.cache / "engines" / key


def source_lock(tree: Path, progress: BuildProgress) -> AbstractContextManager[int]:
    """Hold the source in `tree`: no other build may replace it meanwhile."""
    return locked(
        tree / source.LOCK, lambda: progress.say("waiting for another build of this source")
    )


def compile_engine(
    order: EngineOrder,
    options: recipe.BuildOptions,
    work: Path,
    keep: int,
    progress: BuildProgress,
    which: recipe.Which = shutil.which,
) -> None:
    """Configure and compile in `work`, going on from an interrupted build of the same tree.

    `keep` is the descriptor of the engine's lock, which the compilers inherit. Raises BuildError.
    """
    tools = find_tools(order.pin.tools, order.cache, which, progress)
    before = work / "CMakeCache.txt"
    # cmake refuses a folder that was configured for a source elsewhere: another checkout began it.
    if before.exists() and f"={order.tree}\n" not in before.read_text():
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    (work / "without.cmake").write_text(recipe.without_cmake(options.without))
    with source_lock(order.tree, progress):
        downloads = order.cache / "downloads"
        source.materialise(order.origin, order.pin, downloads, order.tree, progress.say)
        configure = recipe.cmake_command(options, order.compiler, order.tree, work, tools)
        ninja = [tools[1], "-C", str(work), *order.jobs, *recipe.PROGRAMS]

        def show(line: str) -> None:
            if count := ninja_count(line):
                progress.compiled(options.flavour, *count)

        run_step(configure, order.tree, work / "configure.log", keep, show)
        run_step(ninja, order.tree, work / "compile.log", keep, show)


def run_step(
    command: Sequence[str], tree: Path, log: Path, keep: int, show: Callable[[str], None]
) -> None:
    """Run a command of the build, its output into `log` and to `show`; it inherits the lock `keep`.

    Raises BuildError with the lines that say what went wrong.
    """
    # llama.cpp asks git for its revision, and would get that of the repository around the tree.
    environ = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.parent)}
    environ["NINJA_STATUS"] = "[%f/%t] "
    with (
        log.open("w") as out,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environ,
            pass_fds=(keep,),
        ) as process,
    ):
        try:
            for line in process.stdout or ():
                out.write(line)
                show(line)
        except BaseException:
            # Popen's own exit waits for the process; an interrupt should not wait for a compiler.
            process.terminate()
            raise
    if process.returncode:
        reason = error_lines(log.read_text())
        raise BuildError(f"the build failed:\n{reason}\nThe whole log: {log}")


def error_lines(log: str) -> str:
    """The five lines of a build log that say most: from the first error on, or else the last."""
    lines = log.splitlines()
    errors = [n for n, line in enumerate(lines) if re.search(r"\berror\b", line, re.IGNORECASE)]
    start = errors[0] if errors else max(0, len(lines) - 5)
    return "\n".join(lines[start : start + 5])
