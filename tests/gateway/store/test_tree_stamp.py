"""A stamp is current until anybody changes the folder in any way."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.store.tree_stamp import TreeStamp

LATER = 10.0
"""Seconds after the last change, when a stamp can be trusted."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "a").write_bytes(b"1234")
    (folder / "b").write_bytes(b"5678")
    return folder


def taken(folder: Path, *, after: float = LATER) -> TreeStamp:
    """A stamp at the folder and its files, `after` seconds from now by the clock."""
    stamp = TreeStamp(folder, time.time() + after)
    for path in (folder, *sorted(folder.iterdir())):
        stamp.stat(str(path))
    stamp.seal()
    return stamp


def rewrite(path: Path, data: bytes) -> None:
    """In place, with the same name, inode and size."""
    with path.open("r+b") as file:
        file.write(data)


def with_old_times(path: Path) -> None:
    status = path.stat()
    rewrite(path, b"9999")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replaced(path: Path) -> None:
    other = path.with_name("new")
    other.write_bytes(b"1234")
    other.replace(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "rewritten in place": lambda folder: rewrite(folder / "a", b"4321"),
    "rewritten with its old times": lambda folder: with_old_times(folder / "a"),
    "longer": lambda folder: (folder / "a").write_bytes(b"12345"),
    "replaced": lambda folder: replaced(folder / "a"),
    "removed": lambda folder: (folder / "a").unlink(),
    "renamed": lambda folder: (folder / "a").rename(folder / "c"),
    "a new file": lambda folder: (folder / "c").write_bytes(b""),
    "a new folder": lambda folder: (folder / "c").mkdir(),
    "all gone": lambda folder: folder.rename(folder.with_name("g")),
}


def test_a_stamp_is_current_while_nothing_happens(folder: Path) -> None:
    stamp = taken(folder)
    assert stamp.is_current()
    assert (folder / "a").read_bytes() == b"1234"
    assert stamp.is_current()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_it_ends_with_any_change(folder: Path, change: Callable[[Path], object]) -> None:
    stamp = taken(folder)
    change(folder)
    assert not stamp.is_current()


def test_what_changed_just_now_is_not_trusted(folder: Path) -> None:
    """A second change within the file system's tick would leave no trace."""
    assert not taken(folder, after=0.0).is_current()
    assert not taken(folder, after=1.0).is_current()
    assert taken(folder, after=3.0).is_current()


def test_what_was_missing_is_checked_again(folder: Path) -> None:
    stamp = TreeStamp(folder, time.time() + LATER)
    with pytest.raises(FileNotFoundError):
        stamp.stat(str(folder / "c"))
    stamp.seal()
    assert stamp.is_current()
    (folder / "c").write_bytes(b"")
    assert not stamp.is_current()


def test_a_folder_that_was_missing_is_checked_again(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    stamp = TreeStamp(folder, time.time())
    with pytest.raises(FileNotFoundError):
        stamp.stat(str(folder))
    stamp.seal()
    assert stamp.is_current()
    folder.mkdir()
    assert not stamp.is_current()


def test_a_stamp_that_is_not_sealed_is_never_current(folder: Path) -> None:
    stamp = TreeStamp(folder, time.time() + LATER)
    stamp.stat(str(folder))
    assert not stamp.is_current()
