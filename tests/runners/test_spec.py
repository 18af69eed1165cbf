"""Equal Specs are one key; sums of estimates and placements."""

from dataclasses import replace
from pathlib import Path

import pytest

from runners.spec import Estimate, Placement, Spec

SPEC = Spec(weights=Path("/m"), digest="sha256:0123456789abcdef", size=1, context=64, parallel=2)


def test_equal_specs_are_one_key_and_any_difference_is_another() -> None:
    assert {SPEC: 1}[replace(SPEC)] == 1
    changed = (
        replace(SPEC, context=65),
        replace(SPEC, adapters=(Path("/a"),)),
        replace(SPEC, gpu_layers=0),
        replace(SPEC, mmap=False),
        replace(SPEC, context_shift=False),
    )
    assert len({SPEC, *changed}) == 6


@pytest.mark.parametrize(
    ("other", "covered"),
    [
        (SPEC, True),
        (replace(SPEC, context=63), True),
        (replace(SPEC, context=63, parallel=4), True),
        (replace(SPEC, context=65), False),
        (replace(SPEC, digest="sha256:1"), False),
        (replace(SPEC, gpu_layers=0), False),
        (replace(SPEC, context=63, context_shift=False), False),
    ],
)
def test_a_larger_context_does_for_a_smaller_one(other: Spec, covered: bool) -> None:
    assert SPEC.covers(other) == covered


@pytest.mark.parametrize(
    "larger", [replace(SPEC, context_shift=False), replace(SPEC, embedding=True)]
)
def test_where_the_context_bounds_the_reply_or_the_text_it_does_not(larger: Spec) -> None:
    assert not larger.covers(replace(larger, context=63))


def test_a_spec_is_named_by_its_weights_context_and_slots() -> None:
    assert str(SPEC) == "0123456789ab/64x2"


def test_an_estimate_is_both_its_parts() -> None:
    assert Estimate(gpu=3, host=4).total == 7


def test_a_placement_knows_what_it_takes_of_a_device() -> None:
    placement = Placement((("CPU", 1), ("CUDA0", 5)), ("CUDA0",))
    assert [placement.on(name) for name in ("CPU", "CUDA0", "CUDA1")] == [1, 5, 0]
