"""The scheduling policy where there is not enough for all: room, reservations, patience, GPUs."""

from dataclasses import replace

import pytest

from runners.plan import most_runners
from runners.spec import Device, Estimate, Limits
from tests.runners.test_plan import WIDE, A, B, C, small_host
from tests.runners.world import LIMITS, World, gpu, host, spec

# Rule 3: room is made from idle runners


def test_the_least_recently_used_idle_runner_makes_room() -> None:
    world = small_host()
    for request, each in ((1, A), (2, B)):
        world.arrives(request, each)
        world.ready(request)
        world.now += 1
    world.leaves(2)
    world.now += 1
    world.leaves(1)
    assert world.arrives(3, spec("a", parallel=2)) == [
        "stop r1: room for a/1x2, wanted by request 3",
    ]
    assert world.gone(1) == ["start r3 of a on CPU:4"]


def test_idle_runners_go_oldest_first_and_only_as_many_as_it_takes() -> None:
    needs = {A: 3, B: 3, C: 3, spec("d"): 5}
    world = World.of([host(10)], needs)
    for request, each in ((1, A), (2, B), (3, C)):
        world.arrives(request, each)
        world.ready(request)
        world.leaves(request)
        world.now += 1
    assert world.arrives(4, spec("d")) == [
        "stop r1: room for d/1x1, wanted by request 4",
        "stop r2: room for d/1x1, wanted by request 4",
    ]
    assert world.gone(2) == []
    assert world.gone(1) == ["start r4 of d on CPU:5"]


def test_an_idle_runner_is_not_taken_from_somebody_older_who_gets_it_now() -> None:
    world = small_host()
    world.arrives(1, A)
    world.ready(1)
    world.arrives(2, A)
    world.arrives(3, C)
    assert world.leaves(1) == ["grant 2 r1"]
    assert world.leaves(2) == ["stop r1: room for c/1x1, wanted by request 3"]


def test_who_comes_later_may_not_take_room_that_is_reserved() -> None:
    world = small_host()
    world.arrives(1, A)
    world.ready(1)
    assert world.arrives(2, C) == []
    assert world.arrives(3, B) == []
    assert world.leaves(1) == ["stop r1: room for c/1x1, wanted by request 2"]
    assert world.gone(1) == ["start r2 of c on CPU:8"]


def test_who_comes_later_may_start_what_leaves_the_reserved_room_alone() -> None:
    tiny = spec("tiny")
    world = World.of([host(10)], {A: 4, C: 8, tiny: 2})
    world.arrives(1, A)
    world.ready(1)
    world.arrives(2, C)
    assert world.arrives(3, tiny) == ["start r2 of tiny on CPU:2"]
    assert world.ready(2) == ["grant 3 r2"]


def test_room_left_by_stopping_runners_is_waited_for_without_stopping_more() -> None:
    world = small_host()
    world.arrives(1, A)
    world.ready(1)
    world.leaves(1)
    world.arrives(2, B)
    world.ready(2)
    world.leaves(2)
    assert world.arrives(3, C) == [
        "stop r1: room for c/1x1, wanted by request 3",
        "stop r2: room for c/1x1, wanted by request 3",
    ]
    assert world.passes(1) == []
    assert world.gone(2) == []
    assert world.gone(1) == ["start r3 of c on CPU:8"]


def test_what_makes_way_for_a_reservation_only_is_not_waited_for() -> None:
    """There is room for a small one beside a and b; once a goes, the reservation keeps its own."""
    large, small = spec("large"), spec("small")
    world = World.of([host(18)], {A: 4, B: 8, large: 12, small: 4})
    for request, each in ((1, A), (2, B)):
        world.arrives(request, each)
        world.ready(request)
    world.leaves(1)
    assert world.arrives(3, large) == []
    assert world.arrives(4, small) == [
        "stop r1: room for small/1x1, wanted by request 4",
        "start r3 of small on CPU:4",
    ]
    world.gone(1)
    assert world.leaves(2) == ["stop r2: room for large/1x1, wanted by request 3"]
    assert world.gone(2) == ["start r4 of large on CPU:12"]


# Rule 3: the cap on runners


def test_the_cap_on_runners_makes_room_like_memory_does() -> None:
    world = small_host(runners=1)
    world.arrives(1, A)
    world.ready(1)
    assert world.arrives(2, B) == []
    assert world.leaves(1) == ["stop r1: room for b/1x1, wanted by request 2"]
    assert world.gone(1) == ["start r2 of b on CPU:4"]


def test_a_reserved_place_under_the_cap_is_not_given_to_newcomers() -> None:
    world = World.of([host(100)], {A: 1, B: 1, C: 99}, replace(LIMITS, runners=2))
    world.arrives(1, A)
    world.ready(1)
    assert world.arrives(2, C) == ["start r2 of c on CPU:99"]
    assert world.arrives(3, B) == []


@pytest.mark.parametrize(
    ("limit", "devices", "most"),
    [
        (0, [host(1)], 3),
        (0, [host(1), gpu(0, 1)], 3),
        (0, [host(1), gpu(0, 1), gpu(1, 1)], 6),
        (5, [host(1), gpu(0, 1)], 5),
        (0, [], 3),
    ],
)
def test_the_cap_is_three_for_each_gpu_unless_set(
    limit: int, devices: list[Device], most: int
) -> None:
    assert most_runners(Limits(runners=limit), devices) == most


# Rule 4: patience


def test_a_busy_runner_is_kept_busy_only_until_patience_ends() -> None:
    world = small_host()
    world.arrives(1, WIDE)
    world.ready(1)
    assert world.arrives(2, C) == []
    assert world.wake == 2
    assert world.passes(1.5) == []
    assert world.arrives(3, WIDE) == ["grant 3 r1"]
    assert world.leaves(1) == []
    assert world.passes(0.5) == []
    assert world.wake is None
    assert world.arrives(4, WIDE) == []
    assert world.leaves(3) == ["stop r1: room for c/1x1, wanted by request 2"]
    assert world.gone(1) == ["start r2 of c on CPU:8"]


def test_who_was_fenced_off_gets_its_turn_after_that() -> None:
    world = small_host(patience=0.0)
    world.arrives(1, A)
    world.ready(1)
    world.arrives(2, C)
    world.arrives(3, A)
    world.leaves(1)
    assert world.gone(1) == ["start r2 of c on CPU:8"]
    assert world.ready(2) == ["grant 2 r2"]
    assert world.leaves(2) == ["stop r2: room for a/1x1, wanted by request 3"]
    assert world.gone(2) == ["start r3 of a on CPU:4"]


def test_older_waiters_of_a_fenced_runner_are_still_served() -> None:
    world = small_host(patience=0.0)
    world.arrives(1, A)
    world.ready(1)
    world.arrives(2, A)
    world.arrives(3, C)
    world.arrives(4, A)
    assert world.leaves(1) == ["grant 2 r1"]
    assert world.leaves(2) == ["stop r1: room for c/1x1, wanted by request 3"]


def test_a_fence_is_lifted_when_its_reason_leaves() -> None:
    world = small_host(patience=0.0)
    world.arrives(1, WIDE)
    world.ready(1)
    world.arrives(2, C)
    assert world.arrives(3, WIDE) == []
    assert world.leaves(2) == ["grant 3 r1"]


def test_only_the_runner_whose_room_is_needed_is_fenced() -> None:
    wide = spec("b", parallel=2)
    world = World.of([host(10)], {WIDE: 6, wide: 2, C: 8}, replace(LIMITS, patience=0.0))
    for number, each in ((1, WIDE), (2, wide)):
        world.arrives(number, each)
        world.ready(number)
        world.now += 1
    world.arrives(3, C)
    assert world.arrives(4, wide) == ["grant 4 r2"]
    assert world.arrives(5, WIDE) == []


def test_a_fence_stays_where_it_is_while_its_runner_drains() -> None:
    """Two busy runners, either of which would do: taking turns would keep both busy for ever."""
    wide = spec("b", parallel=2)
    world = World.of([host(8)], {WIDE: 4, wide: 4, C: 4}, replace(LIMITS, patience=0.0))
    for request, each in ((1, WIDE), (2, wide)):
        world.arrives(request, each)
        world.ready(request)
        world.now += 1
    world.arrives(3, WIDE)
    world.arrives(4, wide)
    world.arrives(9, C)
    world.now += 1
    world.leaves(1)
    assert world.arrives(10, WIDE) == []
    world.leaves(2)
    assert world.arrives(11, wide) == ["grant 11 r2"]
    assert world.leaves(3) == ["stop r1: room for c/1x1, wanted by request 9"]


def test_what_drains_first_stops_first_and_is_not_filled_again() -> None:
    """Two of three busy runners have to go; the one that just became idle is the latest used."""
    needs = dict.fromkeys((WIDE, B, C), 4)
    large = spec("large")
    world = World.of([host(12)], {**needs, large: 8}, replace(LIMITS, patience=0.0))
    for request, each in enumerate(needs, 1):
        world.arrives(request, each)
        world.ready(request)
        world.now += 1
    assert world.arrives(9, large) == []
    assert world.leaves(1) == ["stop r1: room for large/1x1, wanted by request 9"]
    assert world.arrives(10, WIDE) == []
    assert world.arrives(11, B) == []
    assert world.leaves(2) == ["stop r2: room for large/1x1, wanted by request 9"]
    world.gone(2)
    assert world.gone(1) == ["start r4 of large on CPU:8"]


def test_room_that_comes_free_soon_is_not_borrowed_for_room_that_comes_free_late() -> None:
    """Request 4 could start now if request 3 had what it waits for; but request 2 is first."""
    large, middle, small = spec("large"), spec("middle"), spec("small")
    world = World.of(
        [host(21)], {A: 3, B: 9, large: 11, middle: 6, small: 3}, replace(LIMITS, patience=0.0)
    )
    world.arrives(0, A)
    world.ready(1)
    world.leaves(0)
    assert world.arrives(1, B) == ["start r2 of b on CPU:9"]
    assert world.arrives(2, large) == ["stop r1: room for large/1x1, wanted by request 2"]
    assert world.arrives(3, middle) == []
    assert world.arrives(4, small) == []
    assert world.ready(2) == ["grant 1 r2"]
    assert world.gone(1) == ["start r3 of large on CPU:11"]


def test_a_runner_that_just_started_is_the_last_to_be_drained() -> None:
    world = World.of([host(10)], {WIDE: 4, B: 4, C: 6}, replace(LIMITS, patience=0.0))
    world.arrives(1, WIDE)
    world.ready(1)
    world.now += 1
    world.arrives(2, B)
    world.arrives(3, C)
    assert world.arrives(4, WIDE) == []
    assert world.leaves(1) == ["stop r1: room for c/1x1, wanted by request 3"]


# GPUs


def test_models_spread_over_gpus_and_the_host_only_holds_their_rest() -> None:
    world = World(
        (host(100), gpu(0, 10), gpu(1, 10)),
        {A: Estimate(6, 1), B: Estimate(6, 1), C: Estimate(16, 1)},
        measured={A, B, C},
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
    world = World.of([host(100), gpu(0, 10)], {A: 10, on_host: 8})
    world.arrives(1, A)
    world.ready(1)
    assert world.arrives(2, on_host) == ["start r2 of b on CPU:8"]


def test_what_no_gpu_could_hold_waits_for_them_to_empty_and_is_split() -> None:
    world = World.of([host(100), gpu(0, 10)], {A: 4, C: 15})
    world.arrives(1, A)
    world.ready(1)
    world.leaves(1)
    assert world.arrives(2, C) == ["stop r1: room for c/1x1, wanted by request 2"]
    assert world.gone(1) == ["start r2 of c on GPU0:10 CPU:5"]


def test_room_that_strangers_took_from_a_gpu_is_not_promised() -> None:
    world = World.of([host(100), gpu(0, 10), gpu(1, 10)], {A: 6, B: 10})
    world.takes("GPU0", 5)
    assert world.arrives(1, A) == ["start r1 of a on GPU1:6"]
    world.ready(1)
    assert world.arrives(2, B) == []


def test_strangers_on_a_gpu_do_not_keep_a_model_from_being_split_with_the_host() -> None:
    world = World.of([host(100), gpu(0, 10)], {A: 9})
    world.takes("GPU0", 4)
    assert world.arrives(1, A) == ["start r1 of a on GPU0:6 CPU:3"]
