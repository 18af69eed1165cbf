"""The per-user cache of engines, which several builds and checkouts share."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

_UNUSED_LIMIT = 60 * 24 * 3600.0
"""Seconds after which an engine without a link goes. An engine is some 30 MB and minutes of
compiling, so a branch that is left for a few weeks should find its own again."""


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

    Yields the descriptor: a process that inherits it keeps the lock for as long as it lives, so
    a compiler that outlives its build is not joined by another one in the same folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The file stays: if it were removed, two builds could hold locks on two files of one name.
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def link(target: Path, at: Path) -> None:
    """Point the symbolic link `at` to `target`, in one step."""
    at.parent.mkdir(parents=True, exist_ok=True)
    # Renamed over the old one, so that a server that starts meanwhile sees one of the two.
    new = at.with_name(f".{at.name}-{os.getpid()}")
    new.symlink_to(target)
    new.replace(at)


def claim(engine: Path, at: Path) -> None:
    """Record beside `engine` that the link `at` is going to point to it, and when.

    The engine it points to so far counts as used until now, since a server may still run it.
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
        claims = _claims(home)
        if not claims.exists():
            claims.touch()
        if any(Path(at).resolve() == home.resolve() for at in claims.read_text().splitlines()):
            continue
        if now - claims.stat().st_mtime > _UNUSED_LIMIT and _remove(home, home.name):
            claims.unlink()
            yield home.name
    for left in sorted((*engines.glob(".work-*"), *engines.glob(".new-*"))):
        # What a build writes at its beginning and its end lies right in the folder.
        changed = max(path.lstat().st_mtime for path in (left, *left.iterdir()))
        if now - changed > _UNUSED_LIMIT and _remove(left, left.name.partition("-")[2]):
            yield left.name


def _claims(engine: Path) -> Path:
    """The file that lists the links to an engine, one a line; its age is that of the last use.

    A link may be gone, with its checkout or by `make clean`, without a word to the cache, so
    the list is checked against the file system when it is read.
    """
    return engine.with_name(f".links-{engine.name}")


def _remove(folder: Path, engine: str) -> bool:
    """Remove a folder; False if that is not permitted, or while a build holds the engine's lock."""
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
