"""A runner's name, and what runners hold together."""

from pathlib import Path

from runners.runner import Runner, allocated
from runners.spec import Placement, Spec

SPEC = Spec(weights=Path("/m"), digest="sha256:0123456789abcdef", size=1, context=64, parallel=2)


def runner(**shares: int) -> Runner:
    return Runner(1, SPEC, Placement(tuple(shares.items())))


def test_a_runner_is_named_by_weights_context_and_slots() -> None:
    assert str(runner()) == "runner 1 (0123456789ab/64x2)"


def test_memory_is_summed_by_device() -> None:
    assert allocated([runner(CPU=1, CUDA0=5), runner(CPU=2)]) == {"CPU": 3, "CUDA0": 5}
    assert allocated([]) == {}
