"""Turns: side by side, and within a budget."""

from collections.abc import Callable

from bench.lab import taking_turns


def test_every_other_round_goes_backwards() -> None:
    order: list[str] = []

    def turn(name: str) -> Callable[[], int]:
        def reported() -> int:
            order.append(name)
            return len(order)

        return reported

    samples = taking_turns(3, turn("a"), turn("b"))
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert samples == [[1, 4, 5], [2, 3, 6]]


def test_no_round_begins_after_the_budget_but_there_are_three() -> None:
    now = 0.0

    def slow() -> float:
        nonlocal now
        now += 10.0
        return now

    assert taking_turns(9, slow, budget=45.0, clock=lambda: now) == [[10.0, 20.0, 30.0, 40.0, 50.0]]
    now = 0.0
    assert taking_turns(9, slow, budget=1.0, clock=lambda: now) == [[10.0, 20.0, 30.0]]
