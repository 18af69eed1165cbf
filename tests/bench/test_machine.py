"""How much of the machine others used."""

import pytest

from bench.machine import Use


@pytest.mark.parametrize(
    ("after", "share"),
    [
        (Use(200.0, 90.0, 20.0), 0.0),
        (Use(200.0, 50.0, 40.0), 0.2),
        (Use(200.0, 20.0, 0.0), 0.9),
        (Use(200.0, 60.0, 80.0), 0.0),
        (Use(100.0, 10.0, 0.0), 0.0),
    ],
)
def test_what_is_neither_idle_nor_ours_is_others(after: Use, share: float) -> None:
    assert after.others(Use(100.0, 10.0, 0.0)) == pytest.approx(share)
