"""What a command is waiting for: rich's spinners and bars on a terminal, plain lines elsewhere."""

# rich takes some 55 ms to import, so it is imported only once there is something to draw.

import contextlib
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self, TextIO

from gateway.cli import formats
from gateway.cli.console import Console, is_terminal

DELAY = 0.1
"""Seconds without any text until the spinner shows: a quick answer needs none."""


class ProgressDisplay(Protocol):
    """Lines in the order they began. May be used from several threads at once."""

    def status(self, message: str) -> None:
        """A new step begins; the one before it is over."""

    def transfer(self, key: str, message: str, completed: int, total: int) -> None:
        """`completed` of `total` bytes of the thing called `key` have moved."""


class PlainProgress:
    """A line for each step when it begins, and for each transfer when it ends."""

    # For files and pipes, which Ollama fills with the escape codes of a terminal.

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._message = ""
        self._finished = set[str]()

    def status(self, message: str) -> None:
        with self._lock:
            if message and message != self._message:
                self._write(message)
            self._message = message

    def transfer(self, key: str, message: str, completed: int, total: int) -> None:
        with self._lock:
            # Servers repeat the last count, or go on counting past the total.
            if completed >= total and key not in self._finished:
                self._finished.add(key)
                self._write(f"{message.strip()} 100% {formats.size(total)}")

    def _write(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()


@contextlib.contextmanager
def progress_display(console: Console) -> Iterator[ProgressDisplay]:
    """A display on standard error; leaving it keeps the last state there."""
    if not is_terminal(console.stderr):
        yield PlainProgress(console.stderr)
        return
    from gateway.cli.progress_bars import TerminalProgress

    with TerminalProgress(console.stderr) as display:
        yield display


class WaitingSpinner:
    """A spinner on standard error, if that is a terminal, from `delay` seconds on until `clear`."""

    def __init__(self, console: Console, delay: float = DELAY) -> None:
        self._stream = console.stderr
        self._lock = threading.Lock()
        self._over = not is_terminal(console.stderr)
        self._display = contextlib.ExitStack()
        self._timer = threading.Timer(delay, self._show)
        # The program must be able to end while rich is being imported.
        self._timer.daemon = True

    def __enter__(self) -> Self:
        if not self._over:
            self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()

    def clear(self) -> None:
        """Take it off the terminal for good. Called for each piece of an answer, so it is cheap."""
        if self._over:
            return
        self._timer.cancel()
        with self._lock:
            self._over = True
            self._display.close()

    def _show(self) -> None:
        # Before the lock is taken: the first text must not wait until rich is imported.
        from gateway.cli.progress_bars import TerminalProgress

        with self._lock:
            if not self._over:
                spinner = TerminalProgress(self._stream, transient=True)
                self._display.enter_context(spinner)
                spinner.status("")
