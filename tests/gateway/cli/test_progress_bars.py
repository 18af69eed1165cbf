"""The drawing on a terminal: statuses, bars, and the state that stays."""

import re

import pytest

from gateway.cli.progress_bars import TerminalProgress
from tests.gateway.cli.conftest import Screen

CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture(autouse=True)
def terminal_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that rich draws on, wherever the tests run; 80 columns and 24 rows."""
    for name, value in {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)


def last_frame(screen: Screen) -> list[str]:
    """The lines that stay on the terminal."""
    text = screen.getvalue().rpartition("\x1b[2K")[2]
    return [line.rstrip() for line in CODES.sub("", text).splitlines()]


def test_statuses_stay_without_their_spinners_in_the_order_they_began() -> None:
    screen = Screen()
    with TerminalProgress(screen) as display:
        display.status("gathering [all]")
        display.status("gathering [all]")
        display.transfer("a", "copying a", 10, 10)
        display.status("success")
    first, bar, last = last_frame(screen)
    assert (first, last) == ("gathering [all]", "success")
    assert bar.startswith("copying a 100% \u2501")


def test_a_bar_shows_share_size_and_time_in_columns_that_line_up() -> None:
    screen = Screen()
    with TerminalProgress(screen) as display:
        display.transfer("a", "pulling aaa:", 500_000, 2_000_000)
        display.transfer("b", "pulling [b]:", 9_000_000_000, 90_000_000_000)
    first, second = last_frame(screen)
    assert first.startswith("pulling aaa:  25% \u2501")
    assert second.startswith("pulling [b]:  10% \u2501")
    assert "0.5/2.0 MB" in first
    assert "9.0/90.0 GB" in second
    assert first.index("MB") == second.index("GB")
    assert len(first) <= 80


def test_only_the_newest_lines_are_drawn() -> None:
    screen = Screen()
    with TerminalProgress(screen) as display:
        for number in range(100):
            display.status(f"layer {number}")
    assert last_frame(screen)[-24:] == [f"layer {number}" for number in range(76, 100)]
    assert "layer 75" not in screen.getvalue()


def test_a_display_without_lines_draws_nothing() -> None:
    screen = Screen()
    with TerminalProgress(screen):
        pass
    assert screen.getvalue() == ""


def test_a_transient_display_leaves_nothing() -> None:
    screen = Screen()
    with TerminalProgress(screen, transient=True) as display:
        display.status("waiting")
    assert screen.getvalue().endswith("\r\x1b[1A\x1b[2K")
