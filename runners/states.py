"""A runner's life as a table. An illegal step raises where it is taken and changes nothing."""

from enum import Enum


class RunnerState(Enum):
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    GONE = "gone"


# There is no way back: a runner has one life, and a new need starts a new runner. So nobody has to
# think about a runner that stops and starts at the same time.
NEXT: dict[RunnerState, frozenset[RunnerState]] = {
    RunnerState.STARTING: frozenset({RunnerState.READY, RunnerState.STOPPING, RunnerState.GONE}),
    RunnerState.READY: frozenset({RunnerState.STOPPING, RunnerState.GONE}),
    RunnerState.STOPPING: frozenset({RunnerState.GONE}),
    RunnerState.GONE: frozenset(),
}


class IllegalStep(Exception):
    """A transition that a table of states does not hold."""


def step(state: RunnerState, to: RunnerState) -> RunnerState:
    """`to`, if the table allows it from `state`; else raises IllegalStep."""
    if to not in NEXT[state]:
        raise IllegalStep(f"{state.value} -> {to.value}")
    return to
