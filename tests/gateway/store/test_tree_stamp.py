"""A look holds until anything is done to what was looked at, by anybody, in any way."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.store.tree_stamp import Look

LATER = 10.0
"""Seconds after the last change, when a look can be trusted."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "a").write_bytes(b"1234")
    (folder / "b").write_bytes(b"5678")
    return folder


def taken(folder: Path, *, after: float = LATER) -> Look:
    """A look at the folder and its files, `after` seconds from now by the clock."""
    look = Look(folder, time.time() + after)
    for path in (folder, *sorted(folder.iterdir())):
        look.at(str(path))
    look.complete()
    return look


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


def test_a_look_holds_while_nothing_happens(folder: Path) -> None:
    look = taken(folder)
    assert look.holds()
    assert (folder / "a").read_bytes() == b"1234"
    assert look.holds()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_it_ends_with_any_change(folder: Path, change: Callable[[Path], object]) -> None:
    look = taken(folder)
    change(folder)
    assert not look.holds()


def test_what_changed_just_now_is_not_trusted(folder: Path) -> None:
    """A second change within the file system's tick would leave no trace."""
    assert not taken(folder, after=0.0).holds()
    assert not taken(folder, after=1.0).holds()
    assert taken(folder, after=3.0).holds()


def test_what_was_not_there_is_looked_for_again(folder: Path) -> None:
    look = Look(folder, time.time() + LATER)
    with pytest.raises(FileNotFoundError):
        look.at(str(folder / "c"))
    look.complete()
    assert look.holds()
    (folder / "c").write_bytes(b"")
    assert not look.holds()


def test_a_folder_that_was_not_there_is_looked_for_again(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    look = Look(folder, time.time())
    with pytest.raises(FileNotFoundError):
        look.at(str(folder))
    look.complete()
    assert look.holds()
    folder.mkdir()
    assert not look.holds()


def test_a_look_that_is_not_complete_never_holds(folder: Path) -> None:
    look = Look(folder, time.time() + LATER)
    look.at(str(folder))
    assert not look.holds()
