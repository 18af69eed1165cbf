"""The three standard streams and the environment, as one argument.

Data goes to standard output, everything else to standard error.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Console:
    """Where a command reads and writes. `ask` shows a prompt and returns the line typed."""

    stdin: TextIO | None
    stdout: TextIO
    stderr: TextIO
    environ: Mapping[str, str]
    ask: Callable[[str], str] = input

    def out(self, text: str) -> None:
        """Write data, at once: it may be one token of a stream."""
        self.stdout.write(text)
        self.stdout.flush()

    def note(self, text: str) -> None:
        """Write one line for the person at the terminal."""
        self.stderr.write(f"{text}\n")
        self.stderr.flush()

    @property
    def interactive(self) -> bool:
        """Someone can type and someone can read."""
        return is_terminal(self.stdin) and is_terminal(self.stdout)

    @property
    def color(self) -> bool:
        return is_terminal(self.stdout) and not self.environ.get("NO_COLOR")

    def piped(self) -> bytes:
        """All of standard input when it is not a terminal; nothing when it is."""
        if self.stdin is None or is_terminal(self.stdin):
            return b""
        return self.stdin.buffer.read()


def standard() -> Console:
    """The console of this process. Characters its streams cannot show become `?`."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # a replaced stream needs no care
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    return Console(sys.stdin, sys.stdout, sys.stderr, os.environ)


def is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def dimensions(stream: TextIO) -> tuple[int, int]:
    """Columns and rows of the terminal behind `stream`; 80 by 24 when there is none."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return 80, 24
    return size.columns or 80, size.lines or 24


def discard_output(console: Console) -> None:
    """Point standard output at nothing: its reader is gone and the exit would flush into it."""
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, console.stdout.fileno())
        os.close(nothing)
