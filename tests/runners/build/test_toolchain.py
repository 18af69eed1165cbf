"""What is looked for on the machine."""

from pathlib import Path

import pytest

from runners.build.recipe import Compiler
from runners.build.source import BuildError
from runners.build.toolchain import find_compiler, find_tools, finder
from tests.fakes.build import RecordedProgress, program

MACROS = "#define __AVX512F__ 1\\n#define __AMX_TILE__ 1\\n"


def test_a_compiler_prints_its_version_and_this_processors_macros(tmp_path: Path) -> None:
    program(tmp_path, "cc")
    prints = f'case "$1" in --version) echo "c++ 12.2"; echo "more";; *) printf "{MACROS}";; esac'
    program(tmp_path, "c++", prints)
    assert find_compiler({"PATH": str(tmp_path)}) == Compiler(
        f"{tmp_path}/cc",
        f"{tmp_path}/c++",
        "c++ 12.2",
        frozenset({"__AVX512F__", "__AMX_TILE__"}),
    )


def test_a_pair_that_does_not_work_is_passed_over(tmp_path: Path) -> None:
    for name in ("cc", "c++"):
        program(tmp_path, name, "echo 'install the command line tools'; exit 1")
    for name in ("gcc", "clang", "clang++"):
        program(tmp_path, name, "echo clang 17")
    assert find_compiler({"PATH": str(tmp_path)}).cxx == f"{tmp_path}/clang++"


def test_cc_and_cxx_decide(tmp_path: Path) -> None:
    for name in ("cc", "c++", "mine", "mine++"):
        program(tmp_path, name, f"echo {name} 1")
    environ = {"PATH": str(tmp_path), "CC": "mine", "CXX": "mine++"}
    assert find_compiler(environ).version == "mine++ 1"


def test_no_compiler_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"no C\+\+ compiler .*apt install g\+\+") as caught:
        find_compiler({"PATH": str(tmp_path)})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("version", "own"), [("3.24.0", True), ("4.1.3", True), ("3.18.4", False)])
def test_cmake_of_the_machine_is_used_if_new_enough(
    tmp_path: Path, version: str, own: bool
) -> None:
    programs, home = tmp_path / "bin", tmp_path / "tools" / "cmake-4.1.3-ninja-1.13.2"
    program(programs, "cmake", f"echo cmake version {version}")
    program(programs, "ninja")
    home.mkdir(parents=True)
    which = finder({"PATH": str(programs)})
    tools = find_tools(["cmake==4.1.3", "ninja==1.13.2"], tmp_path, which, RecordedProgress())
    pinned = (f"{home}/cmake/data/bin/cmake", f"{home}/bin/ninja")
    assert tools == ((f"{programs}/cmake", f"{programs}/ninja") if own else pinned)
