"""How an engine comes into the cache and into use.

Nothing is compiled here: a compilation is a function that leaves programs in the work folder.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from runners.build import recipe
from runners.build.compile import EngineOrder
from runners.build.install import (
    EngineRequest,
    check_engine,
    ensure,
    fetch_source,
    first_possible,
    install,
    make,
    plan_orders,
    use,
)
from runners.build.locations import ROOT, Locations, locations
from runners.build.progress import BuildProgress
from runners.build.source import BuildError, SourceMissing
from runners.build.trial import TrialCrashed
from tests.fakes.build import (
    CrashingTrials,
    RecordedCompilations,
    RecordedProgress,
    broken_copy,
    engine_order,
    program,
)


def contents(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def in_cache(order: EngineOrder) -> list[str]:
    return sorted(path.name for path in order.home.parent.iterdir())


def test_a_finished_engine_has_its_programs_record_and_licence(tmp_path: Path) -> None:
    order, trials = engine_order(tmp_path), CrashingTrials(crashes=0)
    make(order, 0, RecordedProgress(), RecordedCompilations(), trials)
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
    order = engine_order(tmp_path)
    order = replace(order, options=replace(order.options, flavour="vulkan"))
    trials = CrashingTrials(crashes=0)
    make(order, 0, RecordedProgress(), RecordedCompilations(), trials)
    assert trials.gpu == [True]


def test_after_a_crash_it_is_built_without_the_instructions_and_reports_it(tmp_path: Path) -> None:
    order, compilations = engine_order(tmp_path), RecordedCompilations()
    progress = RecordedProgress()
    make(order, 0, progress, compilations, CrashingTrials(crashes=1))
    assert compilations.without == [(), ("AMX",)]
    assert (order.home / "bin" / "llama-server").read_text() == "AMX"
    assert contents(order.home / "bin") == set(recipe.PROGRAMS)
    note = "built without AMX: llama-server died of SIGSEGV on a Q4_0 model"
    assert json.loads((order.home / "engine.json").read_text())["notes"] == [note]
    assert progress.lines == [
        "llama-server died of SIGSEGV on a Q4_0 model; building again without AMX"
    ]


def test_a_crash_with_nothing_left_to_leave_out_is_an_error(tmp_path: Path) -> None:
    order, compilations = engine_order(tmp_path), RecordedCompilations()
    with pytest.raises(BuildError, match="SIGSEGV on a Q4_0 model, and there is nothing left"):
        make(order, 0, RecordedProgress(), compilations, CrashingTrials(crashes=9))
    assert compilations.without == [(), ("AMX",), ("AMX", "AVX-512")]
    assert not order.home.exists()


def test_an_interrupted_build_leaves_nothing_that_looks_like_an_engine(tmp_path: Path) -> None:
    order = engine_order(tmp_path)

    def interrupted(programs: Path, gpu: bool) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(order, 0, RecordedProgress(), RecordedCompilations(), interrupted)
    assert in_cache(order) == [f".work-{order.home.name}"]
    make(order, 0, RecordedProgress(), RecordedCompilations(), CrashingTrials(crashes=0))
    assert in_cache(order) == [order.home.name]


def test_a_rebuild_replaces_the_engine(tmp_path: Path) -> None:
    order = engine_order(tmp_path)
    (order.home / "bin").mkdir(parents=True)
    (order.home / "old").touch()
    make(order, 0, RecordedProgress(), RecordedCompilations(), CrashingTrials(crashes=0))
    assert contents(order.home) == {"bin", "engine.json", "LICENSE"}


def test_ensure_builds_only_what_the_cache_lacks(tmp_path: Path) -> None:
    order, made = engine_order(tmp_path), list[str]()

    def make(order: EngineOrder, keep: int, progress: BuildProgress) -> None:
        made.append(order.home.name)
        order.home.mkdir()

    for rebuild in (False, False, True):
        if order.home.exists() and rebuild:
            order.home.rmdir()
        ensure(order, rebuild, RecordedProgress(), make)
    assert made == [order.home.name] * 2


def test_ensure_takes_the_engine_that_another_build_made_meanwhile(tmp_path: Path) -> None:
    order = engine_order(tmp_path)
    lock = order.home.with_name(f".lock-{order.home.name}")
    script = (
        "import sys; from pathlib import Path; from runners.build.cache import locked\n"
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
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    def make(order: EngineOrder, keep: int, progress: BuildProgress) -> None:
        raise AssertionError("built a second time")

    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    assert not order.home.exists()
    assert other.stdin is not None
    other.stdin.write("go\n")
    other.stdin.flush()
    ensure(order, False, RecordedProgress(), make)
    other.communicate()
    assert order.home.exists()


def two_orders(folder: Path) -> tuple[EngineOrder, EngineOrder]:
    cpu = engine_order(folder)
    return replace(cpu, options=replace(cpu.options, flavour="cuda")), cpu


def test_auto_falls_back_to_the_processor_and_remembers(tmp_path: Path) -> None:
    cuda, cpu = two_orders(tmp_path)
    tried: list[str] = []
    progress = RecordedProgress()

    def ensure(order: EngineOrder, rebuild: bool, progress: BuildProgress) -> None:
        tried.append(order.options.flavour)
        if order.options.flavour == "cuda":
            raise BuildError("nvcc is too old")

    assert first_possible([cuda, cpu], False, progress, ensure) == cpu.home
    assert progress.lines == ["no cuda engine: nvcc is too old"]
    assert first_possible([cuda, cpu], False, progress, ensure) == cpu.home
    failed = cuda.home.with_name(f".failed-{cuda.home.name}")
    assert progress.lines[1:] == [f"cuda failed before, see {failed}; --rebuild tries it"]
    assert tried == ["cuda", "cpu", "cpu"]
    assert first_possible([cuda, cpu], True, progress, ensure) == cpu.home
    assert tried[3:] == ["cuda", "cpu"]


def test_a_network_that_fails_is_not_held_against_a_flavour(tmp_path: Path) -> None:
    cuda, cpu = two_orders(tmp_path)

    def ensure(order: EngineOrder, rebuild: bool, progress: BuildProgress) -> None:
        raise SourceMissing("pip download failed")

    with pytest.raises(SourceMissing):
        first_possible([cuda, cpu], False, RecordedProgress(), ensure)
    assert not cuda.home.parent.exists()


def test_a_flavour_that_was_named_does_not_fall_back(tmp_path: Path) -> None:
    cuda, _ = two_orders(tmp_path)

    def ensure(order: EngineOrder, rebuild: bool, progress: BuildProgress) -> None:
        raise BuildError("nvcc is too old")

    with pytest.raises(BuildError, match="nvcc is too old"):
        first_possible([cuda], False, RecordedProgress(), ensure)
    with pytest.raises(BuildError, match="nvcc is too old"):
        first_possible([cuda], False, RecordedProgress(), ensure)


def test_an_engine_is_put_to_use_and_those_that_nobody_uses_go(tmp_path: Path) -> None:
    progress = RecordedProgress()
    engines, at = tmp_path / "engines", tmp_path / "engine"
    for name in ("older", "old", "new"):
        (engines / name).mkdir(parents=True)
        (engines / f".links-{name}").touch()
    os.utime(engines / ".links-older", (0, 0))
    use(engines / "new", at, progress)
    assert at.readlink() == engines / "new"
    assert sorted(path.name for path in engines.glob("[!.]*")) == ["new", "old"]
    assert progress.lines == ["removed older, not used for two months"]


def test_a_cache_that_may_only_be_read_has_engines_all_the_same(tmp_path: Path) -> None:
    engines, at = tmp_path / "engines", tmp_path / "engine"
    (engines / "new").mkdir(parents=True)
    (engines / ".links-new").mkdir()  # nothing can be written there, whatever the permissions
    use(engines / "new", at, RecordedProgress())
    assert at.readlink() == engines / "new"


def plan(request: EngineRequest, places: Locations, **environ: str) -> list[EngineOrder]:
    """The orders of a request, with the real compiler and this environment's variables."""
    return plan_orders(request, places, RecordedProgress(), {**os.environ, **environ})


@pytest.fixture
def places(tmp_path: Path) -> Locations:
    return locations({"PADDOCK_CACHE": str(tmp_path)}, tmp_path)


def test_a_request_becomes_options(tmp_path: Path, places: Locations) -> None:
    for name in ("nvcc", "cc", "c++"):
        program(tmp_path, name, "echo 1")
    request = EngineRequest("cuda", ("80", "90"), defines=("GGML_RPC=ON", "X=1"), jobs=3)
    [order] = plan(request, places, PATH=str(tmp_path))
    options = order.options
    assert (options.flavour, options.toolkit) == ("cuda", f"{tmp_path}/nvcc")
    assert (options.architectures, options.defines) == (("80", "90"), ("GGML_RPC=ON", "X=1"))
    assert options.label == "llama-cpp-python 0.3.36"
    assert (order.jobs, order.tree) == (["-j3"], places.tree)
    [portable] = plan(EngineRequest("cpu", portable=True), places)
    assert (portable.options.portable, portable.options.toolkit) == (True, "")


def test_compiler_flags_of_the_environment_make_another_engine(places: Locations) -> None:
    [one] = plan(EngineRequest("cpu"), places, CXXFLAGS="")
    [two] = plan(EngineRequest("cpu"), places, CXXFLAGS="-O1")
    assert one.home != two.home


def cached_engine(cache: Path) -> Path:
    """Put into a cache what stands for the engine of this machine's processor."""
    environ = {**os.environ, "PADDOCK_CACHE": str(cache)}
    [order] = plan(EngineRequest("cpu"), locations(environ, cache), PADDOCK_CACHE=str(cache))
    program(order.home / "bin", "llama-server")
    record = {"version": "llama.cpp 1", "flavour": "cpu", "notes": ["built without AMX"]}
    (order.home / "engine.json").write_text(json.dumps(record))
    return order.home


def test_an_installed_package_takes_the_engine_that_the_cache_has(tmp_path: Path) -> None:
    cache, packages = tmp_path / "cache", tmp_path / "site-packages"
    home = cached_engine(cache)
    environ = {**os.environ, "PADDOCK_CACHE": str(cache)}
    progress = RecordedProgress()
    assert install(EngineRequest("cpu"), progress, environ, packages) == home
    assert progress.lines == ["llama.cpp 1, cpu; built without AMX"]
    assert locations(environ, packages).link.resolve() == home
    assert not packages.exists()


def test_the_source_alone_is_put_in_place(tmp_path: Path) -> None:
    mine, environ = tmp_path / "mine", {"PADDOCK_CACHE": str(tmp_path / "cache")}
    (mine / "ggml").mkdir(parents=True)
    (mine / "ggml" / "CMakeLists.txt").write_text("mine")
    progress = RecordedProgress()
    fetch_source(mine, progress, environ, tmp_path)
    tree = locations(environ, tmp_path).tree
    assert (tree / "ggml" / "CMakeLists.txt").read_text() == "mine"
    assert [line.split(" local")[0] for line in progress.lines] == ["fetching and unpacking"]


def test_an_engine_that_is_not_there_cannot_be_tried(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"there is no engine yet: run build\.py"):
        check_engine(tmp_path / "engine", RecordedProgress())


@pytest.mark.engine
def test_a_broken_engine_is_noticed(tmp_path: Path) -> None:
    copy = broken_copy(locations(os.environ).link, tmp_path)
    with pytest.raises(TrialCrashed, match="llama-server died of SIGSEGV on a Q4_0 model"):
        check_engine(copy, RecordedProgress())
