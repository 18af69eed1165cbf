"""From a model, its options and the settings to a Spec."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway import names
from gateway.inference.launch import Defaults, cache_room, default_context, shape, spec_for
from gateway.inference.options import merge
from gateway.store.gguf import Array, Header
from gateway.store.json_files import Config
from gateway.store.manifests import LAYER_TYPE, Layer, Manifest
from gateway.store.model import Model
from runners import GIB, MIB, Device, DeviceKind, Shape, Spec

METADATA: dict[str, Any] = {
    "general.architecture": "llama",
    "llama.context_length": 8192,
    "llama.embedding_length": 512,
    "llama.block_count": 4,
    "llama.attention.head_count": 8,
    "llama.attention.head_count_kv": 2,
    "tokenizer.ggml.tokens": Array("string", 32000),
}
SHAPE = Shape(layers=4, embedding=512, vocabulary=32000, kv_width=2 * (64 + 64))
HEADER = Header(METADATA, (), 1000)
MODEL = Model(
    name=names.parse("m"),
    digest="0" * 64,
    size=1234,
    modified_ns=0,
    config=Config(family="llama"),
    parent="",
    capabilities=("completion",),
    native=True,
    templated=False,
    weights=Path("/blobs/w"),
    weights_digest="sha256:w",
    projectors=(),
    adapters=(),
    draft=None,
    template=None,
    system="",
    parameters={},
    messages=(),
    licenses=(),
    header=HEADER,
    projector=None,
    manifest=Manifest((), None),
)
VISION = replace(MODEL, capabilities=("completion", "vision"))
MEAN, LAST, RANK = 1, 3, 4
DEFAULTS = Defaults(context=4096, parallel=2)


def embedder(pooling: int, trained: int = 8192) -> Model:
    facts = {"llama.pooling_type": pooling, "llama.context_length": trained}
    return replace(MODEL, header=Header({**METADATA, **facts}, (), 1000))


EMBEDDER = embedder(MEAN)


def spec(model: Model = MODEL, defaults: Defaults = DEFAULTS, **options: Any) -> Spec:
    return spec_for(model, merge({}, options)[0], defaults)


def gpu(size: int) -> Device:
    return Device("GPU", DeviceKind.GPU, size, size)


def cpu(size: int) -> Device:
    return Device("CPU", DeviceKind.CPU, size, size)


def with_metadata(**changes: Any) -> Header:
    """`HEADER` with these attention counts; None takes one away."""
    keys = {f"llama.attention.{key}": value for key, value in changes.items()}
    merged = {**METADATA, **keys}
    return Header({key: value for key, value in merged.items() if value is not None}, (), 0)


def test_a_spec_has_everything_a_plain_model_says() -> None:
    assert spec() == Spec(
        weights=Path("/blobs/w"),
        digest="sha256:w",
        size=1000,
        shape=SHAPE,
        context=4096,
        parallel=2,
        context_shift=True,
    )


def test_options_that_shape_a_runner_are_in_the_spec() -> None:
    result = spec(num_ctx=100, num_batch=64, num_gpu=3, main_gpu=1, num_thread=7, use_mmap=False)
    assert (result.context, result.batch, result.gpu_layers, result.main_gpu) == (100, 64, 3, 1)
    assert (result.threads, result.mmap) == (7, False)


def test_options_of_a_request_are_not() -> None:
    assert spec(temperature=0, seed=1, num_keep=3, num_predict=9, stop=["x"], top_k=1) == spec()


def test_a_default_batch_is_left_to_the_engine() -> None:
    assert merge({}, {})[0].num_batch == 512
    assert spec().batch is None
    assert spec(num_batch=512).batch == 512


@pytest.mark.parametrize("count", [-1, 0, 1, 7])
def test_a_batch_that_would_end_the_engine_is_raised(count: int) -> None:
    assert spec(num_batch=count).batch == 8
    assert spec(EMBEDDER, num_batch=count).batch == 8


@pytest.mark.parametrize(
    ("requested", "context"), [(48, 256), (256, 256), (257, 512), (4096, 4096)]
)
def test_a_context_that_ends_a_reply_comes_in_whole_blocks(requested: int, context: int) -> None:
    options = merge({}, {"num_ctx": requested})[0]
    assert spec_for(MODEL, options, DEFAULTS, shift=False).context == context
    assert spec_for(MODEL, options, DEFAULTS, shift=True).context == requested


def test_a_batch_holds_an_image() -> None:
    assert spec(VISION, num_batch=64).batch == 512
    assert spec(VISION, num_batch=600).batch == 600


def test_the_settings_are_in_the_spec() -> None:
    result = spec(defaults=Defaults(4096, 3, 0, "q8_0", "on", 99))
    assert (result.parallel, result.cache_type, result.flash_attention) == (3, "q8_0", "on")
    assert result.prompt_cache == 99


def test_projector_and_adapters_are_in_the_spec() -> None:
    one, two = Path("/blobs/p"), Path("/blobs/q")
    seeing = replace(VISION, projectors=(one, two), projector=Header({}, (), 77), adapters=(two,))
    result = spec(seeing)
    assert (result.projector, result.media, result.adapters) == (one, 77, (two,))
    assert spec(replace(seeing, projector=None)).media == 0


def test_the_bytes_of_all_adapters_are_in_the_spec() -> None:
    sizes = (("model", 1000), ("adapter", 30), ("adapter", 4), ("license", 200))
    layers = tuple(Layer(LAYER_TYPE + kind, "sha256:0", size) for kind, size in sizes)
    assert spec(replace(MODEL, manifest=Manifest(layers, None))).adapters_size == 34
    assert spec().adapters_size == 0


@pytest.mark.parametrize(
    ("model", "requested", "context"),
    [
        (MODEL, None, 4096),
        (MODEL, 1, 4),
        (MODEL, 5000, 5000),
        (MODEL, 100_000, 8192),
        (MODEL, 0, 4096),
        (VISION, 16, 2048),
        (VISION, 3000, 3000),
        (replace(MODEL, header=None), 100_000, 100_000),
        (replace(MODEL, header=Header({}, (), 5)), 100_000, 100_000),
    ],
)
def test_the_context_stays_within_what_the_model_can_do(
    model: Model, requested: int | None, context: int
) -> None:
    assert spec(model, num_ctx=requested).context == context


def test_a_vision_model_trained_for_little_gets_no_more_than_that() -> None:
    small = Header({**METADATA, "llama.context_length": 512}, (), 0)
    assert spec(replace(VISION, header=small)).context == 512


def test_an_embedding_model_has_no_prompt_cache() -> None:
    result = spec(EMBEDDER, Defaults(4096, 8, prompt_cache=99))
    assert (result.embedding, result.parallel, result.prompt_cache) == (True, 8, 0)


@pytest.mark.parametrize(("pooling", "ranks"), [(MEAN, False), (LAST, False), (RANK, True)])
def test_a_model_ranks_by_its_pooling(pooling: int, ranks: bool) -> None:
    result = spec(embedder(pooling))
    assert (result.embedding, result.ranking) == (True, ranks)
    assert spec(MODEL).ranking is False


@pytest.mark.parametrize(
    ("pooling", "requested", "batch"),
    [
        (MEAN, {}, 4096),
        (MEAN, {"num_ctx": 100}, 100),
        (MEAN, {"num_ctx": 100_000}, 8192),
        (MEAN, {"num_batch": 64}, 64),
        (LAST, {}, 2048),
        (LAST, {"num_ctx": 100}, 100),
        (LAST, {"num_ctx": 100_000}, 2048),
        (LAST, {"num_batch": 4096}, 4096),
    ],
)
def test_a_text_to_embed_is_read_at_once_unless_its_last_token_decides(
    pooling: int, requested: dict[str, Any], batch: int
) -> None:
    assert spec(embedder(pooling, 16_384), **requested).batch == batch


@pytest.mark.parametrize(
    ("parallel", "context", "slots"),
    [(4, 512, 4), (4, 510, 2), (4, 511, 1), (3, 512, 1), (3, 513, 3), (1, 512, 1), (0, 512, 4)],
)
def test_slots_share_the_batch_of_an_embedding_model_evenly(
    parallel: int, context: int, slots: int
) -> None:
    defaults = Defaults(context, parallel, cache_room=GIB)
    assert spec(EMBEDDER, defaults).parallel == slots
    assert spec(MODEL, defaults).parallel == (parallel or 4)


@pytest.mark.parametrize(
    ("family", "requested", "shift"),
    [("llama", None, True), ("deepseek2", None, False), ("llama", False, False)],
)
def test_a_context_is_shifted_unless_it_cannot_or_must_not(
    family: str, requested: bool | None, shift: bool
) -> None:
    model = replace(MODEL, config=Config(family=family))
    assert spec_for(model, merge({}, {})[0], DEFAULTS, requested).context_shift is shift
    assert spec_for(model, merge({}, {})[0], DEFAULTS, True).context_shift is True


def test_a_header_that_cannot_be_read_leaves_the_size_on_record() -> None:
    result = spec(replace(MODEL, header=None))
    assert (result.size, result.shape, result.embedding) == (1234, Shape(), False)


# ---- slots


@pytest.mark.parametrize(("room", "slots"), [(32, 4), (31, 2), (16, 2), (15, 1), (0, 1)])
def test_automatic_slots_are_as_many_as_their_caches_leave_room_for(room: int, slots: int) -> None:
    """One slot of 4096 tokens keeps 4 layers x 256 elements x 2 bytes x 4096: 8 MiB."""
    assert spec(defaults=Defaults(4096, 0, room * MIB)).parallel == slots


def test_smaller_cache_types_leave_room_for_more_slots() -> None:
    assert spec(defaults=Defaults(4096, 0, 17 * MIB)).parallel == 2
    assert spec(defaults=Defaults(4096, 0, 17 * MIB, "q8_0")).parallel == 4


def test_slots_that_were_asked_for_are_given_whatever_they_take() -> None:
    assert spec(defaults=Defaults(4096, 16, 0)).parallel == 16


def test_room_for_caches_is_a_quarter_of_the_gpus_or_of_the_host() -> None:
    assert cache_room((cpu(64 * GIB), gpu(8 * GIB), gpu(24 * GIB))) == 8 * GIB
    assert cache_room((cpu(64 * GIB),)) == 16 * GIB
    assert cache_room(()) == 0


@pytest.mark.parametrize(
    ("gpus", "context"),
    [
        ((), 4096),
        ((23 * GIB - 1,), 4096),
        ((23 * GIB,), 32768),
        ((12 * GIB, 12 * GIB), 32768),
        ((47 * GIB,), 262144),
        ((24 * GIB, 24 * GIB), 262144),
    ],
)
def test_the_default_context_goes_by_the_memory_of_all_gpus(
    gpus: tuple[int, ...], context: int
) -> None:
    assert default_context((cpu(512 * GIB), *map(gpu, gpus))) == context


# ---- shape


def test_the_shape_is_read_from_the_header() -> None:
    assert shape(HEADER) == SHAPE
    assert shape(Header({}, (), 0)) == Shape()


@pytest.mark.parametrize(
    ("changes", "width"),
    [
        ({"head_count_kv": None}, 8 * 128),
        ({"key_length": 96, "value_length": 32}, 2 * 128),
        ({"head_count_kv": Array("i32", 4)}, 8 * 128),
        ({"head_count": Array("i32", 4), "head_count_kv": Array("i32", 4)}, 1024),
        ({"head_count": 0, "head_count_kv": 0}, 1024),
    ],
)
def test_counts_that_are_not_one_number_are_taken_at_their_most(
    changes: dict[str, Any], width: int
) -> None:
    assert shape(with_metadata(**changes)).kv_width == width
