"""Whether anything below a folder has changed since it was read, whoever changed it."""

import os
from pathlib import Path

_TICK = 2.0
"""Seconds. Within these, a file system may give two changes the same time."""


class TreeStamp:
    """The state of a folder and what is in it, as read from unix time `began` on.

    Call `stat` for each folder and file before it is read, then `seal`.
    """

    def __init__(self, folder: Path, began: float) -> None:
        self._folder = str(folder)
        self._began = began
        self._states: dict[str, tuple[int, int] | None] = {}
        """By relative path: ctime in nanoseconds, and inode; None for what was not there."""
        self._trusted = False

    def stat(self, path: str) -> os.stat_result:
        """Note the state of a file or a folder, and return it. Raises OSError."""
        relative = path[len(self._folder) + 1 :] or "."
        self._states[relative] = None
        status = os.stat(path)
        # The ctime, not the mtime: every write, rename, link and chmod changes it, and no program
        # can set it, while `cp -p`, `rsync` and `touch` put an mtime back to what it was.
        self._states[relative] = status.st_ctime_ns, status.st_ino
        return status

    def seal(self) -> None:
        """Everything has been read. What changed just now may change again without a trace."""
        newest = max((state[0] for state in self._states.values() if state), default=0)
        self._trusted = newest < (self._began - _TICK) * 1e9

    def is_current(self) -> bool:
        """Whether reading again would give the same: one stat for each file and each folder."""
        if not self._trusted:
            return False
        try:
            folder = os.open(self._folder, os.O_RDONLY)
        except OSError:
            return self._states == {".": None}
        try:
            # There may be thousands of files, so the loop is bare: paths from an open folder on,
            # which the kernel need not walk from the root each time, and a local for the function.
            stat = os.stat
            for path, state in self._states.items():
                try:
                    status = stat(path, dir_fd=folder)
                except OSError:
                    if state is not None:
                        return False
                else:
                    if state != (status.st_ctime_ns, status.st_ino):
                        return False
            return True
        finally:
            os.close(folder)
