"""A private folder for one gateway's sockets, and the sweep of what killed gateways left behind.

    <runtime>/paddock-<uid>/<pid>-<random>/lock       held for the gateway's life
                                           <n>.sock   where a child listens
                                           <n>.pid    "<pid> <start time>" of that child

A folder whose lock can be taken has lost its gateway: its children are ended and it is removed.
"""

import contextlib
import fcntl
import logging
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

log = logging.getLogger(__name__)

_LONGEST = 75
"""Bytes of the folder above ours: a socket's whole path is limited to 103 (sockaddr_un)."""


@contextlib.contextmanager
def open_rundir(base: Path | None = None) -> Iterator[Path]:
    """A fresh 0700 folder, locked while open, removed at the end; leftovers are swept first."""
    home = _home(base)
    sweep(home)
    folder = home / f"{os.getpid()}-{secrets.token_hex(3)}"
    folder.mkdir(mode=0o700)
    with (folder / "new").open("w") as lock:
        # Locked before it has its name: a sweep of another gateway never sees it free.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (folder / "new").rename(folder / "lock")
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def record(folder: Path, number: int, pid: int) -> None:
    """Remember a child, so that a later gateway can end it if this one is killed.

    A disk without room for the note is no reason to lose the child.
    """
    with contextlib.suppress(psutil.NoSuchProcess, OSError):
        started = psutil.Process(pid).create_time()
        (folder / f"{number}.pid").write_text(f"{pid} {started}")


def forget(folder: Path, number: int) -> None:
    """A reaped child needs no record; its socket goes too, for the engine leaves it."""
    for suffix in ("pid", "sock"):
        (folder / f"{number}.{suffix}").unlink(missing_ok=True)


def sweep(home: Path) -> list[int]:
    """End the children of gateways that are gone and remove their folders; returns their pids."""
    ended = []
    for folder in home.iterdir():
        with contextlib.suppress(OSError), (folder / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for note in folder.glob("*.pid"):
                ended += _end(note)
            shutil.rmtree(folder, ignore_errors=True)
    return ended


def _end(note: Path) -> list[int]:
    try:
        pid, started = note.read_text().split()
        process = psutil.Process(int(pid))
        if abs(process.create_time() - float(started)) > 0.1:
            return []  # the number was given to somebody else
        process.kill()
        process.wait(5)
    except (ValueError, psutil.NoSuchProcess):
        return []
    except psutil.Error as exc:
        log.warning("cannot end leftover child %s: %s", note.stem, exc)
        return []
    log.warning("ended leftover child %s of a gateway that is gone", pid)
    return [int(pid)]


def _home(base: Path | None) -> Path:
    """A folder of ours that nobody else can enter."""
    for root in [base] if base else _roots():
        home = root / f"paddock-{os.getuid()}"
        with contextlib.suppress(OSError):
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            info = home.lstat()
            private = stat.S_ISDIR(info.st_mode) and not info.st_mode & 0o077
            if private and info.st_uid == os.getuid() and len(os.fsencode(home)) <= _LONGEST:
                return home
    raise OSError("no private folder for sockets: set XDG_RUNTIME_DIR to a short, private path")


def _roots() -> list[Path]:
    named = os.environ.get("XDG_RUNTIME_DIR")
    return [*([Path(named)] if named else []), Path(tempfile.gettempdir()), Path("/tmp")]
