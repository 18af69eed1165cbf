"""Which runners go when a Spec needs room. Pure."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from runners.spec import Placement, Spec


class Candidate(Protocol):
    """The facts by which runners are ranked."""

    @property
    def spec(self) -> Spec: ...
    @property
    def last_used(self) -> float: ...
    @property
    def placement(self) -> Placement: ...


C = TypeVar("C", bound=Candidate)


def victims(
    candidates: Sequence[C], spec: Spec, enough: Callable[[Sequence[C]], bool]
) -> list[C] | None:
    """The fewest of the least wanted that make `enough` true; None if all of them do not."""
    # A runner of the same weights under another Spec goes before any that is older: its options
    # were changed, so it is not likely to be wanted again.
    ranked = sorted(candidates, key=lambda c: (c.spec.digest != spec.digest, c.last_used))
    chosen: list[C] = []
    for candidate in ranked:
        if enough(chosen):
            break
        chosen.append(candidate)
    if not enough(chosen):
        return None
    # The last one chosen may be so large that earlier ones are not needed beside it. The most
    # wanted is spared first.
    for candidate in chosen[::-1]:
        others = [c for c in chosen if c is not candidate]
        if enough(others):
            chosen = others
    return chosen
