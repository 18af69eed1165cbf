"""The bound on what a Spec needs: its parts, with literal sizes."""

from dataclasses import replace
from pathlib import Path

import pytest

from runners.memory import bound, cells, comfortable, extras, host
from runners.spec import GIB, MIB, Device, DeviceKind, Estimate, Shape, Spec

SHAPE = Shape(layers=32, embedding=4096, vocabulary=128256, kv_width=2048)
SPEC = Spec(Path("m"), "sha256:00", size=4_000_000_000, shape=SHAPE, context=8192)
CPU = Device("CPU", DeviceKind.CPU, 64 * GIB, 32 * GIB)


def test_the_bound_of_an_8b_model_is_the_sum_of_its_parts() -> None:
    weights = 4_200_000_000
    cache = 32 * 2048 * 8192 * 2
    logits = 4 * 512 * (128256 + 16 * 4096)
    mask = 4 * 512 * 8192
    assert bound(SPEC) == Estimate(gpu=weights + cache + logits + mask, host=96 * MIB)


@pytest.mark.parametrize(
    ("cache_type", "size"),
    [
        ("", 1 << 30),
        ("f16", 1 << 30),
        ("f32", 1 << 31),
        ("q8_0", (1 << 30) * 34 // 64),
        ("q4_0", (1 << 30) * 18 // 64),
        ("a type of tomorrow", 1 << 30),
    ],
)
def test_the_cache_costs_what_its_type_says(cache_type: str, size: int) -> None:
    shape = Shape(layers=32, kv_width=2048)
    spec = Spec(Path("m"), "d", size=0, shape=shape, context=8192, cache_type=cache_type)
    assert bound(spec).gpu == size + 4 * 512 * 8192


def test_every_slot_has_room_for_its_whole_context() -> None:
    assert cells(replace(SPEC, parallel=4)) == 32768
    one, four = bound(SPEC), bound(replace(SPEC, parallel=4))
    assert four.gpu - one.gpu == 3 * (32 * 2048 * 8192 * 2 + 4 * 512 * 8192)


def test_a_larger_batch_needs_a_larger_graph() -> None:
    doubled = bound(replace(SPEC, batch=1024)).gpu - bound(SPEC).gpu
    assert doubled == 4 * 512 * (128256 + 16 * 4096) + 4 * 512 * 8192


def test_a_projector_counts_twice_adapters_once_and_a_prompt_cache_lives_on_the_host() -> None:
    spec = replace(SPEC, media=700, adapters_size=30, prompt_cache=512)
    assert extras(spec) == 1430
    assert bound(spec).gpu == bound(SPEC).gpu + 1430
    assert host(spec) == bound(spec).host == 608 * MIB


def test_total_is_both_parts() -> None:
    assert Estimate(gpu=3, host=4).total == 7


@pytest.mark.parametrize(
    ("devices", "answer"),
    [
        ((CPU,), True),
        ((replace(CPU, free=20 * GIB),), True),
        ((replace(CPU, free=20 * GIB - 1),), False),
        ((CPU, Device("GPU0", DeviceKind.GPU, 24 * GIB, 12 * GIB)), False),
        ((CPU, Device("GPU0", DeviceKind.GPU, 24 * GIB, 20 * GIB)), True),
        (
            (
                CPU,
                Device("GPU0", DeviceKind.GPU, 24 * GIB, 12 * GIB),
                Device("GPU1", DeviceKind.GPU, 24 * GIB, 20 * GIB),
            ),
            True,
        ),
        ((), False),
    ],
)
def test_comfortable_is_twice_over_on_one_device_and_on_a_gpu_if_there_is_one(
    devices: tuple[Device, ...], answer: bool
) -> None:
    assert comfortable(Estimate(gpu=9 * GIB, host=GIB), devices) is answer
