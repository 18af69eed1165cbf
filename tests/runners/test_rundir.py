"""The private folder of sockets, and the sweep of what a killed gateway left."""

import fcntl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from runners.rundir import forget, open_rundir, record, sweep


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder with a short path, for that of a socket is limited."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    """A runner that a killed gateway could have left."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def left_behind(home: Path, pid: int) -> Path:
    """The folder of a gateway that is gone: its lock can be taken."""
    folder = home / "1-abc"
    folder.mkdir(mode=0o700)
    (folder / "lock").touch()
    record(folder, 7, pid)
    (folder / "7.sock").touch()
    return folder


def test_the_folder_is_private_and_gone_afterwards(base: Path) -> None:
    with open_rundir(base) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert folder.parent.stat().st_mode & 0o777 == 0o700
        (folder / "1.sock").touch()
    assert not folder.exists()


def test_a_left_runner_is_ended_and_its_folder_removed(
    base: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    folder = left_behind(base, sleeper.pid)
    assert sweep(base) == [sleeper.pid]
    assert not psutil.pid_exists(sleeper.pid)
    assert not folder.exists()


def test_opening_sweeps_first(base: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    with open_rundir(base) as mine:
        home = mine.parent
    left_behind(home, sleeper.pid)
    with open_rundir(base) as mine:
        assert not psutil.pid_exists(sleeper.pid)
        assert [entry.name for entry in home.iterdir()] == [mine.name]


def test_a_living_gateway_keeps_its_runners(base: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    with open_rundir(base) as folder:
        record(folder, 7, sleeper.pid)
        assert sweep(folder.parent) == []
        assert folder.exists()
        assert sleeper.poll() is None


def test_a_number_given_to_another_process_is_left_alone(
    base: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    folder = left_behind(base, sleeper.pid)
    started = psutil.Process(sleeper.pid).create_time()
    (folder / "7.pid").write_text(f"{sleeper.pid} {started - 100}")
    assert sweep(base) == []
    assert sleeper.poll() is None
    assert not folder.exists()


@pytest.mark.parametrize("note", ["", "x y", "99999999 1.0"])
def test_a_note_of_nobody_does_no_harm(base: Path, note: str) -> None:
    folder = base / "1-abc"
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "7.pid").write_text(note)
    assert sweep(base) == []
    assert not folder.exists()


def test_a_folder_that_is_not_yet_locked_is_left_alone(base: Path) -> None:
    young = base / "2-def"
    young.mkdir()
    with (young / "new").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert sweep(base) == []
        assert young.exists()


def test_a_reaped_runner_is_forgotten(base: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    folder = left_behind(base, sleeper.pid)
    forget(folder, 7)
    assert sorted(entry.name for entry in folder.iterdir()) == ["lock"]
    assert sweep(base) == []
    assert sleeper.poll() is None


def test_a_note_that_cannot_be_written_is_no_failure(
    base: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    record(base / "removed", 7, sleeper.pid)
    assert sleeper.poll() is None
    assert list(base.iterdir()) == []


def test_a_folder_others_can_enter_is_not_used(base: Path) -> None:
    with open_rundir(base) as folder:
        home = folder.parent
    home.chmod(0o755)
    with pytest.raises(OSError, match="no private folder"), open_rundir(base):
        pass
