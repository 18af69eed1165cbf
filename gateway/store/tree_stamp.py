"""Whether anything below a folder has changed since it was looked at, whoever changed it."""

import os
from pathlib import Path

_TICK = 2.0
"""Seconds. Within these, a file system may give two changes the same time."""

Mark = tuple[int, int]


class Look:
    """One look at a folder and what is in it, begun at a unix time; and whether it still holds."""

    def __init__(self, folder: Path, began: float) -> None:
        self._folder = str(folder)
        self._began = began
        self._marks: dict[str, Mark | None] = {}
        self._complete = False

    def at(self, path: str) -> os.stat_result:
        """The state of a file or a folder, to be asked for before it is read. Raises OSError."""
        short = path[len(self._folder) + 1 :] or "."
        self._marks[short] = None
        status = os.stat(path)
        # Whatever is done to a file or in a folder changes its ctime, which nobody can set.
        self._marks[short] = status.st_ctime_ns, status.st_ino
        return status

    def complete(self) -> None:
        """Everything has been looked at. What changed just now may yet change again unseen."""
        newest = max((mark[0] for mark in self._marks.values() if mark), default=0)
        self._complete = newest < (self._began - _TICK) * 1e9

    def holds(self) -> bool:
        """Whether another look would show the same: one stat for each file and each folder."""
        if not self._complete:
            return False
        try:
            descriptor = os.open(self._folder, os.O_RDONLY)
        except OSError:
            return self._marks == {".": None}
        try:
            return self._same(descriptor)
        finally:
            os.close(descriptor)

    def _same(self, folder: int) -> bool:
        # There may be thousands: bare, and without the way to the folder in each path.
        stat = os.stat
        for path, mark in self._marks.items():
            try:
                status = stat(path, dir_fd=folder)
            except OSError:
                if mark is not None:
                    return False
            else:
                if mark != (status.st_ctime_ns, status.st_ino):
                    return False
        return True
