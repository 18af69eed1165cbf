"""How a Spec and a Placement are said to llama-server. Pure: lists of strings and environments.

Flags are those of the pinned llama.cpp, in the order its manual has them.
"""

from collections.abc import Mapping
from pathlib import Path

from runners.memory import cells
from runners.spec import Placement, Spec

ALIAS = "paddock-runner-5f1ab2c84e7d4d0e9b3c6a70d8e4f219"
"""What a child says in `"model"`: a text no model writes, so it can be replaced in passing."""

HOST_ONLY = "none"

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


def argv(spec: Spec, placement: Placement, socket: Path) -> list[str]:
    """The arguments of one child, the program itself left out."""
    return [
        *("--model", str(spec.weights), "--alias", ALIAS),
        *("--host", str(socket), "--offline", "--no-ui", "--no-slots"),
        # Errors only: a higher level writes lines for every request, which somebody must read.
        *("--log-verbosity", "1", "--sse-ping-interval", "-1"),
        # The first request pages the weights in just as well, and does not wait for it twice.
        "--no-warmup",
        *_context(spec),
        *_compute(spec),
        *_offload(spec, placement),
        *_extras(spec),
    ]


def fit_argv(spec: Spec) -> list[str]:
    """The arguments with which llama-fit-params says what `spec` needs, everything offloaded."""
    layers = "999" if spec.gpu_layers < 0 else str(spec.gpu_layers)
    return [
        *("--model", str(spec.weights)),
        *("--ctx-size", str(cells(spec)), "--parallel", str(spec.parallel)),
        *_compute(spec),
        *("--gpu-layers", layers, "--fit-print", "on"),
    ]


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """What a child may see of the gateway's environment, and what it is told.

    Secrets stay out. LLAMA_SERVER_ROUTER_PORT, with any value, makes the child announce its
    states on standard output and end with its supervisor.
    """
    kept = {
        name: value
        for name, value in inherited.items()
        if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }
    return {**_SPIN, **kept, "LLAMA_SERVER_ROUTER_PORT": "0"}


# Threads that wait for each other spin, by default for milliseconds; as soon as two children share
# the cores they burn the time the other needs. The shorter the spin, the more two get done at once
# and the less one alone; `python -m bench spin` shows both.
# GOMP_SPINCOUNT is GNU OpenMP's count of turns, KMP_BLOCKTIME LLVM's milliseconds.
_SPIN = {"GOMP_SPINCOUNT": "300", "KMP_BLOCKTIME": "0"}


def _context(spec: Spec) -> list[str]:
    flags = ["--ctx-size", str(cells(spec)), "--parallel", str(spec.parallel)]
    if spec.parallel > 1:
        flags += ["--kv-unified", "--kv-unified-per-slot", str(spec.context)]
    if spec.context_shift and not spec.embedding:
        flags.append("--context-shift")
    return [*flags, "--cache-ram", str(spec.prompt_cache)]


def _compute(spec: Spec) -> list[str]:
    flags = ["--flash-attn", spec.flash_attention]
    if spec.batch is not None:
        flags += ["--batch-size", str(spec.batch), "--ubatch-size", str(spec.batch)]
    if spec.cache_type:
        flags += ["--cache-type-k", spec.cache_type, "--cache-type-v", spec.cache_type]
    if spec.threads > 0:
        flags += ["--threads", str(spec.threads)]
    return flags


def _offload(spec: Spec, placement: Placement) -> list[str]:
    if not placement.devices:
        # A build without GPUs takes the flag as well; one with GPUs must not touch them.
        flags = ["--device", HOST_ONLY, "--gpu-layers", "0", "--fit", "off"]
    elif not placement.fitted and spec.gpu_layers < 0:
        flags = ["--device", ",".join(placement.devices), "--fit", "on"]
    else:
        layers = "999" if spec.gpu_layers < 0 else str(spec.gpu_layers)
        flags = ["--device", ",".join(placement.devices), "--gpu-layers", layers, "--fit", "off"]
    if spec.mmap is not None:
        flags += ["--load-mode", "mmap" if spec.mmap else "none"]
    return flags


def _extras(spec: Spec) -> list[str]:
    flags: list[str] = []
    if spec.projector:
        flags += ["--mmproj", str(spec.projector)]
    for adapter in spec.adapters:
        flags += ["--lora", str(adapter)]
    if spec.ranking:
        flags.append("--reranking")
    elif spec.embedding:
        flags.append("--embedding")
    return flags
