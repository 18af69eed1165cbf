"""Progress on a terminal: spinners and bars.

The lines are pure (`Spinner.line`, `Bar.line`, `frame`); `TerminalProgress` draws them, every
tenth of a second, from a thread of its own.
"""

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self, TextIO

from gateway.cli import formats
from gateway.cli.console import dimensions

PERIOD = 0.1
GLYPHS = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
SAMPLES = 10

_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"  # the terminal shows what is between at once


class Line(Protocol):
    """One line of the display."""

    def line(self, now: float, width: int) -> str: ...


class Spinner:
    """A message, and something that turns while it is true."""

    def __init__(self, message: str, started: float) -> None:
        self.message = message
        self.done = False
        self._started = started

    def line(self, now: float, width: int) -> str:
        if self.done:
            return f"{self.message} "[:width]
        glyph = GLYPHS[int((now - self._started) / PERIOD) % len(GLYPHS)]
        return f"{self.message} {glyph} "[:width] if self.message else f"{glyph} "


class Bar:
    """Bytes of a known total."""

    def __init__(self, message: str, total: int, started: float) -> None:
        self.message = message
        self.total = total
        self.completed = 0
        self._samples = [(started, 0)]

    @property
    def done(self) -> bool:
        return self.completed >= self.total

    def update(self, completed: int, now: float) -> None:
        """Note what is done; a sample for the rate is kept at most once a second."""
        self.completed = completed
        if now - self._samples[-1][0] >= 1 or self.done:
            self._samples = [*self._samples[-SAMPLES + 1 :], (now, completed)]

    def rate(self) -> float:
        """Bytes per second over the samples; 0 before there are two."""
        (first, low), (last, high) = self._samples[0], self._samples[-1]
        return (high - low) / (last - first) if last > first else 0.0

    def line(self, now: float, width: int) -> str:
        percent = min(100, self.completed * 100 // self.total) if self.total else 100
        left = f"{self.message.strip()} {percent:3d}%"
        room = width - len(left.encode()) - 36
        filled = "█" * max(0, room * percent // 100)
        return f"{left} ▕{filled:<{max(0, room)}}▏ {self._right()}"

    def _right(self) -> str:
        """Sizes, rate and time left: 31 columns whether running or finished."""
        total = f"{formats.size(self.total):>6}"
        if self.done:
            return total + " " * 25
        rate = self.rate()
        speed = f"  {formats.size(int(rate)):>6}/s" if rate else " " * 10
        wait = f"  {remaining((self.total - self.completed) / rate):>6}" if rate else " " * 8
        return f"{formats.size(self.completed):>6}/{total}{speed}{wait}"


def remaining(seconds: float) -> str:
    """Time left: `59s`, `1m30s`, `2h5m`, `99h+`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest}s" if minutes else f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m" if hours < 100 else "99h+"


def frame(lines: Sequence[str], drawn: int) -> str:
    """Terminal codes that draw `lines` over the `drawn` lines of the frame before."""
    up = "\x1b[A" * max(0, drawn - 1)
    body = "\n".join(f"{line}\x1b[K" for line in lines)
    return f"{_BEGIN}{_HIDE}{up}\x1b[1G{body}{_SHOW}{_END}"


def erase(drawn: int) -> str:
    """Terminal codes that remove a frame of `drawn` lines."""
    return _HIDE + "\x1b[A".join(["\x1b[2K\x1b[1G"] * drawn) + _SHOW


class TerminalProgress:
    """A `ProgressDisplay` on a terminal. `transient` takes all of it off at the end."""

    def __init__(
        self,
        stream: TextIO,
        *,
        transient: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._transient = transient
        self._clock = clock
        self._lines: list[Line] = []
        self._bars: dict[str, Bar] = {}
        self._spinner: Spinner | None = None
        self._drawn = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._refresh, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.join()
        for line in self._lines:
            if isinstance(line, Spinner):
                line.done = True
        if self._transient:
            if self._drawn:
                self._write(erase(self._drawn))
        elif self._lines:
            self._draw()
            self._write("\n")

    def status(self, message: str) -> None:
        with self._lock:
            if self._spinner is not None:
                if self._spinner.message == message:
                    return
                self._spinner.done = True
            self._spinner = Spinner(message, self._clock())
            self._lines.append(self._spinner)

    def transfer(self, key: str, message: str, completed: int, total: int) -> None:
        with self._lock:
            now = self._clock()
            bar = self._bars.get(key)
            if bar is None:
                if self._spinner is not None:
                    self._spinner.done = True
                bar = self._bars[key] = Bar(message, total, now)
                self._lines.append(bar)
            bar.update(completed, now)

    def _refresh(self) -> None:
        while not self._stopped.wait(PERIOD):
            self._draw()

    def _draw(self) -> None:
        with self._lock:
            width, height = dimensions(self._stream)
            shown = [line.line(self._clock(), width) for line in self._lines[-height:]]
            if shown:
                self._write(frame(shown, self._drawn))
                self._drawn = len(shown)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
