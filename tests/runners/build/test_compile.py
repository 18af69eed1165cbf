"""The steps of a compilation: what they see, what is kept of them, what their errors say."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runners.build.compile import compile_engine, error_lines, run_step
from runners.build.source import BuildError
from tests.fakes.build import RecordedProgress, engine_order, program


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[int]:
    with (tmp_path / "lock").open("w") as file:
        yield file.fileno()


def test_the_first_error_of_a_log_is_quoted() -> None:
    log = "\n".join(["[1/2] fine.o", "a.cpp:1: error: no", "note", *["x"] * 9])
    assert error_lines(log) == "a.cpp:1: error: no\nnote\nx\nx\nx"
    assert error_lines("1\n2\n3\n4\n5\n6\n7") == "3\n4\n5\n6\n7"


def test_a_step_is_logged_shown_and_kept_from_our_own_revision(tmp_path: Path, lock: int) -> None:
    log, shown = tmp_path / "log", list[str]()
    text = "import os, sys; print(os.environ['GIT_CEILING_DIRECTORIES']); sys.stderr.write('b\\n')"
    command = [sys.executable, "-u", "-c", text]
    run_step(command, tmp_path / "llama.cpp", log, lock, shown.append)
    assert shown == [f"{tmp_path}\n", "b\n"]
    assert log.read_text() == "".join(shown)


def test_a_failing_step_is_quoted_with_its_log(tmp_path: Path, lock: int) -> None:
    log = tmp_path / "log"
    with pytest.raises(BuildError) as caught:
        run_step(["sh", "-c", "echo fatal error: x; exit 2"], tmp_path, log, lock, print)
    assert str(caught.value) == f"the build failed:\nfatal error: x\nThe whole log: {log}"


def pinned_tools(cache: Path) -> tuple[str, ...]:
    """cmake and ninja as pip leaves them: they print their arguments, and a count of files."""
    home = cache / "tools" / "cmake-1-ninja-1"
    program(home / "cmake" / "data" / "bin", "cmake", 'echo "$@"')
    program(home / "bin", "ninja", 'echo "[1/2] a.o"; echo "[2/2] b.o"')
    return ("cmake==1", "ninja==1")


def test_the_source_is_configured_and_compiled(tmp_path: Path, lock: int) -> None:
    order = engine_order(tmp_path)
    order = replace(order, pin=replace(order.pin, tools=pinned_tools(order.cache)))
    (order.tree / ".origin").write_text(order.origin.digest)
    work, progress = tmp_path / "work", RecordedProgress()
    work.mkdir()
    (work / "CMakeCache.txt").write_text("CMAKE_HOME_DIRECTORY:INTERNAL=/another/checkout\n")
    compile_engine(order, order.options, work, lock, progress, which=lambda name: None)
    assert progress.counts == [("cpu", 1, 2), ("cpu", 2, 2)]
    assert f"-S {order.tree} -B {work}" in (work / "configure.log").read_text()
    assert not (work / "CMakeCache.txt").exists()
