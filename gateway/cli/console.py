"""The three standard streams and the environment, as one argument.

Data goes to standard output, everything else to standard error.
"""

import contextlib
import io
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Console:
    """Where a command reads and writes."""

    stdin: TextIO | None
    stdout: TextIO
    stderr: TextIO
    environ: Mapping[str, str]

    def out(self, text: str) -> None:
        self.stdout.write(text)
        # At once: the text may be one token of a stream.
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


def standard_console() -> Console:
    """The console of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A model writes characters that a terminal's encoding may lack: `?` beats a traceback.
            stream.reconfigure(errors="replace")
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
    """Point standard output at nothing."""
    # Its reader is gone, and Python flushes once more at exit: that would print a second error.
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, console.stdout.fileno())
        os.close(nothing)
