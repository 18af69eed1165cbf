"""The per-user cache under several builds at once."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from runners.build.cache import cache_folder, claim, link, locked, prune, scratch


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


DAYS = 24 * 3600.0


class Engines:
    """A cache of engines, and a moment so many days after the last thing that was done to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "engines"
        self.folder.mkdir()
        self.now = time.time()

    def engine(self, name: str) -> Path:
        (self.folder / name / "bin").mkdir(parents=True)
        return self.folder / name

    def use(self, name: str, at: Path) -> None:
        claim(self.folder / name, at)
        link(self.folder / name, at)

    def later(self, days: float) -> None:
        """Everything in the cache becomes so many days older."""
        for path in (*self.folder.glob("*"), *self.folder.glob("*/*")):
            then = path.stat().st_mtime - days * DAYS
            os.utime(path, (then, then))

    def prune(self) -> list[str]:
        return list(prune(self.folder, self.now))

    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("[!.]*"))


@pytest.fixture
def engines(tmp_path: Path) -> Engines:
    return Engines(tmp_path)


def test_an_engine_goes_two_months_after_its_last_link(engines: Engines, tmp_path: Path) -> None:
    for name in ("old", "new"):
        engines.engine(name)
    engines.use("old", tmp_path / "engine")
    engines.later(90)
    # A server may still run the old one, so it is not too old yet.
    engines.use("new", tmp_path / "engine")
    engines.later(59)
    assert engines.prune() == []
    engines.later(2)
    assert engines.prune() == ["old"]
    assert engines.left() == ["new"]
    assert not (engines.folder / ".links-old").exists()


def test_an_engine_stays_while_any_checkout_points_to_it(engines: Engines, tmp_path: Path) -> None:
    engines.engine("shared")
    for checkout in ("one", "two"):
        (tmp_path / checkout).mkdir()
        engines.use("shared", tmp_path / checkout / "engine")
    engines.later(400)
    assert engines.prune() == []
    (tmp_path / "one" / "engine").unlink()
    assert engines.prune() == []
    (tmp_path / "two" / "engine").unlink()
    assert engines.prune() == ["shared"]


def test_a_claim_is_renewed_not_repeated(engines: Engines, tmp_path: Path) -> None:
    engines.engine("used")
    engines.use("used", tmp_path / "engine")
    engines.later(61)
    engines.use("used", tmp_path / "engine")
    (tmp_path / "engine").unlink()
    assert engines.prune() == []
    assert (engines.folder / ".links-used").read_text() == f"{tmp_path / 'engine'}\n"


def test_an_engine_that_nobody_claimed_has_two_months_from_now(engines: Engines) -> None:
    engines.engine("unknown")
    engines.later(400)
    assert engines.prune() == []
    engines.later(61)
    assert engines.prune() == ["unknown"]


@pytest.mark.parametrize("kind", [".work-", ".new-"])
def test_what_an_interrupted_build_left_goes_two_months_later(engines: Engines, kind: str) -> None:
    work = engines.engine(f"{kind}cpu-1")
    engines.later(61)
    (work / "compile.log").touch()
    assert engines.prune() == []
    engines.later(61)
    assert engines.prune() == [f"{kind}cpu-1"]
    assert not work.exists()


@pytest.mark.parametrize("name", ["cpu-1", ".work-cpu-1"])
def test_what_is_being_built_is_left_alone(engines: Engines, name: str) -> None:
    engines.engine(name)
    engines.prune()
    engines.later(400)
    with locked(engines.folder / ".lock-cpu-1"):
        assert engines.prune() == []
        assert (engines.folder / name / "bin").exists()
    assert engines.prune() == [name]


def test_an_engine_goes_with_what_an_interrupted_build_of_it_left(engines: Engines) -> None:
    engines.engine("cpu-1")
    engines.engine(".new-cpu-1")
    engines.prune()
    engines.later(61)
    assert engines.prune() == ["cpu-1"]
    assert [path.name for path in engines.folder.iterdir()] == [".lock-cpu-1"]
