"""The table of a runner's life."""

import itertools

import pytest

from runners.states import NEXT, IllegalStep, State, step

ALLOWED = {
    (State.STARTING, State.READY),
    (State.STARTING, State.STOPPING),
    (State.STARTING, State.GONE),
    (State.READY, State.STOPPING),
    (State.READY, State.GONE),
    (State.STOPPING, State.GONE),
}


@pytest.mark.parametrize(("state", "to"), sorted(ALLOWED, key=str))
def test_an_allowed_step_returns_the_new_state(state: State, to: State) -> None:
    assert step(state, to) is to


@pytest.mark.parametrize(
    ("state", "to"), sorted(set(itertools.product(State, State)) - ALLOWED, key=str)
)
def test_any_other_step_raises_and_names_both_ends(state: State, to: State) -> None:
    with pytest.raises(IllegalStep, match=f"^{state.value} -> {to.value}$"):
        step(state, to)


def test_the_table_knows_every_state() -> None:
    assert set(NEXT) == set(State)


def test_gone_is_the_end_and_can_be_reached_from_everywhere_else() -> None:
    assert not NEXT[State.GONE]
    assert all(State.GONE in NEXT[state] for state in State if state is not State.GONE)
