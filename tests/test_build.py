"""The build: what is looked for on the machine, and how an engine comes into the cache.

Nothing is compiled here: a build is a function that leaves programs in the work folder.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import build
from vendor import recipe, source, trial
from vendor.source import BuildError, Missing

MACROS = "#define __AVX512F__ 1\\n#define __AMX_TILE__ 1\\n"


def program(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    return folder / name


def an_order(folder: Path) -> build.Order:
    """An order whose source tree has what engine.json needs."""
    tree = folder / "tree"
    (tree / "ggml").mkdir(parents=True, exist_ok=True)
    for name in ("CMakeLists.txt", "ggml/CMakeLists.txt", "LICENSE"):
        (tree / name).write_text("MIT")
    return build.Order(
        recipe.Options(flavour="cpu", label="some-source 1.0"),
        source.Origin("ab" * 32, "some-source 1.0"),
        source.Pin("some-source", "1.0", "ab" * 32, 5, ()),
        recipe.Compiler("cc", "c++", "c++ 12", frozenset({"__AVX512F__", "__AMX_TILE__"})),
        folder / "cache",
        tree=tree,
    )


class Builds:
    """A build that writes the names of what it was told to leave out into its programs."""

    def __init__(self) -> None:
        self.without: list[tuple[str, ...]] = []

    def __call__(self, order: build.Order, options: recipe.Options, work: Path, keep: int) -> None:
        self.without.append(tuple(options.without))
        (work / "bin").mkdir(parents=True, exist_ok=True)
        for name in (*recipe.PROGRAMS, "llama-bench", "libggml-cpu-sapphirerapids.so"):
            (work / "bin" / name).write_text(",".join(options.without))


class Trials:
    """A trial that crashes so many times, then passes."""

    def __init__(self, crashes: int) -> None:
        self.crashes = crashes
        self.gpu: list[bool] = []

    def __call__(self, programs: Path, *, gpu: bool) -> None:
        self.gpu.append(gpu)
        if len(self.gpu) <= self.crashes:
            raise trial.Crashed("llama-server died of SIGSEGV on a Q4_0 model")


def contents(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def in_cache(order: build.Order) -> list[str]:
    return sorted(path.name for path in order.home.parent.iterdir())


def test_compiler_is_asked_for_its_version_and_this_processors_macros(tmp_path: Path) -> None:
    program(tmp_path, "cc", "")
    says = f'case "$1" in --version) echo "c++ 12.2"; echo "more";; *) printf "{MACROS}";; esac'
    program(tmp_path, "c++", says)
    assert build.find_compiler({"PATH": str(tmp_path)}) == recipe.Compiler(
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
    assert build.find_compiler({"PATH": str(tmp_path)}).cxx == f"{tmp_path}/clang++"


def test_cc_and_cxx_decide(tmp_path: Path) -> None:
    for name in ("cc", "c++", "mine", "mine++"):
        program(tmp_path, name, f"echo {name} 1")
    environ = {"PATH": str(tmp_path), "CC": "mine", "CXX": "mine++"}
    assert build.find_compiler(environ).version == "mine++ 1"


def test_no_compiler_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"no C\+\+ compiler .*apt install g\+\+") as caught:
        build.find_compiler({"PATH": str(tmp_path)})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("version", "own"), [("3.24.0", True), ("4.1.3", True), ("3.18.4", False)])
def test_cmake_of_the_machine_is_used_if_new_enough(
    tmp_path: Path, version: str, own: bool
) -> None:
    programs, home = tmp_path / "bin", tmp_path / "tools" / "cmake-4.1.3-ninja-1.13.2"
    program(programs, "cmake", f"echo cmake version {version}")
    program(programs, "ninja", "")
    home.mkdir(parents=True)
    which = build.finder({"PATH": str(programs)})
    found = build.find_tools(["cmake==4.1.3", "ninja==1.13.2"], tmp_path, which)
    ours = (f"{home}/cmake/data/bin/cmake", f"{home}/bin/ninja")
    assert found == ((f"{programs}/cmake", f"{programs}/ninja") if own else ours)


def test_progress_on_a_terminal_is_one_line() -> None:
    written: list[str] = []
    show = build.progress("compiling", True, written.append)
    for line in ("-- Configuring done\n", "[1/3] a.o\n", "warning: x\n", "[3/3] b\n"):
        show(line)
    assert "".join(written) == "\rcompiling [1/3]\rcompiling [3/3]\n"


def test_progress_elsewhere_is_a_line_every_tenth() -> None:
    written: list[str] = []
    show = build.progress("compiling", False, written.append)
    for number in range(1, 201):
        show(f"[{number}/200] file.o\n")
    assert len(written) == 11
    assert written[:2] == ["compiling [1/200]\n", "compiling [20/200]\n"]
    assert written[-1] == "compiling [200/200]\n"


def test_complaint_starts_at_the_first_error() -> None:
    log = "\n".join(["[1/2] fine.o", "a.cpp:1: error: no", "note", *["x"] * 9])
    assert build.complaint(log) == "a.cpp:1: error: no\nnote\nx\nx\nx"
    assert build.complaint("1\n2\n3\n4\n5\n6\n7") == "3\n4\n5\n6\n7"


def test_a_step_is_logged_shown_and_kept_from_our_own_revision(tmp_path: Path) -> None:
    log, shown = tmp_path / "log", list[str]()
    text = "import os, sys; print(os.environ['GIT_CEILING_DIRECTORIES']); sys.stderr.write('b\\n')"
    with (tmp_path / "lock").open("w") as lock:
        build.run([sys.executable, "-u", "-c", text], log, lock.fileno(), shown.append)
    assert shown == [f"{source.TREE.parent}\n", "b\n"]
    assert log.read_text() == "".join(shown)


def test_a_failing_step_is_quoted_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (tmp_path / "lock").open("w") as lock, pytest.raises(BuildError) as caught:
        build.run(["sh", "-c", "echo fatal error: x; exit 2"], log, lock.fileno(), print)
    assert str(caught.value) == f"the build failed:\nfatal error: x\nThe whole log: {log}"


def test_a_finished_engine_has_its_programs_record_and_licence(tmp_path: Path) -> None:
    order, trials = an_order(tmp_path), Trials(crashes=0)
    build.make(order, 0, Builds(), trials)
    assert contents(order.home) == {"bin", "engine.json", "LICENSE"}
    assert contents(order.home / "bin") == {*recipe.PROGRAMS, "libggml-cpu-sapphirerapids.so"}
    assert json.loads((order.home / "engine.json").read_text()) == {
        "version": "llama.cpp unknown (ggml unknown; some-source 1.0)",
        "flavour": "cpu",
        "flags": recipe.definitions(order.options),
        "compiler": "c++ 12",
        "notes": [],
    }
    assert in_cache(order) == [order.home.name]
    assert trials.gpu == [False]


def test_an_engine_for_a_gpu_is_tried_on_it(tmp_path: Path) -> None:
    order = an_order(tmp_path)
    order, trials = replace(order, options=replace(order.options, flavour="vulkan")), Trials(0)
    build.make(order, 0, Builds(), trials)
    assert trials.gpu == [True]


def test_after_a_crash_it_is_built_without_the_instructions_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order, builds = an_order(tmp_path), Builds()
    build.make(order, 0, builds, Trials(crashes=1))
    assert builds.without == [(), ("AMX",)]
    assert (order.home / "bin" / "llama-server").read_text() == "AMX"
    assert contents(order.home / "bin") == set(recipe.PROGRAMS)
    note = "built without AMX: llama-server died of SIGSEGV on a Q4_0 model"
    assert json.loads((order.home / "engine.json").read_text())["notes"] == [note]
    assert capsys.readouterr().out == (
        "engine: llama-server died of SIGSEGV on a Q4_0 model; building again without AMX\n"
    )


def test_a_crash_with_nothing_left_to_leave_out_is_an_error(tmp_path: Path) -> None:
    order, builds = an_order(tmp_path), Builds()
    with pytest.raises(BuildError, match="SIGSEGV on a Q4_0 model, and there is nothing left"):
        build.make(order, 0, builds, Trials(crashes=9))
    assert builds.without == [(), ("AMX",), ("AMX", "AVX-512")]
    assert not order.home.exists()


def test_an_interrupted_build_leaves_nothing_that_looks_like_an_engine(tmp_path: Path) -> None:
    order = an_order(tmp_path)

    def interrupted(programs: Path, *, gpu: bool) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build.make(order, 0, Builds(), interrupted)
    assert in_cache(order) == [f".work-{order.home.name}"]
    build.make(order, 0, Builds(), Trials(crashes=0))
    assert in_cache(order) == [order.home.name]


def test_a_rebuild_replaces_the_engine(tmp_path: Path) -> None:
    order = an_order(tmp_path)
    (order.home / "bin").mkdir(parents=True)
    (order.home / "old").touch()
    build.make(order, 0, Builds(), Trials(crashes=0))
    assert contents(order.home) == {"bin", "engine.json", "LICENSE"}


def test_ensure_builds_only_what_the_cache_lacks(tmp_path: Path) -> None:
    order, made = an_order(tmp_path), list[str]()

    def make(order: build.Order, keep: int) -> None:
        made.append(order.home.name)
        order.home.mkdir()

    for rebuild in (False, False, True):
        if order.home.exists() and rebuild:
            order.home.rmdir()
        build.ensure(order, rebuild, make)
    assert made == [order.home.name] * 2


def test_ensure_takes_the_engine_that_another_build_made_meanwhile(tmp_path: Path) -> None:
    order = an_order(tmp_path)
    lock = order.home.with_name(f".lock-{order.home.name}")
    script = (
        "import sys; from pathlib import Path; from vendor.cache import locked\n"
        f"with locked(Path({str(lock)!r})):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.readline()\n"
        f"    Path({str(order.home)!r}).mkdir()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(build.LINK.parents[1])},
    )

    def make(order: build.Order, keep: int) -> None:
        raise AssertionError("built a second time")

    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    assert not order.home.exists()
    assert other.stdin is not None
    other.stdin.write("go\n")
    other.stdin.flush()
    build.ensure(order, False, make)
    other.communicate()
    assert order.home.exists()


def two_orders(folder: Path) -> tuple[build.Order, build.Order]:
    cpu = an_order(folder)
    return replace(cpu, options=replace(cpu.options, flavour="cuda")), cpu


def test_auto_falls_back_to_the_processor_and_remembers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cuda, cpu = two_orders(tmp_path)
    tried: list[str] = []

    def ensure(order: build.Order, rebuild: bool) -> None:
        tried.append(order.options.flavour)
        if order.options.flavour == "cuda":
            raise BuildError("nvcc is too old")

    assert build.settle([cuda, cpu], False, ensure) == cpu.home
    assert capsys.readouterr().out == "engine: no cuda engine: nvcc is too old\n"
    assert build.settle([cuda, cpu], False, ensure) == cpu.home
    assert tried == ["cuda", "cpu", "cpu"]
    assert build.settle([cuda, cpu], True, ensure) == cpu.home
    assert tried[3:] == ["cuda", "cpu"]


def test_a_network_that_fails_is_not_held_against_a_flavour(tmp_path: Path) -> None:
    cuda, cpu = two_orders(tmp_path)

    def ensure(order: build.Order, rebuild: bool) -> None:
        raise Missing("pip download failed")

    with pytest.raises(Missing):
        build.settle([cuda, cpu], False, ensure)
    assert not cuda.home.parent.exists()


def test_a_flavour_asked_for_by_name_does_not_fall_back(tmp_path: Path) -> None:
    cuda, _ = two_orders(tmp_path)

    def ensure(order: build.Order, rebuild: bool) -> None:
        raise BuildError("nvcc is too old")

    with pytest.raises(BuildError, match="nvcc is too old"):
        build.settle([cuda], False, ensure)
    with pytest.raises(BuildError, match="nvcc is too old"):
        build.settle([cuda], False, ensure)


def test_an_engine_is_put_to_use_and_those_that_nobody_uses_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engines, at = tmp_path / "engines", tmp_path / "engine"
    for name in ("older", "old", "new"):
        (engines / name).mkdir(parents=True)
        (engines / f".links-{name}").touch()
    os.utime(engines / ".links-older", (0, 0))
    build.use(engines / "new", at)
    assert at.readlink() == engines / "new"
    assert sorted(path.name for path in engines.glob("[!.]*")) == ["new", "old"]
    assert capsys.readouterr().out == "engine: removed older, not used for two months\n"


def test_a_cache_that_may_only_be_read_has_engines_all_the_same(tmp_path: Path) -> None:
    engines, at = tmp_path / "engines", tmp_path / "engine"
    (engines / "new").mkdir(parents=True)
    (engines / ".links-new").mkdir()  # nothing can be written there, whoever asks
    build.use(engines / "new", at)
    assert at.readlink() == engines / "new"


def test_the_command_line_becomes_options(tmp_path: Path) -> None:
    program(tmp_path, "nvcc", "")
    argv = ["--flavour", "cuda", "--arch", "80;90", "-DGGML_RPC=ON", "-D", "X=1"]
    [options] = build.choose(build.parse(argv), {"PATH": str(tmp_path)})
    assert (options.flavour, options.toolkit) == ("cuda", f"{tmp_path}/nvcc")
    assert (options.architectures, options.defines) == (["80", "90"], ["GGML_RPC=ON", "X=1"])
    [portable] = build.choose(build.parse(["--flavour", "cpu", "--portable"]), {"PATH": ""})
    assert (portable.flavour, portable.portable, portable.toolkit) == ("cpu", True, "")


def test_compiler_flags_of_the_environment_make_another_engine() -> None:
    plain = dict(os.environ) | {"CFLAGS": "", "CXXFLAGS": ""}
    arguments = build.parse(["--flavour", "cpu", "-j", "3"])
    [one] = build.orders(arguments, plain)
    [two] = build.orders(arguments, {**plain, "CXXFLAGS": "-O1"})
    assert one.home != two.home
    assert one.jobs == ["-j3"]
    assert one.options.label == "llama-cpp-python 0.3.36"


def test_an_error_is_one_line_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build.main(["--flavour", "cpu", "--source", f"{tmp_path}/gone"]) == 1
    assert capsys.readouterr().err == f"build.py: there is no {tmp_path}/gone\n"


def test_check_without_an_engine(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"there is no engine yet: run build\.py"):
        build.check_link(tmp_path / "engine")


@pytest.mark.engine
def test_check_tries_the_engine_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["--check"]) == 0
    expected = "engine: Q4_0, Q8_0, Q4_K_M models answer as they should\n"
    assert capsys.readouterr().out == expected


@pytest.mark.engine
def test_check_notices_a_broken_engine(tmp_path: Path) -> None:
    shutil.copytree(build.LINK, tmp_path / "engine")
    program(tmp_path / "engine" / "bin", "llama-server", "kill -SEGV $$")
    with pytest.raises(trial.Crashed, match="llama-server died of SIGSEGV on a Q4_0 model"):
        build.check_link(tmp_path / "engine")
