"""The frozen facts that decide how a runner is launched and placed.

A runner is one llama-server process under our care. Equal Specs share one; what can change between
two requests to one runner (sampling, prompts, stop words) is no part of a Spec.
"""

from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Shape:
    """The GGUF facts a memory bound needs; all counts, no bytes."""

    layers: int = 0
    embedding: int = 0
    vocabulary: int = 0
    kv_width: int = 0
    """Elements of K plus V that one token keeps in one layer."""


@dataclass(frozen=True, slots=True)
class Spec:
    """Everything that decides how one runner is launched."""

    weights: Path
    digest: str
    """Digest of the weights: the identity under which loads are cached and unloaded."""
    size: int
    """Bytes of the weights on disk."""
    shape: Shape = Shape()
    projector: Path | None = None
    media: int = 0
    """Bytes of the projector on disk."""
    adapters: tuple[Path, ...] = ()
    adapters_size: int = 0
    """Bytes of the adapters on disk."""
    context: int = 4096
    """Tokens that one request may use: prompt and reply together."""
    parallel: int = 1
    """Slots: requests that are batched together."""
    context_shift: bool = True
    batch: int | None = None
    gpu_layers: int = -1
    """-1: as many as fit; 0: none."""
    main_gpu: int | None = None
    threads: int = 0
    """0: the engine decides."""
    mmap: bool | None = None
    embedding: bool = False
    ranking: bool = False
    """An embedding model that gives a score for each pair of texts, not a vector for each text."""
    cache_type: str = ""
    """Type of the K and V caches; empty: the engine's default, f16."""
    flash_attention: str = "auto"
    prompt_cache: int = 0
    """MiB of host memory for prompts of slots that moved on."""

    def covers(self, other: "Spec") -> bool:
        """Whether a runner of this Spec can serve requests for `other`."""
        # The gateway holds a prompt to the smaller context itself. But without context shift the
        # context ends a reply, and the batch of an embedding model bounds its texts: there a larger
        # one is not the same thing.
        if self.context < other.context or not self.context_shift or self.embedding:
            return False
        return replace(self, context=other.context, parallel=other.parallel) == other

    def __str__(self) -> str:
        return f"{self.digest.removeprefix('sha256:')[:12]}/{self.context}x{self.parallel}"


class DeviceKind(Enum):
    CPU = "cpu"
    GPU = "gpu"


@dataclass(frozen=True, slots=True)
class Device:
    """A place for weights and caches; sizes in bytes. `free` is what the last probe saw."""

    name: str
    kind: DeviceKind
    total: int
    free: int
    description: str = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes a Spec will need: `gpu` wants to live on GPUs if there are any, `host` never does."""

    gpu: int
    host: int
    exact: bool = False
    """The engine's own estimate, not our bound."""

    @property
    def total(self) -> int:
        return self.gpu + self.host


@dataclass(frozen=True, slots=True)
class Placement:
    """Which devices a runner gets, and how many bytes of each are set aside for it."""

    shares: tuple[tuple[str, int], ...]
    devices: tuple[str, ...] = ()
    """GPUs to name on the command line; none: the host alone."""
    fitted: bool = True
    """All layers are on GPUs; otherwise the engine splits them as it sees fit."""

    def on(self, device: str) -> int:
        return sum(size for name, size in self.shares if name == device)


@dataclass(frozen=True, slots=True)
class Limits:
    """The operator's bounds on the scheduler."""

    runners: int = 0
    """Most runners alive at once; 0: three for each GPU, three without one."""
    queue: int = 512
    """Most pending leases."""
    keep_alive: float = 300.0
    """Seconds an idle runner stays when neither request nor model says otherwise."""
    headroom: float = 0.08
    """Fraction of a device's memory that is never given to runners."""
    overhead: int = 0
    """Bytes of each GPU set aside for others."""
    spread: bool = False
    """Use all GPUs for a model even if one would do."""
    patience: float = 2.0
    """Seconds for which newcomers may keep a runner busy whose memory a pending lease needs."""
