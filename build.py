"""Build the engine: compile the pinned llama.cpp, try it, and share it between checkouts.

Standard library only: this runs before anything is installed. Finished engines live in a per-user
cache, one folder per source, flavour, flags, compiler and processor; `vendor/engine` is a link to
the one in use. `vendor/source.py` brings the source, `vendor/recipe.py` decides what is built,
`vendor/trial.py` tries the result.
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from vendor import recipe, source, trial
from vendor.cache import cache_folder, claim, link, locked, prune, scratch
from vendor.source import BuildError, Missing

LINK = source.TREE.parent / "engine"


@dataclass(frozen=True, slots=True)
class Order:
    """One engine to make: what, of which source, with which compiler, and where.

    `context` is what else decides the result (see `recipe.cache_key`), `jobs` are ninja's flags.
    """

    options: recipe.Options
    origin: source.Origin
    pin: source.Pin
    compiler: recipe.Compiler
    cache: Path
    context: Sequence[str] = ()
    jobs: Sequence[str] = ()
    tree: Path = source.TREE

    @property
    def home(self) -> Path:
        """Where the finished engine belongs."""
        key = recipe.cache_key(self.origin.digest, self.options, self.compiler, self.context)
        return self.cache / "engines" / key


Build = Callable[[Order, recipe.Options, Path, int], None]


def say(text: str) -> None:
    print(text, flush=True)


def output(*command: str) -> str:
    """What a program prints, "" if it fails or is not there."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def finder(environ: Mapping[str, str]) -> recipe.Which:
    """Where a program is, by this environment's PATH."""
    return lambda name: shutil.which(name, path=environ.get("PATH", os.defpath))


def find_compiler(environ: Mapping[str, str]) -> recipe.Compiler:
    """CC and CXX if either is set, else the first pair that works."""
    pairs = [("cc", "c++"), ("gcc", "g++"), ("clang", "clang++")]
    if "CC" in environ or "CXX" in environ:
        pairs = [(environ.get("CC", "cc"), environ.get("CXX", "c++"))]
    native = "-march=native" if platform.machine() == "x86_64" else "-mcpu=native"
    which = finder(environ)
    for cc, cxx in ((which(a), which(b)) for a, b in pairs):
        version = output(cxx, "--version").partition("\n")[0] if cc and cxx else ""
        if cc and cxx and version:
            macros = output(cxx, native, "-dM", "-E", "-x", "c++", os.devnull).splitlines()
            names = frozenset(line.removeprefix("#define ").split(" ")[0] for line in macros)
            return recipe.Compiler(cc, cxx, version, names)
    raise BuildError(
        f"no C++ compiler ({', '.join(b for _, b in pairs)}): install one "
        "(Debian: apt install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install)"
    )


def find_tools(wanted: Sequence[str], cache: Path, which: recipe.Which) -> tuple[str, str]:
    """cmake (3.24 or newer) and ninja: the machine's own, or the pinned ones from pip."""
    cmake, ninja = which("cmake"), which("ninja")
    found = re.search(r"version (\d+)\.(\d+)", output(cmake, "--version")) if cmake else None
    if cmake and ninja and found and (int(found[1]), int(found[2])) >= (3, 24):
        return cmake, ninja
    home = cache / "tools" / "-".join(wanted).replace("==", "-")
    with locked(cache / "tools" / ".lock"):
        if not home.exists():
            say(f"engine: installing {' and '.join(wanted)} in {home}")
            with scratch(home.with_name(".new")) as new:
                source.pip("install", "--quiet", "--target", str(new), *wanted)
                new.rename(home)
    return str(home / "cmake" / "data" / "bin" / "cmake"), str(home / "bin" / "ninja")


def progress(title: str, terminal: bool, write: Callable[[str], Any]) -> Callable[[str], None]:
    """A reader of ninja's lines: one updating line on a terminal, else a line every tenth."""
    tenth = -1

    def read(line: str) -> None:
        nonlocal tenth
        if not (match := re.match(r"\[(\d+)/(\d+)\]", line)):
            return
        done, total = int(match[1]), int(match[2])
        if terminal:
            write(f"\r{title} [{done}/{total}]" + "\n" * (done == total))
        elif done * 10 // total > tenth:
            tenth = done * 10 // total
            write(f"{title} [{done}/{total}]\n")

    return read


def complaint(log: str) -> str:
    """The lines of a build log that say what went wrong."""
    lines = log.splitlines()
    errors = [n for n, line in enumerate(lines) if re.search(r"\berror\b", line, re.IGNORECASE)]
    start = errors[0] if errors else max(0, len(lines) - 5)
    return "\n".join(lines[start : start + 5])


def run(command: list[str], log: Path, keep: int, show: Callable[[str], None]) -> None:
    """Run a step of the build, its output into `log` and `show`; it inherits the lock `keep`."""
    # llama.cpp asks git for its revision, and would find the one of this project.
    environ = {**os.environ, "GIT_CEILING_DIRECTORIES": str(source.TREE.parent)}
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
            process.terminate()
            raise
    if process.returncode:
        raise BuildError(f"the build failed:\n{complaint(log.read_text())}\nThe whole log: {log}")


def bring_source(order: Order) -> None:
    """Put the source in place; the caller holds its lock."""
    source.materialise(order.origin, order.pin, order.cache / "downloads", say, order.tree)


def source_lock(tree: Path) -> AbstractContextManager[int]:
    return locked(tree / source.LOCK, lambda: say("engine: waiting for another build here"))


def compile_engine(order: Order, options: recipe.Options, work: Path, keep: int) -> None:
    """Configure and compile in `work`, going on from an interrupted build of the same tree."""
    tools = find_tools(order.pin.tools, order.cache, shutil.which)
    before = work / "CMakeCache.txt"
    if before.exists() and f"={order.tree}\n" not in before.read_text():
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    (work / "without.cmake").write_text(recipe.without_cmake(options.without))
    with source_lock(order.tree):
        bring_source(order)
        configure = recipe.cmake_command(options, order.compiler, order.tree, work, tools)
        title = f"engine: compiling llama.cpp ({options.flavour})"
        show = progress(title, sys.stdout.isatty(), lambda text: print(text, end="", flush=True))
        run(configure, work / "configure.log", keep, show)
        ninja = [tools[1], "-C", str(work), *order.jobs, *recipe.PROGRAMS]
        run(ninja, work / "compile.log", keep, show)


def make(
    order: Order,
    keep: int,
    build: Build = compile_engine,
    check: Callable[..., None] = trial.check,
) -> None:
    """Build, try, and put into place last; after a crash, again without what the CPU faults on."""
    home, options = order.home, order.options
    work = home.with_name(f".work-{home.name}")
    notes: list[str] = []
    while True:
        build(order, options, work, keep)
        with scratch(home.with_name(f".new-{home.name}")) as new:
            (new / "bin").mkdir()
            for file in (work / "bin").iterdir():
                if recipe.staged(file.name, options.without):
                    shutil.copy2(file, new / "bin", follow_symlinks=False)
            try:
                check(new / "bin", gpu=options.flavour != "cpu")
            except trial.Crashed as crash:
                name = recipe.remedy(order.compiler.macros, options.without)
                if name is None:
                    raise BuildError(f"{crash}, and there is nothing left to leave out") from crash
                say(f"engine: {crash}; building again without {name}")
                notes.append(f"built without {name}: {crash}")
                options = replace(options, without=(*options.without, name))
                continue
            write_record(new, order, notes)
            shutil.rmtree(home, ignore_errors=True)
            new.rename(home)
        shutil.rmtree(work)
        return


def write_record(new: Path, order: Order, notes: list[str]) -> None:
    """engine.json, and the licence beside it."""
    record = {
        "version": source.version(order.tree, order.origin.label),
        "flavour": order.options.flavour,
        "flags": recipe.definitions(order.options),
        "compiler": order.compiler.version,
        "notes": notes,
    }
    (new / "engine.json").write_text(json.dumps(record, indent=2) + "\n")
    shutil.copy(order.tree / "LICENSE", new)


def ensure(order: Order, rebuild: bool, make: Callable[[Order, int], None] = make) -> None:
    """Have the engine in the cache; of several callers one builds and the others wait for it."""
    home = order.home
    if home.exists() and not rebuild:
        return
    waiting = "engine: another build of it is running; waiting for that one"
    with locked(home.with_name(f".lock-{home.name}"), lambda: say(waiting)) as keep:
        if rebuild or not home.exists():
            make(order, keep)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="build.py", description="Build the engine.")
    add = parser.add_argument
    flavours = ("auto", "cpu", *recipe.TOOLKITS)
    add("--flavour", choices=flavours, default="auto", help="what it computes on (default: auto)")
    add("--arch", default="", help="GPU architectures for cuda (80;90) or hip (gfx1100;gfx942)")
    add("--portable", action="store_true", help="every CPU variant, chosen at run time")
    add("-D", dest="defines", action="append", default=[], metavar="NAME=VALUE", help="for CMake")
    add("-j", dest="jobs", type=int, metavar="N", help="compile N files at once")
    add("--source", type=Path, metavar="PATH", help="a llama.cpp archive or tree of your own")
    add("--source-only", action="store_true", help="put the source in place, build nothing")
    add("--rebuild", action="store_true", help="build even if the cache has this engine")
    add("--check", action="store_true", help="try the engine in use, build nothing")
    return parser.parse_args(argv)


def choose(arguments: argparse.Namespace, environ: Mapping[str, str]) -> list[recipe.Options]:
    """What to build, best first: the flavour asked for, or for auto the detected one and the CPU.

    Raises BuildError if the toolkit of a flavour is missing.
    """
    which, flavours = finder(environ), [arguments.flavour]
    if arguments.flavour == "auto":
        machine = platform.system(), platform.machine()
        found, remark = recipe.detect_flavour(*machine, which, os.path.exists)
        flavours = list(dict.fromkeys([found, "cpu"]))
        if remark:
            say(f"engine: {remark}: building for the processor")
    options = recipe.Options(
        portable=arguments.portable,
        architectures=re.split("[;,]", arguments.arch) if arguments.arch else (),
        defines=arguments.defines,
        macos=platform.system() == "Darwin",
    )
    return [replace(options, flavour=f, toolkit=recipe.need_toolkit(f, which)) for f in flavours]


def orders(arguments: argparse.Namespace, environ: Mapping[str, str]) -> list[Order]:
    """The engines to try to make, best first."""
    pinned = source.pin()
    origin = source.origin(pinned, arguments.source)
    flags = [environ.get(name, "") for name in ("CFLAGS", "CXXFLAGS", "LDFLAGS")]
    return [
        Order(
            replace(options, label=origin.label),
            origin,
            pinned,
            find_compiler(environ),
            cache_folder(environ),
            [platform.machine(), output(options.toolkit, "--version"), *flags],
            [f"-j{arguments.jobs}"] if arguments.jobs else [],
        )
        for options in choose(arguments, environ)
    ]


def settle(
    wanted: Sequence[Order], rebuild: bool, ensure: Callable[[Order, bool], None] = ensure
) -> Path:
    """The folder of the first engine that can be made; what failed is not tried every time."""
    *better, last = wanted
    for order in better:
        home = order.home
        failed = home.with_name(f".failed-{home.name}")
        if failed.exists() and not rebuild:
            say(f"engine: {order.options.flavour} failed before, see {failed}; --rebuild tries it")
            continue
        try:
            ensure(order, rebuild)
            return home
        except Missing:
            raise
        except BuildError as error:
            failed.parent.mkdir(parents=True, exist_ok=True)
            failed.write_text(f"{error}\n")
            say(f"engine: no {order.options.flavour} engine: {error}")
    ensure(last, rebuild)
    return last.home


def use(home: Path, at: Path) -> None:
    """Point the link `at` to an engine, and remove others that nobody uses any more."""
    with suppress(OSError):  # a cache that may only be read has engines all the same
        claim(home, at)
        for name in prune(home.parent, time.time()):
            say(f"engine: removed {name}, not used for two months")
    link(home, at)


def build(arguments: argparse.Namespace, environ: Mapping[str, str]) -> None:
    """Have the source, or the engine and the link to it."""
    if arguments.source_only:
        pinned = source.pin()
        origin = source.origin(pinned, arguments.source)
        with source_lock(source.TREE):
            source.materialise(origin, pinned, cache_folder(environ) / "downloads", say)
        return
    home = settle(orders(arguments, environ), arguments.rebuild)
    use(home, LINK)
    record = json.loads((home / "engine.json").read_text())
    say("; ".join([f"engine: {record['version']}, {record['flavour']}", *record["notes"]]))


def check_link(at: Path = LINK) -> None:
    """Try the engine in use."""
    if not (at / "engine.json").exists():
        raise BuildError("there is no engine yet: run build.py")
    record = json.loads((at / "engine.json").read_text())
    trial.check(at / "bin", gpu=record["flavour"] != "cpu")
    say(f"engine: {', '.join(trial.KINDS)} models answer as they should")


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 for an engine, 1 for none, 130 when interrupted."""
    arguments = parse(argv)
    try:
        if arguments.check:
            check_link()
        else:
            build(arguments, os.environ)
    except (BuildError, trial.Crashed) as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("build.py: stopped; the next build goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(main())
