"""The exact CMake command of every flavour, and the decisions around it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from runners.build import recipe
from runners.build.recipe import BuildOptions, Compiler
from runners.build.source import BuildError

GCC = Compiler("/usr/bin/cc", "/usr/bin/c++", "c++ 12.2.0", frozenset({"__AVX2__"}))
TOOLS = ("/opt/cmake", "/opt/ninja")
START = [
    *("/opt/cmake", "-G", "Ninja", "-S", "/tree", "-B", "/build"),
    "-DCMAKE_MAKE_PROGRAM=/opt/ninja",
    "-DCMAKE_C_COMPILER=/usr/bin/cc",
    "-DCMAKE_CXX_COMPILER=/usr/bin/c++",
]
ALWAYS = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_NUMBER=0",
    "-DLLAMA_BUILD_COMMIT=llama-cpp-python-0.3.36",
]
NATIVE = ["-DBUILD_SHARED_LIBS=OFF", "-DGGML_NATIVE=ON"]
PORTABLE = [
    "-DBUILD_SHARED_LIBS=ON",
    "-DGGML_NATIVE=OFF",
    "-DGGML_BACKEND_DL=ON",
    "-DGGML_CPU_ALL_VARIANTS=ON",
    "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON",
    "-DCMAKE_INSTALL_RPATH=$ORIGIN",
    "-DCMAKE_INSTALL_RPATH_USE_LINK_PATH=ON",
]
CPU = BuildOptions(label="llama-cpp-python 0.3.36")
NVCC, CLANG = "/usr/local/cuda/bin/nvcc", "/opt/rocm/llvm/bin/clang++"


def command(options: BuildOptions) -> list[str]:
    return recipe.cmake_command(options, GCC, Path("/tree"), Path("/build"), TOOLS)


@pytest.mark.parametrize(
    ("options", "end"),
    [
        (CPU, NATIVE),
        (replace(CPU, portable=True), PORTABLE),
        (replace(CPU, macos=True), [*NATIVE, "-DGGML_METAL=OFF"]),
        (
            replace(CPU, flavour="metal", macos=True, toolkit="/usr/bin/xcrun"),
            [*NATIVE, "-DGGML_METAL=ON"],
        ),
        (
            replace(CPU, flavour="vulkan", toolkit="/usr/bin/glslc"),
            [*NATIVE, "-DGGML_VULKAN=ON"],
        ),
        (
            replace(CPU, flavour="cuda", toolkit=NVCC),
            [*NATIVE, "-DGGML_CUDA=ON", f"-DCMAKE_CUDA_COMPILER={NVCC}"],
        ),
        (
            replace(CPU, flavour="cuda", toolkit=NVCC, architectures=("80", "90")),
            [
                *NATIVE,
                "-DGGML_CUDA=ON",
                f"-DCMAKE_CUDA_COMPILER={NVCC}",
                "-DCMAKE_CUDA_ARCHITECTURES=80;90",
            ],
        ),
        (
            replace(CPU, flavour="cuda", toolkit=NVCC, portable=True),
            [*PORTABLE, "-DGGML_CUDA=ON", f"-DCMAKE_CUDA_COMPILER={NVCC}"],
        ),
        (
            replace(CPU, flavour="hip", toolkit=CLANG, architectures=("gfx1100", "gfx942")),
            [
                *NATIVE,
                "-DGGML_HIP=ON",
                f"-DCMAKE_HIP_COMPILER={CLANG}",
                "-DGPU_TARGETS=gfx1100;gfx942",
            ],
        ),
        (
            replace(CPU, defines=("GGML_RPC=ON", "GGML_NATIVE=OFF")),
            [*NATIVE, "-DGGML_RPC=ON", "-DGGML_NATIVE=OFF"],
        ),
    ],
)
def test_cmake_command(options: BuildOptions, end: list[str]) -> None:
    assert command(options) == [*START, *ALWAYS, *end]


def test_portable_libraries_are_found_beside_the_program_on_macos() -> None:
    assert "-DCMAKE_INSTALL_RPATH=@loader_path" in command(replace(CPU, portable=True, macos=True))


def test_instructions_are_taken_from_ggml_alone() -> None:
    assert command(replace(CPU, without=("AMX",))) == [
        *START,
        "-DCMAKE_PROJECT_ggml_INCLUDE=/build/without.cmake",
        *ALWAYS,
        *NATIVE,
    ]
    assert recipe.without_cmake(["AMX", "AVX-512"]) == (
        'add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:SHELL:'
        '-mno-amx-tile -mno-amx-int8 -mno-amx-bf16 -mno-avx512f>")\n'
    )


def test_a_portable_build_leaves_variants_out_instead() -> None:
    portable = replace(CPU, portable=True)
    assert command(replace(portable, without=("AMX",))) == command(portable)
    assert recipe.staged("libggml-cpu-sapphirerapids.so", [])
    assert not recipe.staged("libggml-cpu-sapphirerapids.so", ["AMX"])
    assert recipe.staged("libggml-cpu-icelake.so", ["AMX"])
    assert not recipe.staged("libggml-cpu-icelake.so", ["AMX", "AVX-512"])
    assert recipe.staged("libggml-cpu-haswell.so", ["AMX", "AVX-512"])


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("llama-server", True),
        ("llama-fit-params", True),
        ("libllama.so.0.5.0", True),
        ("libggml.dylib", True),
        ("llama-bench", False),
        ("libggml-base.a", False),
    ],
)
def test_what_is_copied_out_of_the_work_folder(name: str, kept: bool) -> None:
    assert recipe.staged(name, []) is kept


@pytest.mark.parametrize("flavour", ["cpu", "metal", "vulkan"])
def test_architectures_are_refused_where_there_are_none(flavour: str) -> None:
    with pytest.raises(BuildError, match=f"--arch is for .* not for {flavour}"):
        recipe.definitions(replace(CPU, flavour=flavour, architectures=("90",)))


def test_remedies_are_tried_in_order_and_only_if_they_apply() -> None:
    sapphire = frozenset({"__AVX2__", "__AVX512F__", "__AMX_TILE__"})
    assert recipe.remedy(sapphire, ()) == "AMX"
    assert recipe.remedy(sapphire, ("AMX",)) == "AVX-512"
    assert recipe.remedy(sapphire, ("AMX", "AVX-512")) is None
    assert recipe.remedy(frozenset({"__AVX512F__"}), ()) == "AVX-512"
    assert recipe.remedy(frozenset({"__AVX2__"}), ()) is None


def test_cache_key_names_the_flavour_and_is_stable() -> None:
    key = recipe.cache_key("d" * 64, CPU, GCC, ["x86_64"])
    assert key == recipe.cache_key("d" * 64, replace(CPU), replace(GCC), ["x86_64"])
    assert key.startswith("cpu-")
    assert len(key) == len("cpu-") + 16


@pytest.mark.parametrize(
    "other",
    [
        ("e" * 64, CPU, GCC, ["x86_64"]),
        ("d" * 64, replace(CPU, portable=True), GCC, ["x86_64"]),
        ("d" * 64, replace(CPU, defines=("GGML_RPC=ON",)), GCC, ["x86_64"]),
        ("d" * 64, CPU, replace(GCC, version="c++ 13.1.0"), ["x86_64"]),
        ("d" * 64, CPU, replace(GCC, macros=frozenset({"__AVX512F__"})), ["x86_64"]),
        ("d" * 64, CPU, GCC, ["aarch64"]),
    ],
)
def test_cache_key_tells_builds_apart(other: tuple[str, BuildOptions, Compiler, list[str]]) -> None:
    assert recipe.cache_key(*other) != recipe.cache_key("d" * 64, CPU, GCC, ["x86_64"])


def test_cache_key_of_a_portable_build_does_not_depend_on_the_processor() -> None:
    portable, older = replace(CPU, portable=True), replace(GCC, macros=frozenset())
    assert recipe.cache_key("d", portable, GCC, []) == recipe.cache_key("d", portable, older, [])


def having(*names: str) -> Callable[[str], str | None]:
    return lambda name: name if name in names else None


def present(*paths: str) -> Callable[[str], bool]:
    return lambda path: path in paths


@pytest.mark.parametrize(
    ("programs", "devices", "flavour", "remark"),
    [
        ((), (), "cpu", ""),
        (("nvcc",), (), "cpu", ""),
        (("nvcc",), ("/dev/nvidia0",), "cuda", ""),
        (("/usr/local/cuda/bin/nvcc",), ("/dev/dxg",), "cuda", ""),
        (
            (),
            ("/dev/nvidia0",),
            "cpu",
            "there is an NVIDIA card, but not the CUDA toolkit (nvcc)",
        ),
        (("/opt/rocm/llvm/bin/clang++",), ("/dev/kfd", "/dev/dri/renderD128"), "hip", ""),
        (
            ("glslc",),
            ("/dev/kfd", "/dev/dri/renderD128"),
            "vulkan",
            "there is an AMD card, but not ROCm (clang++ and hipBLAS)",
        ),
        (("glslc",), ("/dev/dri/renderD128",), "vulkan", ""),
    ],
)
def test_flavour_detected_on_linux(
    programs: tuple[str, ...], devices: tuple[str, ...], flavour: str, remark: str
) -> None:
    detected = recipe.detect_flavour("Linux", "x86_64", having(*programs), present(*devices))
    assert detected == (flavour, remark)


def test_flavour_detected_on_macos() -> None:
    nothing = present()
    assert recipe.detect_flavour("Darwin", "arm64", having("xcrun"), nothing) == ("metal", "")
    assert recipe.detect_flavour("Darwin", "arm64", having(), nothing) == ("cpu", "")
    assert recipe.detect_flavour("Darwin", "x86_64", having("xcrun"), nothing) == ("cpu", "")


def test_a_missing_toolkit_is_named() -> None:
    assert recipe.need_toolkit("cpu", having()) == ""
    assert recipe.need_toolkit("cuda", having("nvcc")) == "nvcc"
    with pytest.raises(BuildError, match=r"--flavour cuda needs the CUDA toolkit \(nvcc\)"):
        recipe.need_toolkit("cuda", having())
