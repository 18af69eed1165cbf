"""The scheduling policy on machines with GPUs."""

from runners.spec import Estimate
from tests.runners.plan_world import PlanWorld, gpu, host, spec

A, B, C = spec("a"), spec("b"), spec("c")


def test_models_spread_over_gpus_and_the_host_only_holds_their_rest() -> None:
    world = PlanWorld(
        (host(100), gpu(0, 10), gpu(1, 10)),
        {A: Estimate(6, 1), B: Estimate(6, 1), C: Estimate(16, 1)},
        estimated={A, B, C},
    )
    assert world.arrives(1, A) == ["start r1 of a on GPU0:6 CPU:1"]
    assert world.arrives(2, B) == ["start r2 of b on GPU1:6 CPU:1"]
    world.ready(1)
    world.ready(2)
    assert world.arrives(3, C) == []
    assert world.leaves(1) == ["stop r1: room for c/1x1, wanted by request 3"]
    assert world.leaves(2) == ["stop r2: room for c/1x1, wanted by request 3"]
    world.gone(1)
    assert world.gone(2) == ["start r3 of c on GPU0:8 GPU1:8 CPU:1"]


def test_a_model_for_the_host_does_not_wait_for_a_gpu() -> None:
    on_host = spec("b", gpu_layers=0)
    world = PlanWorld.of([host(100), gpu(0, 10)], {A: 10, on_host: 8})
    world.arrives(1, A)
    world.ready(1)
    assert world.arrives(2, on_host) == ["start r2 of b on CPU:8"]


def test_what_no_gpu_could_hold_waits_for_them_to_empty_and_is_split() -> None:
    world = PlanWorld.of([host(100), gpu(0, 10)], {A: 4, C: 15})
    world.arrives(1, A)
    world.ready(1)
    world.leaves(1)
    assert world.arrives(2, C) == ["stop r1: room for c/1x1, wanted by request 2"]
    assert world.gone(1) == ["start r2 of c on GPU0:10 CPU:5"]


def test_foreign_memory_of_a_gpu_is_not_reserved() -> None:
    world = PlanWorld.of([host(100), gpu(0, 10), gpu(1, 10)], {A: 6, B: 10})
    world.takes("GPU0", 5)
    assert world.arrives(1, A) == ["start r1 of a on GPU1:6"]
    world.ready(1)
    assert world.arrives(2, B) == []


def test_foreign_memory_of_a_gpu_is_no_reason_not_to_split() -> None:
    world = PlanWorld.of([host(100), gpu(0, 10)], {A: 9})
    world.takes("GPU0", 4)
    assert world.arrives(1, A) == ["start r1 of a on GPU0:6 CPU:3"]
