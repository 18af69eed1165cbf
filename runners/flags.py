"""A Spec and a Placement as flags of llama-server. Pure: lists of strings and environments.

Flags are those of the pinned llama.cpp, in the order its manual has them.
"""

from collections.abc import Mapping
from pathlib import Path

from runners.memory import cells
from runners.spec import Placement, Spec

ALIAS = "paddock-runner-5f1ab2c84e7d4d0e9b3c6a70d8e4f219"
"""What a runner writes as `"model"`: a text no model writes, so it can be replaced in passing."""

# Secrets in the gateway's environment are no business of the engine's, and LLAMA_ARG_* variables
# would override flags. What remains is what programs, drivers and OpenMP need.
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "TZ")
_INHERITED_PREFIXES = (
    "LD_LIBRARY_PATH",
    "DYLD_",
    "CUDA_",
    "NVIDIA_",
    "GGML_",
    "HIP_",
    "HSA_",
    "ROCR_",
    "ROCM_",
    "VK_",
    "MESA_",
    "LC_",
    "OMP_",
    "GOMP_",
    "KMP_",
)

# OpenMP threads that wait for each other spin, by default for milliseconds. As soon as two runners
# share the cores, each burns the time that the other needs: two models at once then generate a few
# per cent of the tokens that they do with this spin. One runner alone is slower by about a sixth;
# `python -m bench spin` shows both.
# GOMP_SPINCOUNT is GNU OpenMP's count of turns, KMP_BLOCKTIME LLVM's milliseconds.
_SPIN = {"GOMP_SPINCOUNT": "300", "KMP_BLOCKTIME": "0"}


def argv(spec: Spec, placement: Placement, socket: Path) -> list[str]:
    """The arguments of one runner, the program itself left out."""
    flags = [
        *("--model", str(spec.weights), "--alias", ALIAS),
        *("--host", str(socket), "--offline", "--no-ui", "--no-slots"),
        # Errors only: a higher level writes lines for every request, which somebody must read.
        *("--log-verbosity", "1", "--sse-ping-interval", "-1"),
        # The first request pages the weights in just as well, and does not wait for it twice.
        "--no-warmup",
        *("--ctx-size", str(cells(spec)), "--parallel", str(spec.parallel)),
    ]
    if spec.parallel > 1:
        # Without a unified cache each slot would have a fixed part of it.
        flags += ["--kv-unified", "--kv-unified-per-slot", str(spec.context)]
    if spec.context_shift and not spec.embedding:
        flags.append("--context-shift")
    flags += ["--cache-ram", str(spec.prompt_cache), *_compute(spec)]
    if not placement.devices:
        # A build without GPUs takes the flag as well; one with GPUs must not touch them.
        flags += ["--device", "none", "--gpu-layers", "0", "--fit", "off"]
    elif not placement.fitted and spec.gpu_layers < 0:
        # The only case in which the engine may place layers as it sees fit: what we know is that
        # some of them have to stay on the host, and not which.
        flags += ["--device", ",".join(placement.devices), "--fit", "on"]
    else:
        flags += ["--device", ",".join(placement.devices), *_layers(spec), "--fit", "off"]
    if spec.mmap is not None:
        flags += ["--load-mode", "mmap" if spec.mmap else "none"]
    if spec.projector:
        flags += ["--mmproj", str(spec.projector)]
    for adapter in spec.adapters:
        flags += ["--lora", str(adapter)]
    if spec.ranking:
        flags.append("--reranking")
    elif spec.embedding:
        flags.append("--embedding")
    return flags


def fit_argv(spec: Spec) -> list[str]:
    """The arguments with which llama-fit-params says what `spec` needs, everything offloaded."""
    return [
        *("--model", str(spec.weights)),
        *("--ctx-size", str(cells(spec)), "--parallel", str(spec.parallel)),
        *_compute(spec),
        *(*_layers(spec), "--fit-print", "on"),
    ]


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of a runner, from that of the gateway."""
    kept = {
        name: value
        for name, value in inherited.items()
        if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }
    # With any value LLAMA_SERVER_ROUTER_PORT makes the engine announce its states on standard
    # output, read exit lines on standard input, and end when that closes.
    return {**_SPIN, **kept, "LLAMA_SERVER_ROUTER_PORT": "0"}


def _layers(spec: Spec) -> list[str]:
    # More than any model has: all of them.
    return ["--gpu-layers", "999" if spec.gpu_layers < 0 else str(spec.gpu_layers)]


def _compute(spec: Spec) -> list[str]:
    flags = ["--flash-attn", spec.flash_attention]
    if spec.batch is not None:
        flags += ["--batch-size", str(spec.batch), "--ubatch-size", str(spec.batch)]
    if spec.cache_type:
        flags += ["--cache-type-k", spec.cache_type, "--cache-type-v", spec.cache_type]
    if spec.threads > 0:
        flags += ["--threads", str(spec.threads)]
    return flags
