"""The per-user cache, which several builds may want at the same time. Standard library only."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def cache_folder(environ: Mapping[str, str]) -> Path:
    """The per-user cache: $PADDOCK_CACHE, or paddock in the user's cache folder."""
    if chosen := environ.get("PADDOCK_CACHE"):
        return Path(chosen).expanduser().absolute()
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "paddock"


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """An empty folder, removed at the end if it is still there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[int]:
    """Hold an exclusive lock; `waiting` is called first if somebody else has it.

    Yields the descriptor: a child that inherits it keeps the lock for as long as it lives.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def link(target: Path, at: Path) -> None:
    """Point the symbolic link `at` to `target`, in one step."""
    new = at.with_name(f".{at.name}-{os.getpid()}")
    new.symlink_to(target)
    new.replace(at)
