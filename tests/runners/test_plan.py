"""The scheduling policy as dialogues: what happened, and what the plan made of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from runners.errors import BackingOff, RunnerError, TooLarge
from runners.plan import (
    Backoff,
    EstimateSpec,
    PendingView,
    RejectLease,
    RunnerView,
    StartRunner,
    View,
    backoff_seconds,
    most_runners,
    plan,
)
from runners.spec import GIB, MIB, Device, DeviceKind, Estimate, Limits, Placement, Shape, Spec
from runners.states import RunnerState
from tests.runners.plan_world import LIMITS, PlanWorld, gpu, host, spec

A, B, C = spec("a"), spec("b"), spec("c")
WIDE = spec("a", parallel=2)
"""Like A, but with two slots."""


def small_host(limits: Limits = LIMITS) -> PlanWorld:
    """Room for 10: two runners of 4, or one of 8."""
    return PlanWorld.of([host(10)], {A: 4, WIDE: 4, B: 4, C: 8}, limits)


# Starting and sharing


def test_a_request_starts_a_runner_and_gets_it_when_it_is_ready() -> None:
    world = small_host()
    assert world.arrives(1, A) == ["start r1 of a on CPU:4"]
    assert world.passes(3) == []
    assert world.ready(1) == ["grant 1 r1"]
    assert world.leaves(1) == []
    assert world.wake == 103


def test_requests_for_one_spec_share_one_load() -> None:
    world = small_host()
    assert world.arrives(1, WIDE) == ["start r1 of a on CPU:4"]
    assert world.arrives(2, WIDE) == []
    assert world.ready(1) == ["grant 1 r1", "grant 2 r1"]


def test_a_ready_slot_is_granted_at_once() -> None:
    world = small_host()
    world.arrives(1, WIDE)
    world.ready(1)
    assert world.arrives(2, WIDE) == ["grant 2 r1"]


def test_a_full_runner_is_waited_for_in_order_of_arrival() -> None:
    world = small_host()
    world.arrives(1, A)
    world.ready(1)
    assert world.arrives(2, A) == []
    assert world.arrives(3, A) == []
    assert world.leaves(1) == ["grant 2 r1"]
    assert world.leaves(2) == ["grant 3 r1"]


def test_two_models_load_at_the_same_time_if_both_fit() -> None:
    world = small_host()
    assert world.arrives(1, A) == ["start r1 of a on CPU:4"]
    assert world.arrives(2, B) == ["start r2 of b on CPU:4"]


def test_an_idle_runner_goes_when_one_with_a_larger_context_is_ready() -> None:
    longer = spec("a", context=2)
    world = PlanWorld.of([host(10)], {A: 4, longer: 4})
    world.arrives(1, A)
    world.ready(1)
    world.leaves(1)
    assert world.arrives(2, longer) == ["start r2 of a@2 on CPU:4"]
    why = "idle, and one with a larger context is there"
    assert world.ready(2) == [f"stop r1: {why}", "grant 2 r2"]


def test_a_busy_runner_or_one_that_stays_for_ever_does_not() -> None:
    longer = spec("a", context=2)
    world = PlanWorld.of([host(10)], {A: 4, longer: 4})
    world.arrives(1, A)
    world.ready(1)
    world.arrives(2, longer)
    assert world.ready(2) == ["grant 2 r2"]
    world.keep_alive[1] = float("inf")
    assert world.leaves(1) == []


def test_other_options_are_another_runner() -> None:
    longer = spec("a", context=2)
    world = PlanWorld.of([host(10)], {A: 4, longer: 4})
    world.arrives(1, A)
    assert world.arrives(2, longer) == ["start r2 of a@2 on CPU:4"]


def test_memory_that_a_starting_runner_has_yet_to_take_is_not_given_twice() -> None:
    world = PlanWorld.of([host(10)], {A: 6, B: 4})
    world.takes("CPU", 1)
    assert world.arrives(1, A) == ["start r1 of a on CPU:6"]
    assert world.arrives(2, B) == []
    assert world.ready(1) == ["grant 1 r1"]


# Rule 1: who is not needed goes


def test_an_idle_runner_stops_when_its_keep_alive_is_over() -> None:
    world = small_host()
    world.arrives(1, A)
    world.ready(1)
    world.leaves(1)
    assert world.passes(99) == []
    assert world.wake == 100
    assert world.passes(1) == ["stop r1: idle past its keep alive"]
    assert world.gone(1) == []


def test_a_keep_alive_of_zero_stops_it_at_the_end_of_the_request() -> None:
    world = small_host()
    world.arrives(1, A)
    world.ready(1)
    world.keep_alive[1] = 0.0
    assert world.leaves(1) == ["stop r1: idle past its keep alive"]


def test_a_keep_alive_without_end_is_never_over() -> None:
    world = small_host()
    world.arrives(1, A)
    world.ready(1)
    world.keep_alive[1] = float("inf")
    assert world.leaves(1) == []
    assert world.passes(1e12) == []
    assert world.wake == float("inf")


def test_a_busy_runner_does_not_expire() -> None:
    world = small_host()
    world.arrives(1, A)
    world.ready(1)
    assert world.passes(1000) == []


def test_an_expired_runner_that_is_wanted_again_is_used() -> None:
    world = small_host()
    world.arrives(1, A)
    world.ready(1)
    world.leaves(1)
    world.now = 500.0
    assert world.arrives(2, A) == ["grant 2 r1"]


def test_a_start_that_nobody_waits_for_any_more_is_stopped() -> None:
    world = small_host()
    world.arrives(1, A)
    assert world.leaves(1) == ["stop r1: nobody waits for it any more"]


def test_a_start_goes_on_while_anybody_waits_for_it() -> None:
    world = small_host()
    world.arrives(1, A)
    world.arrives(2, A)
    assert world.leaves(1) == []
    assert world.ready(1) == ["grant 2 r1"]


def test_a_new_need_does_not_wait_for_a_stopping_runner_of_its_own_spec() -> None:
    world = small_host()
    world.arrives(1, A)
    world.leaves(1)
    assert world.arrives(2, A) == ["start r2 of a on CPU:4"]
    assert world.gone(1) == []


# Rule 2: failures


def test_a_failed_start_fails_who_waited_and_is_tried_again_for_the_next() -> None:
    world = small_host()
    world.arrives(1, A)
    world.arrives(2, A)
    assert world.fails(1) == []
    assert set(world.rejected) == {1, 2}
    assert world.arrives(3, A) == ["start r2 of a on CPU:4"]


def test_a_model_that_keeps_failing_is_left_alone_for_a_while() -> None:
    world = small_host()
    world.backoffs[A] = Backoff(until=8.0, failure=RunnerError("it broke"))
    assert world.arrives(1, A) == ["reject 1: BackingOff"]
    error = world.rejected[1]
    assert isinstance(error, BackingOff)
    assert error.retry_after == 8.0
    assert error.message == "next attempt in 8 s, after: it broke"
    world.now = 8.0
    assert world.arrives(2, A) == ["start r1 of a on CPU:4"]


def test_a_crash_lets_the_next_in_line_have_a_new_runner() -> None:
    world = small_host()
    world.arrives(1, A)
    world.ready(1)
    world.arrives(2, A)
    assert world.fails(1) == ["start r2 of a on CPU:4"]
    assert world.ready(2) == ["grant 2 r2"]


def test_a_ready_runner_of_a_model_that_is_backing_off_is_still_used() -> None:
    world = small_host()
    world.arrives(1, WIDE)
    world.ready(1)
    world.backoffs[WIDE] = Backoff(until=8.0, failure=RunnerError("it broke"))
    assert world.arrives(2, WIDE) == ["grant 2 r1"]


@pytest.mark.parametrize(
    ("failures", "pause"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (7, 32), (8, 60), (99, 60)]
)
def test_every_failure_in_a_row_doubles_the_pause(failures: int, pause: float) -> None:
    assert backoff_seconds(failures) == pause


# Rule 2: what it needs


SHAPE = Shape(layers=32, embedding=4096, vocabulary=128000, kv_width=2048)
REAL = Spec(Path("m"), "sha256:m", size=4 * GIB, shape=SHAPE)


def of(*devices: Device, pending: int = 1) -> View:
    queue = tuple(PendingView(number, REAL, 0.0) for number in range(1, pending + 1))
    return View((), queue, devices, Limits(), now=0.0)


def test_what_plainly_fits_is_started_without_asking_the_engine() -> None:
    view = of(Device("CPU", DeviceKind.CPU, 64 * GIB, 60 * GIB))
    actions = plan(view)
    assert [type(action) for action in actions] == [StartRunner]


def test_what_may_not_fit_is_estimated_once_for_all_who_wait() -> None:
    view = of(Device("CPU", DeviceKind.CPU, 8 * GIB, 7 * GIB), pending=2)
    assert plan(view) == [EstimateSpec(REAL)]
    assert plan(replace(view, estimating=frozenset({REAL}))) == []


def test_the_engines_estimate_decides() -> None:
    view = of(Device("CPU", DeviceKind.CPU, 8 * GIB, 7 * GIB))
    known = {REAL: Estimate(5 * GIB, 100 * MIB, exact=True)}
    placement = Placement((("CPU", 5 * GIB + 100 * MIB),))
    assert plan(replace(view, estimates=known)) == [
        StartRunner(REAL, placement, "wanted by request 1")
    ]


def test_an_estimate_is_followed_by_the_start() -> None:
    world = small_host()
    world.estimated.clear()
    assert world.arrives(1, A) == ["estimate a"]
    assert world.arrives(2, A) == []
    assert world.estimates(A) == ["start r1 of a on CPU:4"]


# Rule 2: what can never fit


def test_what_can_never_fit_is_rejected_with_the_numbers() -> None:
    view = of(Device("CPU", DeviceKind.CPU, 4 * GIB, 4 * GIB))
    known = {REAL: Estimate(5 * GIB, GIB, exact=True)}
    (rejection,) = plan(replace(view, estimates=known))
    assert isinstance(rejection, RejectLease)
    assert rejection.lease == 1
    assert isinstance(rejection.error, TooLarge)
    assert rejection.error.message == (
        "model requires more memory (6.0 GiB with a context of 4096 tokens in 1 slots) "
        "than is available (3.7 GiB)"
    )


def test_what_can_never_fit_stops_nobody_on_its_way_out() -> None:
    huge = spec("huge")
    world = PlanWorld.of([host(10)], {A: 4, B: 6, huge: 11})
    world.arrives(1, A)
    world.ready(1)
    world.leaves(1)
    assert world.arrives(2, huge) == ["reject 2: TooLarge"]
    assert world.arrives(3, B) == ["start r2 of b on CPU:6"]


def test_foreign_memory_is_not_waited_for() -> None:
    world = small_host()
    world.takes("CPU", 7)
    assert world.arrives(1, A) == ["reject 1: TooLarge"]
    world.takes("CPU", 6)
    assert world.arrives(2, A) == ["start r1 of a on CPU:4"]


def test_headroom_absorbs_a_small_foreign_program() -> None:
    world = PlanWorld.of([host(100)], {A: 80}, replace(LIMITS, headroom=0.2))
    world.takes("CPU", 20)
    assert world.arrives(1, A) == ["start r1 of a on CPU:80"]


def test_mapped_weights_that_count_as_free_are_no_spare_room() -> None:
    placement = Placement((("CPU", 8),))
    busy = RunnerView(1, C, RunnerState.READY, placement, leases=1)
    view = View((busy,), (PendingView(1, A, 0.0),), (host(10),), LIMITS, 0.0, {A: Estimate(4, 0)})
    assert [str(type(action).__name__) for action in plan(view)] == ["WakeAt"]


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
    world = PlanWorld.of([host(10)], needs)
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
    world = PlanWorld.of([host(10)], {A: 4, C: 8, tiny: 2})
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
    world = PlanWorld.of([host(18)], {A: 4, B: 8, large: 12, small: 4})
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
    world = small_host(replace(LIMITS, runners=1))
    world.arrives(1, A)
    world.ready(1)
    assert world.arrives(2, B) == []
    assert world.leaves(1) == ["stop r1: room for b/1x1, wanted by request 2"]
    assert world.gone(1) == ["start r2 of b on CPU:4"]


def test_a_reserved_place_under_the_cap_is_not_given_to_newcomers() -> None:
    world = PlanWorld.of([host(100)], {A: 1, B: 1, C: 99}, replace(LIMITS, runners=2))
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


def test_a_lease_kept_from_a_drained_runner_gets_its_turn_after_that() -> None:
    world = small_host(replace(LIMITS, patience=0.0))
    world.arrives(1, A)
    world.ready(1)
    world.arrives(2, C)
    world.arrives(3, A)
    world.leaves(1)
    assert world.gone(1) == ["start r2 of c on CPU:8"]
    assert world.ready(2) == ["grant 2 r2"]
    assert world.leaves(2) == ["stop r2: room for a/1x1, wanted by request 3"]
    assert world.gone(2) == ["start r3 of a on CPU:4"]


def test_older_leases_of_a_drained_runner_are_still_granted() -> None:
    world = small_host(replace(LIMITS, patience=0.0))
    world.arrives(1, A)
    world.ready(1)
    world.arrives(2, A)
    world.arrives(3, C)
    world.arrives(4, A)
    assert world.leaves(1) == ["grant 2 r1"]
    assert world.leaves(2) == ["stop r1: room for c/1x1, wanted by request 3"]


def test_draining_ends_when_its_reason_leaves() -> None:
    world = small_host(replace(LIMITS, patience=0.0))
    world.arrives(1, WIDE)
    world.ready(1)
    world.arrives(2, C)
    assert world.arrives(3, WIDE) == []
    assert world.leaves(2) == ["grant 3 r1"]


def test_only_the_runner_whose_room_is_needed_is_drained() -> None:
    wide = spec("b", parallel=2)
    world = PlanWorld.of([host(10)], {WIDE: 6, wide: 2, C: 8}, replace(LIMITS, patience=0.0))
    for number, each in ((1, WIDE), (2, wide)):
        world.arrives(number, each)
        world.ready(number)
        world.now += 1
    world.arrives(3, C)
    assert world.arrives(4, wide) == ["grant 4 r2"]
    assert world.arrives(5, WIDE) == []


def test_the_choice_of_the_drained_runner_stays_while_it_drains() -> None:
    """Two busy runners, either of which would do: taking turns would keep both busy for ever."""
    wide = spec("b", parallel=2)
    world = PlanWorld.of([host(8)], {WIDE: 4, wide: 4, C: 4}, replace(LIMITS, patience=0.0))
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
    world = PlanWorld.of([host(12)], {**needs, large: 8}, replace(LIMITS, patience=0.0))
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
    world = PlanWorld.of(
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
    world = PlanWorld.of([host(10)], {WIDE: 4, B: 4, C: 6}, replace(LIMITS, patience=0.0))
    world.arrives(1, WIDE)
    world.ready(1)
    world.now += 1
    world.arrives(2, B)
    world.arrives(3, C)
    assert world.arrives(4, WIDE) == []
    assert world.leaves(1) == ["stop r1: room for c/1x1, wanted by request 3"]
