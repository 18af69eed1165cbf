"""The per-user cache, which several builds may want at the same time. Standard library only."""

import fcntl
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

_KEPT = 60 * 24 * 3600.0
"""Seconds."""


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


def claim(engine: Path, at: Path) -> None:
    """Write down beside `engine` that the link `at` is to point to it, and when that was said.

    The engine that it points to now counts as used until now: a server may still run it.
    """
    if (before := _claims(at.resolve())).exists():
        before.touch()
    claims = _claims(engine)
    claims.touch()
    if str(at) not in claims.read_text().splitlines():
        with claims.open("a") as file:
            file.write(f"{at}\n")


def prune(engines: Path, now: float) -> Iterator[str]:
    """Remove what nobody has used in the two months before the unix time `now`; yields its names.

    These are engines that no link points to, and what interrupted builds left. An engine without a
    claim counts as used when it is first seen here.
    """
    for home in sorted(engines.glob("[!.]*")):
        if now - _used(home) > _KEPT and _remove(home, home.name):
            _claims(home).unlink()
            yield home.name
    for left in sorted((*engines.glob(".work-*"), *engines.glob(".new-*"))):
        if now - _changed(left) > _KEPT and _remove(left, left.name.partition("-")[2]):
            yield left.name


def _claims(engine: Path) -> Path:
    """The links to an engine, one a line; as old as its last use."""
    return engine.with_name(f".links-{engine.name}")


def _used(engine: Path) -> float:
    """Unix seconds; infinite while a link points to it."""
    claims = _claims(engine)
    if not claims.exists():
        claims.touch()
    links = claims.read_text().splitlines()
    if any(Path(at).resolve() == engine.resolve() for at in links):
        return math.inf
    return claims.stat().st_mtime


def _changed(work: Path) -> float:
    """Unix seconds. What a build writes at its beginning and its end lies right in the folder."""
    return max(path.lstat().st_mtime for path in (work, *work.iterdir()))


def _remove(folder: Path, engine: str) -> bool:
    """Unless it may not be, or a build of that engine goes on, which then has the lock."""
    gone = folder.with_name(f".new-{engine}")
    with folder.with_name(f".lock-{engine}").open("w") as lock, suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder != gone:
            # In one step: half an engine must not look like one.
            shutil.rmtree(gone, ignore_errors=True)
            folder.rename(gone)
        shutil.rmtree(gone)
        return True
    return False
