"""The table of a runner's life."""

import itertools

import pytest

from runners.states import NEXT, IllegalStep, RunnerState, step

ALLOWED = {
    (RunnerState.STARTING, RunnerState.READY),
    (RunnerState.STARTING, RunnerState.STOPPING),
    (RunnerState.STARTING, RunnerState.GONE),
    (RunnerState.READY, RunnerState.STOPPING),
    (RunnerState.READY, RunnerState.GONE),
    (RunnerState.STOPPING, RunnerState.GONE),
}


@pytest.mark.parametrize(("state", "to"), sorted(ALLOWED, key=str))
def test_an_allowed_step_returns_the_new_state(state: RunnerState, to: RunnerState) -> None:
    assert step(state, to) is to


@pytest.mark.parametrize(
    ("state", "to"), sorted(set(itertools.product(RunnerState, RunnerState)) - ALLOWED, key=str)
)
def test_any_other_step_raises_and_names_both_ends(state: RunnerState, to: RunnerState) -> None:
    with pytest.raises(IllegalStep, match=f"^{state.value} -> {to.value}$"):
        step(state, to)


def test_the_table_knows_every_state() -> None:
    assert set(NEXT) == set(RunnerState)


def test_gone_is_the_end_and_can_be_reached_from_everywhere_else() -> None:
    assert not NEXT[RunnerState.GONE]
    assert all(
        RunnerState.GONE in NEXT[state] for state in RunnerState if state is not RunnerState.GONE
    )
