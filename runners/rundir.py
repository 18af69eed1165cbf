"""A private folder for one gateway's sockets, and the sweep of what killed gateways left behind.

    <runtime>/paddock-<uid>/<pid>-<random>/lock       held for the gateway's life
                                           <n>.sock   where a runner listens
                                           <n>.pid    "<pid> <start time>" of that runner

A folder whose lock can be taken has lost its gateway: its runners are ended and it is removed.
Runners end by themselves when their gateway is gone, but not one that still loads, or is stuck.
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

# Bytes of the path of the folder above ours: that of a socket is limited to 103 (sockaddr_un).
_MAX_HOME = 75


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
    """Note a runner, so that a later gateway can end it if this one is killed."""
    # A disk without room for the note is no reason to lose the runner.
    with contextlib.suppress(psutil.NoSuchProcess, OSError):
        started = psutil.Process(pid).create_time()
        (folder / f"{number}.pid").write_text(f"{pid} {started}")


def forget(folder: Path, number: int) -> None:
    """Remove the files of a runner that is reaped."""
    # Its socket too: the engine leaves it, and cannot listen where a stale one is.
    for suffix in ("pid", "sock"):
        (folder / f"{number}.{suffix}").unlink(missing_ok=True)


def sweep(home: Path) -> list[int]:
    """End the runners of gateways that are gone and remove their folders; returns their pids."""
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
            return []  # the system has given the number to another process since
        process.kill()
        process.wait(5)
    except (ValueError, psutil.NoSuchProcess):
        return []
    except psutil.Error as exc:
        log.warning("cannot end leftover runner %s: %s", note.stem, exc)
        return []
    log.warning("ended leftover runner %s of a gateway that is gone", pid)
    return [int(pid)]


def _home(base: Path | None) -> Path:
    """A folder of ours that nobody else can enter."""
    named = os.environ.get("XDG_RUNTIME_DIR")
    roots = [*([Path(named)] if named else []), Path(tempfile.gettempdir()), Path("/tmp")]
    for root in [base] if base else roots:
        home = root / f"paddock-{os.getuid()}"
        with contextlib.suppress(OSError):
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            # In a folder for temporary files somebody else may have made it, as a link even. And
            # whoever can enter it can use every model: sockets have the mode that the umask leaves.
            info = home.lstat()
            private = stat.S_ISDIR(info.st_mode) and not info.st_mode & 0o077
            if private and info.st_uid == os.getuid() and len(os.fsencode(home)) <= _MAX_HOME:
                return home
    raise OSError("no private folder for sockets: set XDG_RUNTIME_DIR to a short, private path")
