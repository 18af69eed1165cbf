"""From a model and its options to a Spec. Pure."""

from dataclasses import dataclass
from math import gcd
from typing import Any

from gateway.inference.options import Options
from gateway.store.gguf import Header
from gateway.store.model import Model
from runners import GIB, Device, DeviceKind, Shape, Spec, cache_size

_LEAST_CONTEXT = 4
_LEAST_VISION_CONTEXT = 2048
_DEFAULT_CONTEXT = 4096
# The engine's caches come in blocks of so many tokens.
_CELLS = 256
# With fewer the engine ends itself: with none at all, or where it must see an image at once.
_LEAST_BATCH = 8
_LEAST_VISION_BATCH = 512
_AUTOMATIC_SLOTS = 4
# Ollama's tiers of GPU memory and the context they are given.
_TIERS = ((47 * GIB, 262_144), (23 * GIB, 32_768))
# The GGUF's number for pooling that takes the last token's output.
_POOLS_LAST = 3
# Most tokens of a batch for texts read in pieces, and for those that must be read at once; what the
# engine sets aside for the latter grows with the square.
_PIECE = 2048
_LONGEST_WHOLE = 8192
# Its cache cannot be shifted.
_NO_SHIFT = ("deepseek2",)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the settings say about every runner."""

    context: int = 4096
    """Tokens, where neither request nor model says."""
    parallel: int = 0
    """Slots; 0: four, or fewer where the caches of four would take more than `cache_room`."""
    cache_room: int = 4 * GIB
    cache_type: str = ""
    flash_attention: str = "auto"
    prompt_cache: int = 0


def default_context(devices: tuple[Device, ...]) -> int:
    """Tokens of context when nobody says: by the memory of all GPUs together."""
    memory = sum(device.total for device in devices if device.kind is DeviceKind.GPU)
    return next((context for least, context in _TIERS if memory >= least), _DEFAULT_CONTEXT)


def spec_for(model: Model, options: Options, defaults: Defaults, shift: bool | None = None) -> Spec:
    """How to launch `model`. `shift`: whether a reply may push the oldest tokens out."""
    header = model.header
    embedding = header is not None and header.pooling
    if shift is None:
        shift = model.config.family not in _NO_SHIFT
    facts, layers = shape(header) if header else Shape(), model.manifest.layers
    tokens = context_for(model, options, defaults)
    if not shift:
        # Where the context ends a reply, it is as large as Ollama's engine makes it.
        tokens = -(-tokens // _CELLS) * _CELLS
    slots, batch = _slots(facts, tokens, defaults), _batch(model, options, tokens)
    if embedding and batch:
        slots = gcd(slots, batch)  # the engine shares a batch out evenly, or ends itself
    return Spec(
        weights=model.weights,
        digest=model.weights_digest,
        size=header.size if header else model.size,
        shape=facts,
        projector=model.projectors[0] if model.projectors else None,
        media=model.projector.size if model.projector else 0,
        adapters=model.adapters,
        adapters_size=sum(layer.size for layer in layers if layer.kind == "adapter"),
        context=tokens,
        parallel=slots,
        context_shift=shift,
        batch=batch,
        gpu_layers=options.num_gpu,
        main_gpu=options.main_gpu,
        threads=options.num_thread,
        mmap=options.use_mmap,
        embedding=embedding,
        ranking=header is not None and header.ranks,
        cache_type=defaults.cache_type,
        flash_attention=defaults.flash_attention,
        prompt_cache=0 if embedding else defaults.prompt_cache,
    )


def context_for(model: Model, options: Options, defaults: Defaults) -> int:
    """Tokens: within what the model was trained for, and not below what it cannot do without."""
    wanted = options.num_ctx or defaults.context
    least = _LEAST_VISION_CONTEXT if "vision" in model.capabilities else _LEAST_CONTEXT
    trained = model.header.context_length if model.header else 0
    return min(max(wanted, least), trained) if trained else max(wanted, least)


def _batch(model: Model, options: Options, context: int) -> int | None:
    """Tokens that are computed at once; None: as many as the engine likes."""
    header = model.header
    if "num_batch" in options.given:
        least = _LEAST_VISION_BATCH if "vision" in model.capabilities else _LEAST_BATCH
        return max(options.num_batch, least)
    if header is None or not header.pooling:
        return None
    # What an embedding model says of a text comes from all of its tokens together, which must then
    # be one batch, unless it is what the last one says.
    last = header.get("pooling_type") == _POOLS_LAST
    return min(context, _PIECE if last else _LONGEST_WHOLE)


def cache_room(devices: tuple[Device, ...]) -> int:
    """Bytes that one model's automatic slots may fill: a quarter of the largest kind of memory."""
    gpus = sum(device.total for device in devices if device.kind is DeviceKind.GPU)
    return (gpus or sum(device.total for device in devices)) // 4


def _slots(facts: Shape, context: int, defaults: Defaults) -> int:
    # Every slot may use its whole context, so long contexts are given fewer of them.
    slots = defaults.parallel or _AUTOMATIC_SLOTS
    while not defaults.parallel and slots > 1:
        if cache_size(facts, context * slots, defaults.cache_type) <= defaults.cache_room:
            break
        slots //= 2
    return slots


def shape(header: Header) -> Shape:
    """What a memory bound needs. Counts that differ from layer to layer are taken at their most."""
    heads = _number(header.get("attention.head_count"), 1)
    kv_heads = _number(header.get("attention.head_count_kv"), heads)
    head = header.embedding_length // max(1, heads)
    key = _number(header.get("attention.key_length"), head)
    value = _number(header.get("attention.value_length"), head)
    vocabulary = header.metadata.get("tokenizer.ggml.tokens")
    return Shape(
        layers=header.block_count,
        embedding=header.embedding_length,
        vocabulary=getattr(vocabulary, "length", 0),
        kv_width=kv_heads * (key + value),
    )


def _number(value: Any, default: int) -> int:
    return value if isinstance(value, int) and value > 0 else default
