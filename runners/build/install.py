"""Have an engine: the one in the cache, or a new one that is compiled, tried and put there.

Finished engines live in the per-user cache, one folder per source, flavour, flags, compiler and
processor, so that checkouts and installations share them. Each of these has a link to the one in
use (see `locations`).
"""

import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from runners.build import recipe, source, trial
from runners.build.cache import cache_folder, claim, link, locked, prune, scratch
from runners.build.compile import EngineOrder, compile_engine, source_lock
from runners.build.locations import ROOT, Locations, locations
from runners.build.pin import read_pin
from runners.build.progress import BuildProgress
from runners.build.source import BuildError, SourceMissing
from runners.build.toolchain import find_compiler, finder, output

FLAVOURS = ("auto", "cpu", *recipe.TOOLKITS)

Compile = Callable[[EngineOrder, recipe.BuildOptions, Path, int, BuildProgress], None]


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """What a user wants built. `flavour` is one of FLAVOURS, `architectures` are those of a GPU.

    `defines` are `NAME=VALUE` for CMake, `jobs` is how many files are compiled at once (0: ninja
    decides), `source` a llama.cpp archive or tree in place of the pinned one; `rebuild` builds
    even if the cache has the engine, or if it failed before.
    """

    flavour: str = "auto"
    architectures: Sequence[str] = ()
    portable: bool = False
    defines: Sequence[str] = ()
    jobs: int = 0
    source: Path | None = None
    rebuild: bool = False


def install(
    request: EngineRequest,
    progress: BuildProgress,
    environ: Mapping[str, str] = os.environ,
    root: Path = ROOT,
) -> Path:
    """Build the engine unless the cache has it, and put it to use; the folder it lies in.

    `root` is where Paddock lies: it decides where the link to the engine goes. Raises BuildError.
    """
    places = locations(environ, root)
    orders = plan_orders(request, places, progress, environ)
    home = first_possible(orders, request.rebuild, progress)
    use(home, places.link, progress)
    record = json.loads((home / "engine.json").read_text())
    progress.say("; ".join([f"{record['version']}, {record['flavour']}", *record["notes"]]))
    return home


def fetch_source(
    path: Path | None,
    progress: BuildProgress,
    environ: Mapping[str, str] = os.environ,
    root: Path = ROOT,
) -> None:
    """Put the source in place and build nothing; `path` is one of the user's own.

    Raises BuildError.
    """
    pin, tree = read_pin(), locations(environ, root).tree
    origin = source.origin(pin, path, tree)
    with source_lock(tree, progress):
        source.materialise(origin, pin, cache_folder(environ) / "downloads", tree, progress.say)


def check_engine(engine: Path, progress: BuildProgress) -> None:
    """Try the engine in a folder. Raises BuildError or TrialCrashed."""
    if not (engine / "engine.json").exists():
        raise BuildError("there is no engine yet: run build.py")
    record = json.loads((engine / "engine.json").read_text())
    trial.check(engine / "bin", record["flavour"] != "cpu")
    progress.say(f"{', '.join(trial.KINDS)} models answer as they should")


def plan_orders(
    request: EngineRequest,
    places: Locations,
    progress: BuildProgress,
    environ: Mapping[str, str],
) -> list[EngineOrder]:
    """The engines to try to make, best first: for `auto` the detected one, then the CPU's.

    Raises BuildError if a compiler, or the toolkit of a flavour that was named, is not there.
    """
    which, macos = finder(environ), platform.system() == "Darwin"
    flavours = [request.flavour]
    if request.flavour == "auto":
        machine = (platform.system(), platform.machine())
        detected, remark = recipe.detect_flavour(*machine, which, os.path.exists)
        # A GPU's build may fail for reasons that no look at the machine shows: an old toolkit, say.
        flavours = list(dict.fromkeys([detected, "cpu"]))
        if remark:
            progress.say(f"{remark}: building for the processor")
    pin = read_pin()
    origin = source.origin(pin, request.source, places.tree)
    flags = [environ.get(name, "") for name in ("CFLAGS", "CXXFLAGS", "LDFLAGS")]
    orders = []
    for flavour in flavours:
        options = recipe.BuildOptions(
            flavour=flavour,
            portable=request.portable,
            architectures=request.architectures,
            defines=request.defines,
            toolkit=recipe.need_toolkit(flavour, which),
            label=origin.label,
            macos=macos,
        )
        order = EngineOrder(
            options,
            origin,
            pin,
            find_compiler(environ),
            cache_folder(environ),
            places.tree,
            [platform.machine(), output(options.toolkit, "--version"), *flags],
            [f"-j{request.jobs}"] if request.jobs else [],
        )
        orders.append(order)
    return orders


def make(
    order: EngineOrder,
    keep: int,
    progress: BuildProgress,
    build: Compile = compile_engine,
    check: Callable[[Path, bool], None] = trial.check,
) -> None:
    """Build, try, and put into place last; after a crash, again without what the CPU faults on.

    The caller holds the engine's lock, whose descriptor is `keep`. Raises BuildError.
    """
    home, options = order.home, order.options
    # Beside the engine, so that it can be renamed into place; and under its key, so that another
    # attempt goes on with the files that are compiled.
    work = home.with_name(f".work-{home.name}")
    notes: list[str] = []
    while True:
        build(order, options, work, keep, progress)
        with scratch(home.with_name(f".new-{home.name}")) as new:
            (new / "bin").mkdir()
            for file in (work / "bin").iterdir():
                if recipe.staged(file.name, options.without):
                    shutil.copy2(file, new / "bin", follow_symlinks=False)
            try:
                check(new / "bin", options.flavour != "cpu")
            except trial.TrialCrashed as crash:
                name = recipe.remedy(order.compiler.macros, options.without)
                if name is None:
                    raise BuildError(f"{crash}, and there is nothing left to leave out") from crash
                progress.say(f"{crash}; building again without {name}")
                notes.append(f"built without {name}: {crash}")
                options = replace(options, without=(*options.without, name))
                continue
            record = {
                "version": source.version(order.tree, order.origin.label),
                "flavour": order.options.flavour,
                "flags": recipe.definitions(order.options),
                "compiler": order.compiler.version,
                "notes": notes,
            }
            (new / "engine.json").write_text(json.dumps(record, indent=2) + "\n")
            # The licence asks to go wherever copies of the program go.
            shutil.copy(order.tree / "LICENSE", new)
            # Last and in one step: what is in place is whole, and has passed its trial.
            shutil.rmtree(home, ignore_errors=True)
            new.rename(home)
        shutil.rmtree(work)
        return


def ensure(
    order: EngineOrder,
    rebuild: bool,
    progress: BuildProgress,
    make: Callable[[EngineOrder, int, BuildProgress], None] = make,
) -> None:
    """Have the engine in the cache; of several callers one builds and the others wait for it."""
    home = order.home
    if home.exists() and not rebuild:
        return
    lock = home.with_name(f".lock-{home.name}")
    waiting = "another build of it is running; waiting for that one"
    with locked(lock, lambda: progress.say(waiting)) as keep:
        # Looked at again: the build that was waited for has probably made it.
        if rebuild or not home.exists():
            make(order, keep, progress)


def first_possible(
    orders: Sequence[EngineOrder],
    rebuild: bool,
    progress: BuildProgress,
    ensure: Callable[[EngineOrder, bool, BuildProgress], None] = ensure,
) -> Path:
    """The folder of the first engine that can be made. Raises BuildError if none can.

    An engine that failed is remembered in the cache, so that not every set-up spends the minutes
    until it fails again. The last of the orders has no other to fall back to, and is always tried.
    """
    *better, last = orders
    for order in better:
        home = order.home
        failed = home.with_name(f".failed-{home.name}")
        if failed.exists() and not rebuild:
            progress.say(f"{order.options.flavour} failed before, see {failed}; --rebuild tries it")
            continue
        try:
            ensure(order, rebuild, progress)
            return home
        except SourceMissing:
            # A network that is down says nothing about the flavour.
            raise
        except BuildError as error:
            failed.parent.mkdir(parents=True, exist_ok=True)
            failed.write_text(f"{error}\n")
            progress.say(f"no {order.options.flavour} engine: {error}")
    ensure(last, rebuild, progress)
    return last.home


def use(home: Path, at: Path, progress: BuildProgress) -> None:
    """Point the link `at` to an engine, and remove others that have not been used for long."""
    with suppress(OSError):  # a cache that may only be read has engines all the same
        claim(home, at)
        for name in prune(home.parent, time.time()):
            progress.say(f"removed {name}, not used for two months")
    link(home, at)
