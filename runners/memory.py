"""A bound on what a Spec needs, from header facts alone. Pure.

The engine knows exactly (`estimate.py`); this bound only has to be quick and never too small, so
that a model that plainly fits starts without running the engine's own estimate first.
"""

from runners.spec import MIB, Device, DeviceKind, Estimate, Shape, Spec

# Bytes per element of a cache type (block sizes of ggml: 32 elements to a block).
CACHE_BYTES = {
    "": 2.0,
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
    "iq4_nl": 18 / 32,
}
# Tokens that the engine computes at once by default (its --ubatch-size).
_UBATCH = 512
# A process, its libraries and small buffers; a CPU runner of a tiny model uses about 30 MiB.
_FIXED = 96 * MIB


def cells(spec: Spec) -> int:
    """Tokens the shared cache holds: every slot may use its whole context."""
    return spec.context * spec.parallel


def cache_size(shape: Shape, tokens: int, cache_type: str) -> int:
    """Bytes of keys and values of so many tokens, in all layers."""
    return int(shape.layers * shape.kv_width * tokens * CACHE_BYTES.get(cache_type, 2.0))


def bound(spec: Spec) -> Estimate:
    """Never less than what the engine allocates for plain transformers."""
    shape = spec.shape
    cache = cache_size(shape, cells(spec), spec.cache_type)
    ubatch = spec.batch or _UBATCH
    # Floats of the graph for one batch: the logits, and the activations of a layer.
    logits = 4 * ubatch * (shape.vocabulary + 16 * shape.embedding)
    mask = 4 * ubatch * cells(spec)
    # A twentieth more than the file: a bound that is too small lets a start fail, one that is too
    # large costs no more than the exact estimate.
    weights = int(spec.size * 1.05)
    return Estimate(gpu=weights + extras(spec) + cache + logits + mask, host=host(spec))


def extras(spec: Spec) -> int:
    """Bytes of what lies beside the weights: adapters, and a projector."""
    # A projector needs about as much again for a graph of its own.
    return spec.adapters_size + 2 * spec.media


def host(spec: Spec) -> int:
    """Bytes a runner needs beside weights, cache and graph: its process, and its prompt cache."""
    return _FIXED + spec.prompt_cache * MIB


def comfortable(need: Estimate, devices: tuple[Device, ...]) -> bool:
    """Whether `need` fits one device twice over, so that an exact estimate could change nothing."""
    gpus = [device for device in devices if device.kind is DeviceKind.GPU]
    rooms = gpus or [device for device in devices if device.kind is DeviceKind.CPU]
    return any(2 * need.total <= device.free for device in rooms)
