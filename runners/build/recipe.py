"""What to build, decided from values alone: flavours, flags, cache keys, remedies.

The names of the -D values are llama.cpp's own (its CMakeLists.txt and ggml/CMakeLists.txt).
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runners.build.source import BuildError

PROGRAMS = ("llama-server", "llama-quantize", "llama-fit-params")

Which = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Remedy:
    """Instructions that processors announce and yet fault on, and how to do without them.

    `macro` is the compiler's sign that it uses them, `flags` stop it, and `variants` are the
    processor variants of a portable build that need them.
    """

    macro: str
    flags: Sequence[str]
    variants: Sequence[str]


REMEDIES = {
    "AMX": Remedy(
        "__AMX_TILE__", ("-mno-amx-tile", "-mno-amx-int8", "-mno-amx-bf16"), ("sapphirerapids",)
    ),
    "AVX-512": Remedy(
        "__AVX512F__",
        ("-mno-avx512f",),
        ("skylakex", "cannonlake", "cascadelake", "icelake", "cooperlake", "zen4"),
    ),
}


@dataclass(frozen=True, slots=True)
class Toolkit:
    """What a GPU flavour needs: a compiler (one of `programs`) and, on Linux, a device file."""

    programs: Sequence[str]
    missing: str
    card: str = ""
    devices: Sequence[str] = ()


# In order of preference: a card's own toolkit comes before Vulkan, which knows most cards.
TOOLKITS = {
    "cuda": Toolkit(
        ("nvcc", "/usr/local/cuda/bin/nvcc"),
        "the CUDA toolkit (nvcc)",
        "an NVIDIA card",
        ("/dev/nvidia0", "/dev/dxg"),
    ),
    "hip": Toolkit(
        ("/opt/rocm/llvm/bin/clang++", "amdclang++"),
        "ROCm (clang++ and hipBLAS)",
        "an AMD card",
        ("/dev/kfd",),
    ),
    "vulkan": Toolkit(
        ("glslc",),
        "the Vulkan headers, loader and glslc",
        "a graphics card",
        ("/dev/dri/renderD128",),
    ),
    "metal": Toolkit(("xcrun",), "Xcode's command line tools (xcode-select --install)"),
}


@dataclass(frozen=True, slots=True)
class Compiler:
    """The compilers, what they say they are, and the macros they define for this processor."""

    cc: str
    cxx: str
    version: str
    macros: frozenset[str]


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What is built. `toolkit` is the GPU compiler; `without` names entries of REMEDIES.

    `label` is shown as the revision by `llama-server --version`.
    """

    flavour: str = "cpu"
    portable: bool = False
    architectures: Sequence[str] = ()
    defines: Sequence[str] = ()
    toolkit: str = ""
    label: str = "unknown"
    without: Sequence[str] = ()
    macos: bool = False


_NATIVE = {"BUILD_SHARED_LIBS": "OFF", "GGML_NATIVE": "ON"}

# Every CPU variant is a library of its own, chosen at run time. They are looked for beside the
# programs, for both move together from the work folder into the cache. CMAKE_INSTALL_RPATH is
# filled in for the system, at this place: the cache key depends on the order.
_PORTABLE = {
    "BUILD_SHARED_LIBS": "ON",
    "GGML_NATIVE": "OFF",
    "GGML_BACKEND_DL": "ON",
    "GGML_CPU_ALL_VARIANTS": "ON",
    "CMAKE_BUILD_WITH_INSTALL_RPATH": "ON",
    "CMAKE_INSTALL_RPATH": "",
    "CMAKE_INSTALL_RPATH_USE_LINK_PATH": "ON",
}

_ARCHITECTURES = {"cuda": "CMAKE_CUDA_ARCHITECTURES", "hip": "GPU_TARGETS"}


def definitions(options: BuildOptions) -> list[str]:
    """CMake's -D values for a flavour; the caller's own come last and win."""
    values = {"CMAKE_BUILD_TYPE": "Release"}
    for part in ("BUILD_TESTS", "BUILD_EXAMPLES", "BUILD_APP", "BUILD_UI", "USE_PREBUILT_UI"):
        values[f"LLAMA_{part}"] = "OFF"
    # The engine is reached over UNIX sockets, which need no TLS. Its build number would be a count
    # of git commits, and an unpacked archive has none.
    values |= {"LLAMA_OPENSSL": "OFF", "LLAMA_BUILD_NUMBER": "0"}
    values["LLAMA_BUILD_COMMIT"] = options.label.replace(" ", "-")
    if options.portable:
        values |= _PORTABLE
        values["CMAKE_INSTALL_RPATH"] = "@loader_path" if options.macos else "$ORIGIN"
    else:
        values |= _NATIVE
    if options.macos:
        # llama.cpp turns Metal on by itself there, also for a build that is to use the CPU alone.
        values["GGML_METAL"] = "OFF"
    if options.flavour != "cpu":
        values[f"GGML_{options.flavour.upper()}"] = "ON"
    if options.flavour in ("cuda", "hip"):
        values[f"CMAKE_{options.flavour.upper()}_COMPILER"] = options.toolkit
    if options.architectures:
        if options.flavour not in _ARCHITECTURES:
            raise BuildError(f"--arch is for the flavours cuda and hip, not for {options.flavour}")
        values[_ARCHITECTURES[options.flavour]] = ";".join(options.architectures)
    ours = [f"-D{name}={value}" for name, value in values.items()]
    return ours + [f"-D{text}" for text in options.defines]


def cmake_command(
    options: BuildOptions, compiler: Compiler, tree: Path, work: Path, tools: tuple[str, str]
) -> list[str]:
    """The exact configure command; `tools` are cmake and ninja."""
    command = [tools[0], "-G", "Ninja", "-S", str(tree), "-B", str(work)]
    command += [f"-DCMAKE_MAKE_PROGRAM={tools[1]}"]
    command += [f"-DCMAKE_C_COMPILER={compiler.cc}", f"-DCMAKE_CXX_COMPILER={compiler.cxx}"]
    if options.without and not options.portable:
        command += [f"-DCMAKE_PROJECT_ggml_INCLUDE={work}/without.cmake"]
    return command + definitions(options)


def without_cmake(names: Sequence[str]) -> str:
    """CMake text that takes instructions from ggml alone: the rest need not be compiled again."""
    flags = " ".join(flag for name in names for flag in REMEDIES[name].flags)
    return f'add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:SHELL:{flags}>")\n'


def staged(name: str, without: Sequence[str]) -> bool:
    """Whether a built file is kept: a program, or a library not made of what is left out."""
    # A portable build compiles all variants; those that fault are left behind, not compiled anew.
    variants = [variant for left in without for variant in REMEDIES[left].variants]
    library = ".so" in name or name.endswith(".dylib")
    return name in PROGRAMS or (library and not any(f"-{v}." in name for v in variants))


def remedy(macros: frozenset[str], without: Sequence[str]) -> str | None:
    """What to leave out of the next build after a crash; None when nothing is left to try."""
    untried = (n for n, r in REMEDIES.items() if r.macro in macros and n not in without)
    return next(untried, None)


def cache_key(
    digest: str, options: BuildOptions, compiler: Compiler, context: Sequence[str]
) -> str:
    """A folder name for source, flavour, flags, compiler and, unless portable, processor.

    `context` is whatever else decides the result: machine, toolkit version, CFLAGS and the like.
    """
    processor = [] if options.portable else sorted(compiler.macros)
    # Whoever changes these parts, or their order, makes everybody compile again.
    parts = [digest, definitions(options), compiler.version, processor, *context]
    return f"{options.flavour}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"


def detect_flavour(
    system: str, machine: str, which: Which, exists: Callable[[str], bool]
) -> tuple[str, str]:
    """The best flavour that this machine can build and use, and a remark ("" if none)."""
    if system == "Darwin":
        return ("metal" if machine == "arm64" and find_toolkit("metal", which) else "cpu"), ""
    remark = ""
    for flavour, toolkit in TOOLKITS.items():
        # Both are needed: a toolkit without a card builds an engine that cannot be tried here.
        if any(map(exists, toolkit.devices)):
            if find_toolkit(flavour, which):
                return flavour, remark
            remark = remark or f"there is {toolkit.card}, but not {toolkit.missing}"
    return "cpu", remark


def find_toolkit(flavour: str, which: Which) -> str:
    """The path of a flavour's own compiler, "" if there is none."""
    return next(filter(None, map(which, TOOLKITS[flavour].programs)), "")


def need_toolkit(flavour: str, which: Which) -> str:
    """The same, "" for the CPU; BuildError if a GPU flavour has none."""
    if flavour == "cpu":
        return ""
    if not (program := find_toolkit(flavour, which)):
        raise BuildError(f"--flavour {flavour} needs {TOOLKITS[flavour].missing}")
    return program
