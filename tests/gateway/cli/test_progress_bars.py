"""Spinners, bars and the display that draws them."""

import io
import threading

import pytest

from gateway.cli.progress_bars import Bar, Spinner, TerminalProgress, erase, frame, remaining


def test_a_spinner_turns_until_it_is_done() -> None:
    spinner = Spinner("loading", started=10.0)
    assert [spinner.line(10.0 + tenth / 10, 80) for tenth in (0.5, 1.5, 10.5)] == [
        "loading \u280b ",
        "loading \u2819 ",
        "loading \u280b ",
    ]
    spinner.done = True
    assert spinner.line(10.0, 80) == "loading "


def test_a_spinner_without_a_message_is_only_its_glyph() -> None:
    assert Spinner("", started=0.0).line(0.05, 80) == "\u280b "


def test_a_line_fits_the_terminal() -> None:
    assert Spinner("a long message", started=0.0).line(0.0, 6) == "a long"


def test_a_bar_starts_without_a_rate() -> None:
    bar = Bar("copying", 2_000_000, started=0.0)
    bar.update(500_000, 0.5)
    inner = 80 - len("copying  25%") - 36
    bar_cells = "\u2588" * (inner // 4) + " " * (inner - inner // 4)
    sizes = "500 KB/  2 MB"
    assert bar.line(0.5, 80) == f"copying  25% \u2595{bar_cells}\u258f {sizes}" + " " * 18


def test_a_running_bar_has_rate_and_time_left() -> None:
    bar = Bar("copying", 10_000_000, started=0.0)
    for second in range(1, 5):
        bar.update(second * 1_000_000, float(second))
    assert bar.rate() == 1_000_000
    assert bar.line(4.0, 80).endswith("\u258f   4 MB/ 10 MB    1 MB/s      6s")


def test_a_finished_bar_shows_its_total_only() -> None:
    bar = Bar("copying", 2_000_000, started=0.0)
    bar.update(2_000_000, 5.0)
    assert bar.done
    assert bar.line(5.0, 80).endswith("\u258f   2 MB" + " " * 25)
    assert bar.line(5.0, 80).startswith("copying 100% \u2595\u2588")


def test_the_rate_is_that_of_the_last_samples() -> None:
    bar = Bar("x", 10**9, started=0.0)
    for second in range(1, 21):
        bar.update(second * 100 if second <= 10 else 1000 + (second - 10) * 900, float(second))
    assert bar.rate() == 900


def test_a_narrow_terminal_has_no_room_for_the_bar() -> None:
    bar = Bar("copying", 100, started=0.0)
    bar.update(50, 0.1)
    assert bar.line(0.1, 20).startswith("copying  50% \u2595\u258f   50 B/")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (59, "59s"), (59.6, "1m0s"), (90, "1m30s"), (7500, "2h5m"), (4e5, "99h+")],
)
def test_time_left(seconds: float, text: str) -> None:
    assert remaining(seconds) == text


def test_a_frame_is_drawn_over_the_one_before() -> None:
    assert frame(["a", "b"], drawn=0) == (
        "\x1b[?2026h\x1b[?25l\x1b[1Ga\x1b[K\nb\x1b[K\x1b[?25h\x1b[?2026l"
    )
    assert frame(["a", "b", "c"], drawn=3).startswith("\x1b[?2026h\x1b[?25l\x1b[A\x1b[A\x1b[1Ga")


def test_erasing_goes_up_line_by_line() -> None:
    assert erase(2) == "\x1b[?25l\x1b[2K\x1b[1G\x1b[A\x1b[2K\x1b[1G\x1b[?25h"


class WatchedStream(io.StringIO):
    """A terminal that tells when something was drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = threading.Event()

    def write(self, text: str) -> int:
        count = super().write(text)
        self.drawn.set()
        return count


def test_a_terminal_is_drawn_on_while_the_display_is_open_and_ends_with_the_last_state() -> None:
    out = WatchedStream()
    with TerminalProgress(out, clock=lambda: 0.0) as display:
        display.status("gathering")
        assert out.drawn.wait(20)
        display.status("success")
    assert "gathering \u280b" in out.getvalue()
    assert out.getvalue().endswith("gathering \x1b[K\nsuccess \x1b[K\x1b[?25h\x1b[?2026l\n")


def test_a_transient_display_takes_its_lines_off() -> None:
    out = WatchedStream()
    with TerminalProgress(out, transient=True) as display:
        display.status("")
        assert out.drawn.wait(20)
    assert out.getvalue().endswith(erase(1))
