"""What the machine has to build with: compilers, cmake and ninja."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from runners.build.cache import locked, scratch
from runners.build.progress import BuildProgress
from runners.build.recipe import Compiler, Which
from runners.build.source import BuildError, pip


def output(*command: str) -> str:
    """What a program prints, "" if it fails or is not there."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def finder(environ: Mapping[str, str]) -> Which:
    """Where a program is, by this environment's PATH."""
    return lambda name: shutil.which(name, path=environ.get("PATH", os.defpath))


def find_compiler(environ: Mapping[str, str]) -> Compiler:
    """CC and CXX if either is set, else the first pair that works."""
    pairs = [("cc", "c++"), ("gcc", "g++"), ("clang", "clang++")]
    if "CC" in environ or "CXX" in environ:
        pairs = [(environ.get("CC", "cc"), environ.get("CXX", "c++"))]
    # GCC knows -march=native on x86 alone; on ARM the flag for the same thing is -mcpu.
    native = "-march=native" if platform.machine() == "x86_64" else "-mcpu=native"
    which = finder(environ)
    for cc, cxx in ((which(a), which(b)) for a, b in pairs):
        # On a Mac without its command line tools `c++` is there, and fails with advice.
        version = output(cxx, "--version").partition("\n")[0] if cc and cxx else ""
        if cc and cxx and version:
            macros = output(cxx, native, "-dM", "-E", "-x", "c++", os.devnull).splitlines()
            names = frozenset(line.removeprefix("#define ").split(" ")[0] for line in macros)
            return Compiler(cc, cxx, version, names)
    raise BuildError(
        f"no C++ compiler ({', '.join(b for _, b in pairs)}): install one "
        "(Debian: apt install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install)"
    )


def find_tools(
    wanted: Sequence[str], cache: Path, which: Which, progress: BuildProgress
) -> tuple[str, str]:
    """cmake (3.24 or newer) and ninja: the machine's own, or the pinned ones from pip."""
    cmake, ninja = which("cmake"), which("ninja")
    version = re.search(r"version (\d+)\.(\d+)", output(cmake, "--version")) if cmake else None
    # From 3.24 on ggml compiles CUDA for the card of this machine alone; an older cmake has to
    # compile for every generation of cards, which takes several times as long.
    if cmake and ninja and version and (int(version[1]), int(version[2])) >= (3, 24):
        return cmake, ninja
    # Not into this environment: a build may not change what Paddock or its user installed there.
    home = cache / "tools" / "-".join(wanted).replace("==", "-")
    with locked(cache / "tools" / ".lock"):
        if not home.exists():
            progress.say(f"installing {' and '.join(wanted)} in {home}")
            with scratch(home.with_name(".new")) as new:
                pip(["install", "--quiet", "--target", str(new), *wanted])
                new.rename(home)
    # The programs themselves: pip's wrapper scripts for cmake need its folder on sys.path.
    return str(home / "cmake" / "data" / "bin" / "cmake"), str(home / "bin" / "ninja")
