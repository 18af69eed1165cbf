"""A runner's life as a table. An illegal step raises where it is taken and changes nothing."""

from enum import Enum


class State(Enum):
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    GONE = "gone"


# There is no way back: a runner has one life, and a new need starts a new runner.
NEXT: dict[State, frozenset[State]] = {
    State.STARTING: frozenset({State.READY, State.STOPPING, State.GONE}),
    State.READY: frozenset({State.STOPPING, State.GONE}),
    State.STOPPING: frozenset({State.GONE}),
    State.GONE: frozenset(),
}


class IllegalStep(Exception):
    """A transition that the table does not hold."""


def step(state: State, to: State) -> State:
    """`to`, if the table allows it from `state`."""
    if to not in NEXT[state]:
        raise IllegalStep(f"{state.value} -> {to.value}")
    return to
