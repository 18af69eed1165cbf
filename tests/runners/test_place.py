"""Which devices a Spec gets, in small numbers."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runners.place import Machine, place, usable
from runners.spec import Device, DeviceKind, Estimate, Limits, Placement
from tests.runners.plan_world import LIMITS, gpu, host, spec

A = spec("a")
ONE = Machine.of([host(100), gpu(0, 24)], LIMITS)
TWO = Machine.of([host(100), gpu(0, 24), gpu(1, 24)], LIMITS)
BARE = Machine.of([host(100)], LIMITS)


def test_a_machine_names_its_host_and_its_gpus() -> None:
    assert TWO.host == "CPU"
    assert TWO.gpus == ("GPU0", "GPU1")
    assert TWO.capacity == {"CPU": 100, "GPU0": 24, "GPU1": 24}


def test_headroom_is_kept_on_every_device_and_overhead_on_gpus_only() -> None:
    limits = Limits(headroom=0.1, overhead=50)
    assert usable(Device("CPU", DeviceKind.CPU, 1000, 3), limits) == 900
    assert usable(Device("GPU0", DeviceKind.GPU, 1000, 3), limits) == 850
    assert usable(Device("GPU0", DeviceKind.GPU, 40, 40), limits) == 0


def test_without_gpus_everything_is_on_the_host() -> None:
    assert place(A, Estimate(8, 2), BARE, {"CPU": 10}) == Placement((("CPU", 10),))
    assert place(A, Estimate(8, 2), BARE, {"CPU": 9}) is None


def test_no_gpu_layers_means_the_host_even_beside_an_empty_gpu() -> None:
    none = spec("a", gpu_layers=0)
    assert place(none, Estimate(8, 2), ONE, ONE.capacity) == Placement((("CPU", 10),))


def test_one_gpu_takes_its_part_and_the_host_the_rest() -> None:
    placement = place(A, Estimate(24, 3), ONE, ONE.capacity)
    assert placement == Placement((("GPU0", 24), ("CPU", 3)), ("GPU0",))
    assert placement.on("GPU0") == 24
    assert placement.on("CPU") == 3
    assert placement.on("GPU9") == 0


def test_the_emptiest_gpu_is_chosen() -> None:
    room = {"CPU": 100, "GPU0": 10, "GPU1": 12}
    assert place(A, Estimate(8, 0), TWO, room) == Placement(
        (("GPU1", 8), ("CPU", 0)), ("GPU1",)
    )  # fmt: skip


def test_what_no_single_gpu_holds_is_spread_in_proportion_to_what_is_free() -> None:
    room = {"CPU": 100, "GPU0": 20, "GPU1": 10}
    assert place(A, Estimate(27, 1), TWO, room) == Placement(
        (("GPU0", 18), ("GPU1", 9), ("CPU", 1)), ("GPU0", "GPU1")
    )


def test_a_full_gpu_gets_no_share_of_a_spread() -> None:
    room = {"CPU": 100, "GPU0": 24, "GPU1": -4, "GPU2": 6}
    machine = Machine.of([host(100), gpu(0, 24), gpu(1, 24), gpu(2, 24)], LIMITS)
    placement = place(A, Estimate(25, 0), machine, room)
    assert placement is not None
    assert dict(placement.shares) == {"GPU0": 20, "GPU1": 0, "GPU2": 5, "CPU": 0}


def test_a_chosen_gpu_is_the_only_one_considered() -> None:
    second = spec("a", main_gpu=1)
    assert place(second, Estimate(8, 0), TWO, TWO.capacity) == Placement(
        (("GPU1", 8), ("CPU", 0)), ("GPU1",)
    )
    assert place(second, Estimate(8, 0), TWO, {"CPU": 100, "GPU0": 24, "GPU1": 7}) is None
    assert place(second, Estimate(30, 0), TWO, TWO.capacity) == Placement(
        (("GPU1", 24), ("CPU", 6)), ("GPU1",), fitted=False
    )


def test_a_gpu_that_is_not_there_cannot_be_chosen() -> None:
    for number in (5, -1):
        placement = place(spec("a", main_gpu=number), Estimate(8, 0), ONE, ONE.capacity)
        assert placement == Placement((("GPU0", 8), ("CPU", 0)), ("GPU0",))


def test_what_no_set_of_gpus_could_hold_is_split_with_the_host() -> None:
    assert place(A, Estimate(30, 2), ONE, ONE.capacity) == Placement(
        (("GPU0", 24), ("CPU", 8)), ("GPU0",), fitted=False
    )
    assert place(A, Estimate(50, 2), TWO, TWO.capacity) == Placement(
        (("GPU0", 24), ("GPU1", 24), ("CPU", 4)), ("GPU0", "GPU1"), fitted=False
    )


@pytest.mark.parametrize("room", [19, 0])
def test_a_split_waits_until_the_gpus_are_nearly_empty(room: int) -> None:
    assert place(A, Estimate(30, 2), ONE, {"CPU": 100, "GPU0": room}) is None


def test_a_split_takes_gpus_that_are_four_fifths_empty() -> None:
    placement = place(A, Estimate(30, 2), ONE, {"CPU": 100, "GPU0": 20})
    assert placement == Placement((("GPU0", 20), ("CPU", 12)), ("GPU0",), fitted=False)


def test_what_would_fit_empty_gpus_is_not_split() -> None:
    assert place(A, Estimate(24, 0), ONE, {"CPU": 100, "GPU0": 23}) is None


def test_a_split_needs_room_on_the_host() -> None:
    assert place(A, Estimate(30, 2), ONE, {"CPU": 7, "GPU0": 24}) is None


def test_full_gpus_and_nothing_to_put_there_are_no_error() -> None:
    full = {"CPU": 100, "GPU0": 0, "GPU1": 0}
    assert place(A, Estimate(0, 101), TWO, full) is None


SIZE = st.integers(0, 40)
ROOM = st.fixed_dictionaries({"CPU": SIZE, "GPU0": SIZE, "GPU1": st.integers(-5, 40)})


@given(SIZE, SIZE, ROOM, st.sampled_from([None, 0, 1]), st.sampled_from([-1, 0, 5]))
@example(25, 1, {"CPU": 0, "GPU0": 0, "GPU1": 27}, 1, -1)  # more room than was usable
def test_a_placement_holds_the_need_and_fits_the_room(
    need_gpu: int, need_host: int, room: dict[str, int], main: int | None, layers: int
) -> None:
    wish = replace(A, main_gpu=main, gpu_layers=layers)
    placement = place(wish, Estimate(need_gpu, need_host), TWO, room)
    if placement is None:
        return
    shares = dict(placement.shares)
    assert all(0 <= size <= max(0, room[name]) for name, size in shares.items())
    assert sum(shares.values()) == need_gpu + need_host
    assert set(placement.devices) == {name for name in shares if name != "CPU"}
