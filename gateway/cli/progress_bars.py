"""Progress on a terminal, drawn by rich."""

import threading
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console as RichConsole
from rich.console import Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.spinner import Spinner
from rich.table import Column
from rich.text import Text

FRAMES_PER_SECOND = 10


class TerminalProgress:
    """A `ProgressDisplay` on a terminal. `transient` takes all of it off at the end."""

    def __init__(self, stream: TextIO, *, transient: bool = False) -> None:
        self._console = RichConsole(file=stream, force_terminal=True)
        self._lock = threading.Lock()
        self._lines: list[Spinner | Text | Progress] = []
        self._message: str | None = None
        self._bars: dict[str, tuple[Progress, TaskID]] = {}
        self._live = Live(
            get_renderable=self._frame,
            console=self._console,
            refresh_per_second=FRAMES_PER_SECOND,
            transient=transient,
            vertical_overflow="crop",
            # rich would put objects of its own in place of sys.stdout and sys.stderr.
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._end_step()
        self._live.stop()

    def status(self, message: str) -> None:
        with self._lock:
            if message == self._message:
                return
            self._end_step()
            self._message = message
            # As Text, or rich would take brackets in it for markup.
            self._lines.append(Spinner("dots", Text(message)))
        self._live.start()

    def transfer(self, key: str, message: str, completed: int, total: int) -> None:
        with self._lock:
            if key not in self._bars:
                self._end_step()
                bar = self._new_bar()
                self._lines.append(bar)
                self._bars[key] = bar, bar.add_task(message.strip(), total=total)
            progress, task = self._bars[key]
            progress.update(task, completed=completed)
        self._live.start()

    def _end_step(self) -> None:
        """Let the line of the last status stand without its spinner."""
        if self._lines and isinstance(self._lines[-1], Spinner):
            self._lines[-1] = Text(self._message or "")

    def _new_bar(self) -> Progress:
        """One bar for itself, with columns of fixed width so that all of them line up."""
        return Progress(
            TextColumn("{task.description}", markup=False),
            TaskProgressColumn(),
            BarColumn(bar_width=None),
            DownloadColumn(table_column=Column(width=13, justify="right", no_wrap=True)),
            TransferSpeedColumn(table_column=Column(width=10, justify="right", no_wrap=True)),
            TimeRemainingColumn(table_column=Column(width=7, justify="right", no_wrap=True)),
            console=self._console,
            expand=True,
        )

    def _frame(self) -> Group:
        # The newest lines: rich would crop a frame that is too tall at its end, where things move.
        return Group(*self._lines[-self._console.height :])
