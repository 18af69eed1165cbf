"""The per-user cache under several builds at once."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vendor.cache import cache_folder, link, locked, scratch


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"PADDOCK_CACHE": "/big/disk", "XDG_CACHE_HOME": "/x"}, "/big/disk"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/paddock"),
        ({"XDG_CACHE_HOME": ""}, str(Path.home() / ".cache" / "paddock")),
        ({}, str(Path.home() / ".cache" / "paddock")),
    ],
)
def test_cache_folder(environ: dict[str, str], folder: str) -> None:
    assert cache_folder(environ) == Path(folder)


def test_the_second_holder_of_a_lock_waits_for_the_first(tmp_path: Path) -> None:
    lock, waiting, order = tmp_path / "new" / "lock", threading.Event(), []

    def second() -> None:
        with locked(lock, waiting.set):
            order.append("second")

    thread = threading.Thread(target=second)
    with locked(lock, lambda: order.append("never")):
        thread.start()
        assert waiting.wait(20)
        order.append("first")
    thread.join(20)
    assert order == ["first", "second"]


def test_a_child_that_inherits_the_lock_keeps_it(tmp_path: Path) -> None:
    lock, waiting, got = tmp_path / "lock", threading.Event(), threading.Event()
    wait_for_end_of_input = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with locked(lock) as keep:
        child = subprocess.Popen(wait_for_end_of_input, stdin=subprocess.PIPE, pass_fds=(keep,))

    def next_build() -> None:
        with locked(lock, waiting.set):
            got.set()

    thread = threading.Thread(target=next_build)
    thread.start()
    assert waiting.wait(20)
    assert not got.is_set()
    child.communicate()
    assert got.wait(20)
    thread.join(20)


def test_scratch_starts_empty_and_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "left over").touch()

    def interrupted() -> None:
        with scratch(folder):
            assert list(folder.iterdir()) == []
            (folder / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not folder.exists()


def test_scratch_lets_its_folder_be_renamed_away(tmp_path: Path) -> None:
    with scratch(tmp_path / "new") as new:
        (new / "whole").touch()
        new.rename(tmp_path / "home")
    assert [path.name for path in tmp_path.rglob("*")] == ["home", "whole"]


def test_link_is_replaced(tmp_path: Path) -> None:
    at = tmp_path / "engine"
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        link(tmp_path / name, at)
        assert at.readlink() == tmp_path / name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["engine", "first", "second"]
