"""Who goes first when room is needed."""

from collections.abc import Sequence
from dataclasses import dataclass

from runners.evict import victims
from runners.spec import Placement, Spec
from tests.runners.plan_world import spec

OTHER = spec("other")
NOWHERE = Placement(())


@dataclass(frozen=True)
class SizedCandidate:
    """One runner as eviction sees it; `size` is what it frees."""

    name: str
    size: int
    last_used: float
    spec: Spec = OTHER
    placement: Placement = NOWHERE


def chosen(need: int, *candidates: SizedCandidate) -> list[str] | None:
    def enough(gone: Sequence[SizedCandidate]) -> bool:
        return sum(candidate.size for candidate in gone) >= need

    going = victims(candidates, spec("wanted"), enough)
    return None if going is None else [candidate.name for candidate in going]


def test_the_least_recently_used_goes_first() -> None:
    old, new = SizedCandidate("old", 5, last_used=1), SizedCandidate("new", 5, last_used=2)
    assert chosen(5, new, old) == ["old"]


def test_the_same_weights_under_other_options_go_before_anything_older() -> None:
    outdated = SizedCandidate("outdated", 5, last_used=9, spec=spec("wanted", context=2))
    assert chosen(5, SizedCandidate("old", 5, last_used=1), outdated) == ["outdated"]


def test_as_many_go_as_it_takes() -> None:
    three = [SizedCandidate(name, 3, last_used=at) for at, name in enumerate("abc")]
    assert chosen(6, *three) == ["a", "b"]
    assert chosen(7, *three) == ["a", "b", "c"]


def test_whoever_turns_out_not_to_be_needed_is_spared() -> None:
    small, large = SizedCandidate("small", 2, last_used=1), SizedCandidate("large", 8, last_used=2)
    assert chosen(8, small, large) == ["large"]


def test_the_most_wanted_is_spared_first() -> None:
    old, young = SizedCandidate("old", 2, last_used=1), SizedCandidate("young", 2, last_used=2)
    assert chosen(8, old, young, SizedCandidate("large", 6, last_used=3)) == ["old", "large"]


def test_nobody_goes_if_nobody_has_to() -> None:
    assert chosen(0, SizedCandidate("a", 5, last_used=1)) == []


def test_nobody_goes_if_all_of_them_would_not_do() -> None:
    assert (
        chosen(11, SizedCandidate("a", 5, last_used=1), SizedCandidate("b", 5, last_used=2)) is None
    )
    assert chosen(1) is None
