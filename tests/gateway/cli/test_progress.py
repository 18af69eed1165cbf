"""What is shown while something takes time: lines in a file, a spinner on a terminal."""

import io
import threading

import pytest

from gateway.cli.console import Console
from gateway.cli.progress import PlainProgress, WaitingSpinner, progress_display
from tests.gateway.cli.conftest import Screen


@pytest.fixture(autouse=True)
def terminal_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that rich draws on, wherever the tests run."""
    monkeypatch.setenv("TERM", "xterm")


class WatchedScreen(Screen):
    """A terminal that tells when a spinner was drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = threading.Event()

    def write(self, text: str) -> int:
        count = super().write(text)
        if "\u280b" in text:
            self.drawn.set()
        return count


def console(stderr: io.StringIO) -> Console:
    return Console(None, io.StringIO(), stderr, {})


def test_a_file_gets_a_line_per_status_and_per_finished_transfer() -> None:
    out = io.StringIO()
    with progress_display(console(out)) as display:
        display.status("gathering")
        display.status("gathering")
        display.transfer("a", "copying a", 10, 20)
        display.transfer("a", "copying a", 20, 20)
        display.transfer("a", "copying a", 20, 20)
        display.status("")
        display.status("success")
    assert out.getvalue() == "gathering\ncopying a 100% 20 B\nsuccess\n"


def test_a_file_gets_nothing_while_a_transfer_runs() -> None:
    out = io.StringIO()
    display = PlainProgress(out)
    display.transfer("a", "copying a", 19, 20)
    assert out.getvalue() == ""


def test_a_terminal_gets_a_drawing() -> None:
    screen = Screen()
    with progress_display(console(screen)) as display:
        display.status("gathering")
    assert "\x1b" in screen.getvalue()
    assert "gathering" in screen.getvalue()


def test_waiting_is_shown_after_a_while_and_taken_off_again() -> None:
    screen = WatchedScreen()
    with WaitingSpinner(console(screen), delay=0) as waiting:
        assert screen.drawn.wait(20)
        waiting.clear()
        cleared = screen.getvalue()
        waiting.clear()
    assert cleared.endswith("\x1b[?25h\r\x1b[1A\x1b[2K")
    assert screen.getvalue() == cleared


def test_a_short_wait_shows_nothing() -> None:
    screen = Screen()
    with WaitingSpinner(console(screen), delay=3600) as waiting:
        waiting.clear()
    assert screen.getvalue() == ""


def test_waiting_in_front_of_a_file_shows_nothing() -> None:
    out = io.StringIO()
    with WaitingSpinner(console(out), delay=0) as waiting:
        waiting.clear()
    assert out.getvalue() == ""
