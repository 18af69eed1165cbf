"""What a build reports while it goes on, and how that looks as plain text."""

import re
from collections.abc import Callable
from typing import Protocol


class BuildProgress(Protocol):
    """Where a build reports to."""

    def say(self, text: str) -> None:
        """One line: a step that begins, or why something else is done than was expected."""

    def compiled(self, flavour: str, done: int, total: int) -> None:
        """`done` of `total` files are compiled."""


class TextProgress:
    """Lines of text: one that is rewritten on a terminal, elsewhere one every tenth of the files.

    Elsewhere is mostly a log, for which each of some 300 files would be too much.
    """

    def __init__(self, write: Callable[[str], object], terminal: bool) -> None:
        self._write = write
        self._terminal = terminal
        self._tenth = -1

    def say(self, text: str) -> None:
        self._write(f"engine: {text}\n")

    def compiled(self, flavour: str, done: int, total: int) -> None:
        line = f"engine: compiling llama.cpp ({flavour}) [{done}/{total}]"
        if self._terminal:
            self._write(f"\r{line}" + "\n" * (done == total))
        else:
            tenth = done * 10 // total
            # Less than before: an engine that crashed is compiled again, or another flavour.
            if tenth != self._tenth:
                self._write(f"{line}\n")
            self._tenth = tenth


def ninja_count(line: str) -> tuple[int, int] | None:
    """Files done and files in all, of a line that ninja printed with NINJA_STATUS "[%f/%t] "."""
    match = re.match(r"\[(\d+)/(\d+)\]", line)
    return (int(match[1]), int(match[2])) if match else None
