"""The scheduling policy as dialogues: what happened, and what the plan made of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from runners.errors import CoolingDown, TooLarge
from runners.plan import (
    Cooling,
    Measure,
    Reject,
    RunnerView,
    Start,
    View,
    Waiter,
    cooling_for,
    plan,
)
from runners.spec import GIB, MIB, Device, Estimate, Kind, Limits, Placement, Shape, Spec
from runners.states import State
from tests.runners.world import LIMITS, World, host, spec

A, B, C = spec("a"), spec("b"), spec("c")
WIDE = spec("a", parallel=2)
"""Like A, but with two slots."""


def small_host(**limits: float) -> World:
    """Room for 10: two runners of 4, or one of 8."""
    bounds = replace(LIMITS, **limits)  # type: ignore[arg-type]
    return World.of([host(10)], {A: 4, WIDE: 4, B: 4, C: 8}, bounds)


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
    world = World.of([host(10)], {A: 4, longer: 4})
    world.arrives(1, A)
    world.ready(1)
    world.leaves(1)
    assert world.arrives(2, longer) == ["start r2 of a@2 on CPU:4"]
    why = "idle, and one with a larger context is there"
    assert world.ready(2) == [f"stop r1: {why}", "grant 2 r2"]


def test_a_busy_runner_or_one_that_stays_for_ever_does_not() -> None:
    longer = spec("a", context=2)
    world = World.of([host(10)], {A: 4, longer: 4})
    world.arrives(1, A)
    world.ready(1)
    world.arrives(2, longer)
    assert world.ready(2) == ["grant 2 r2"]
    world.keep_alive[1] = float("inf")
    assert world.leaves(1) == []


def test_other_options_are_another_runner() -> None:
    longer = spec("a", context=2)
    world = World.of([host(10)], {A: 4, longer: 4})
    world.arrives(1, A)
    assert world.arrives(2, longer) == ["start r2 of a@2 on CPU:4"]


def test_memory_that_a_starting_runner_has_yet_to_take_is_not_given_twice() -> None:
    world = World.of([host(10)], {A: 6, B: 4})
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
    world.cooling[A] = Cooling(until=8.0, why="it broke")
    assert world.arrives(1, A) == ["reject 1: CoolingDown"]
    error = world.rejected[1]
    assert isinstance(error, CoolingDown)
    assert error.retry_after == 8.0
    assert error.message == "model failed repeatedly, next try in 8 s: it broke"
    world.now = 8.0
    assert world.arrives(2, A) == ["start r1 of a on CPU:4"]


def test_a_crash_lets_the_next_in_line_have_a_new_runner() -> None:
    world = small_host()
    world.arrives(1, A)
    world.ready(1)
    world.arrives(2, A)
    assert world.fails(1) == ["start r2 of a on CPU:4"]
    assert world.ready(2) == ["grant 2 r2"]


def test_a_ready_runner_of_a_cooling_model_is_still_used() -> None:
    world = small_host()
    world.arrives(1, WIDE)
    world.ready(1)
    world.cooling[WIDE] = Cooling(until=8.0, why="it broke")
    assert world.arrives(2, WIDE) == ["grant 2 r1"]


@pytest.mark.parametrize(
    ("failures", "pause"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (7, 32), (8, 60), (99, 60)]
)
def test_every_failure_in_a_row_doubles_the_pause(failures: int, pause: float) -> None:
    assert cooling_for(failures) == pause


# Rule 2: what it needs


SHAPE = Shape(layers=32, embedding=4096, vocabulary=128000, kv_width=2048)
REAL = Spec(Path("m"), "sha256:m", size=4 * GIB, shape=SHAPE)


def of(*devices: Device, waiters: int = 1) -> View:
    queue = tuple(Waiter(number, REAL, 0.0) for number in range(1, waiters + 1))
    return View((), queue, devices, Limits(), now=0.0)


def test_what_plainly_fits_is_started_without_asking_the_engine() -> None:
    view = of(Device("CPU", Kind.CPU, 64 * GIB, 60 * GIB))
    actions = plan(view)
    assert [type(action) for action in actions] == [Start]


def test_what_may_not_fit_is_measured_once_for_all_who_wait() -> None:
    view = of(Device("CPU", Kind.CPU, 8 * GIB, 7 * GIB), waiters=2)
    assert plan(view) == [Measure(REAL)]
    assert plan(replace(view, measuring=frozenset({REAL}))) == []


def test_what_was_measured_decides() -> None:
    view = of(Device("CPU", Kind.CPU, 8 * GIB, 7 * GIB))
    known = {REAL: Estimate(5 * GIB, 100 * MIB, exact=True)}
    placement = Placement((("CPU", 5 * GIB + 100 * MIB),))
    assert plan(replace(view, estimates=known)) == [Start(REAL, placement, "wanted by request 1")]


def test_a_measurement_is_followed_by_the_start() -> None:
    world = small_host()
    world.measured.clear()
    assert world.arrives(1, A) == ["measure a"]
    assert world.arrives(2, A) == []
    assert world.measures(A) == ["start r1 of a on CPU:4"]


# Rule 2: what can never fit


def test_what_can_never_fit_is_rejected_with_the_numbers() -> None:
    view = of(Device("CPU", Kind.CPU, 4 * GIB, 4 * GIB))
    known = {REAL: Estimate(5 * GIB, GIB, exact=True)}
    (rejection,) = plan(replace(view, estimates=known))
    assert isinstance(rejection, Reject)
    assert rejection.waiter == 1
    assert isinstance(rejection.error, TooLarge)
    assert rejection.error.message == (
        "model requires more memory (6.0 GiB with a context of 4096 tokens in 1 slots) "
        "than is available (3.7 GiB)"
    )


def test_what_can_never_fit_stops_nobody_on_its_way_out() -> None:
    huge = spec("huge")
    world = World.of([host(10)], {A: 4, B: 6, huge: 11})
    world.arrives(1, A)
    world.ready(1)
    world.leaves(1)
    assert world.arrives(2, huge) == ["reject 2: TooLarge"]
    assert world.arrives(3, B) == ["start r2 of b on CPU:6"]


def test_memory_that_strangers_hold_is_not_waited_for() -> None:
    world = small_host()
    world.takes("CPU", 7)
    assert world.arrives(1, A) == ["reject 1: TooLarge"]
    world.takes("CPU", 6)
    assert world.arrives(2, A) == ["start r1 of a on CPU:4"]


def test_headroom_absorbs_a_small_stranger() -> None:
    world = World.of([host(100)], {A: 80}, replace(LIMITS, headroom=0.2))
    world.takes("CPU", 20)
    assert world.arrives(1, A) == ["start r1 of a on CPU:80"]


def test_mapped_weights_that_count_as_free_are_no_spare_room() -> None:
    placement = Placement((("CPU", 8),))
    busy = RunnerView(1, C, State.READY, placement, leases=1)
    view = View((busy,), (Waiter(1, A, 0.0),), (host(10),), LIMITS, 0.0, {A: Estimate(4, 0)})
    assert [str(type(action).__name__) for action in plan(view)] == ["Wake"]
