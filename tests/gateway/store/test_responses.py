"""Stored responses: a file of them, bounded in age and size, that several servers share."""

import logging
import multiprocessing
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import NotFound, Unavailable
from gateway.store.responses import Responses, StoredResponse

DAY = 86400.0


class Time:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "responses.db"


@pytest.fixture
def store(path: Path, time: Time) -> Iterator[Responses]:
    store = Responses(path, lifetime=DAY, room=100_000, now=time)
    yield store
    store.close()


def item(ident: str, text: str = "") -> dict[str, Any]:
    return {"id": ident, "type": "message", "text": text}


def kept(ident: str, previous: str | None = None, text: str = "") -> StoredResponse:
    """A response with one input and one output item; both are named after it."""
    output = [item(f"out_{ident}", text)]
    response = {"id": ident, "previous_response_id": previous, "model": "m", "output": output}
    return StoredResponse(response, [item(f"in_{ident}")])


def idents(items: list[dict[str, Any]]) -> list[str]:
    return [item["id"] for item in items]


def holds(store: Responses, ident: str) -> bool:
    try:
        store.get(ident)
    except NotFound:
        return False
    return True


def _overwrite(path: Path) -> None:
    """All but the first page."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))


def test_what_was_kept_is_found_again(store: Responses) -> None:
    one = kept("a", text="\ud800 é \x00")
    assert store.save(one)
    assert store.get("a") == one.response
    assert store.inputs("a") == one.inputs


def test_what_was_not_kept_is_not_found(store: Responses) -> None:
    for look in (store.get, store.inputs, store.history, store.delete):
        with pytest.raises(NotFound, match=r"^Response with id 'a' not found\.$"):
            look("a")


def test_a_history_is_all_that_was_said_in_its_order(store: Responses) -> None:
    for ident, previous in (("a", None), ("b", "a"), ("c", "b"), ("d", "b")):
        store.save(kept(ident, previous))
    assert idents(store.history("a")) == ["in_a", "out_a"]
    assert idents(store.history("d")) == ["in_a", "out_a", "in_b", "out_b", "in_d", "out_d"]


def test_a_history_with_a_gap_is_none(store: Responses) -> None:
    for ident, previous in (("a", None), ("b", "a"), ("c", "b")):
        store.save(kept(ident, previous))
    store.delete("a")
    with pytest.raises(NotFound):
        store.history("c")
    assert holds(store, "c")


def test_what_is_deleted_is_gone_with_its_items(store: Responses) -> None:
    store.save(kept("a"))
    store.delete("a")
    assert not holds(store, "a")
    assert store.find(["in_a", "out_a"]) == {}


def test_items_are_found_by_their_ids(store: Responses, time: Time) -> None:
    store.save(kept("a", text="old"))
    time.now += 1
    again = StoredResponse({**kept("b").response, "output": [item("out_a", "new")]}, [])
    store.save(again)
    assert store.find(["out_a", "in_a", "nowhere"]) == {
        "out_a": item("out_a", "new"),
        "in_a": item("in_a"),
    }


def test_what_is_too_old_is_gone(store: Responses, time: Time) -> None:
    store.save(kept("a"))
    time.now += DAY - 1
    assert holds(store, "a")
    time.now += 1
    assert not holds(store, "a")
    assert store.find(["in_a"]) == {}
    with pytest.raises(NotFound):
        store.history("a")


def test_going_on_from_a_response_is_a_use_of_all_before_it(store: Responses, time: Time) -> None:
    for ident, previous in (("a", None), ("b", "a"), ("x", None)):
        store.save(kept(ident, previous))
    time.now += DAY - 1
    store.history("b")
    time.now += DAY - 1
    store.save(kept("c", "b"))
    assert [holds(store, ident) for ident in "abcx"] == [True, True, True, False]


def test_for_ever_is_a_lifetime(path: Path, time: Time) -> None:
    store = Responses(path, lifetime=float("inf"), room=100_000, now=time)
    store.save(kept("a"))
    time.now *= 2
    assert holds(store, "a")
    store.close()


def test_when_room_is_short_the_longest_unused_goes(path: Path, time: Time) -> None:
    store = Responses(path, lifetime=DAY, room=5500, now=time)
    for ident in "abcd":
        time.now += 1
        store.save(kept(ident, text="x" * 1000))
    time.now += 1
    store.history("a")
    store.save(kept("e", text="x" * 1500))
    assert [holds(store, ident) for ident in "abcde"] == [True, False, True, True, True]
    store.close()


def test_what_is_larger_than_all_the_room_is_not_kept(path: Path) -> None:
    store = Responses(path, lifetime=DAY, room=1000)
    store.save(kept("a"))
    assert not store.save(kept("b", text="x" * 1000))
    assert [holds(store, ident) for ident in "ab"] == [True, False]
    store.close()


def test_a_response_is_kept_whole_or_not_at_all(store: Responses) -> None:
    store.save(kept("a"))
    with pytest.raises(Unavailable, match=r"UNIQUE"):
        store.save(kept("a", text="again"))
    assert store.get("a") == kept("a").response


def test_only_the_owner_can_read_the_file(store: Responses, path: Path) -> None:
    store.save(kept("a"))
    files = list(path.parent.iterdir())
    assert path in files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_it_is_there_after_a_restart(store: Responses, path: Path, time: Time) -> None:
    store.save(kept("a"))
    store.close()
    assert holds(Responses(path, lifetime=DAY, room=1, now=time), "a")


def test_a_file_that_cannot_be_read_is_put_aside(
    store: Responses, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = b"this is no database, whatever its name says" * 100
    path.parent.mkdir()
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert store.save(kept("a"))
    assert holds(store, "a")
    aside = path.with_name("responses.db.broken-1000000000")
    assert aside.read_bytes() == content
    assert aside.name in caplog.text


def test_a_database_of_somebody_else_is_put_aside(store: Responses, path: Path) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE other (a)")
    other.close()
    assert store.save(kept("a"))
    assert len(list(path.parent.glob("*.broken-*"))) == 1


def test_pages_that_are_overwritten_are_noticed_while_it_runs(store: Responses, path: Path) -> None:
    for ident in "abc":
        store.save(kept(ident, text="x" * 20_000))
    store.close()
    _overwrite(path)
    with pytest.raises(NotFound):
        store.get("a")
    assert store.save(kept("d"))
    assert holds(store, "d")


def test_a_file_that_another_server_has_replaced_is_not_put_aside_again(
    store: Responses, path: Path, time: Time
) -> None:
    for ident in "abc":
        store.save(kept(ident, text="x" * 20_000))
    store.close()
    late, other = (Responses(path, lifetime=DAY, room=100_000, now=time) for _ in range(2))
    assert not holds(late, "nothing")
    _overwrite(path)
    assert not holds(other, "a")
    assert other.save(kept("new"))
    assert not holds(late, "a")
    assert holds(late, "new")
    assert len(list(path.parent.glob("*.broken-*[0-9]"))) == 1
    late.close()
    other.close()


def test_a_place_that_cannot_be_used_is_said_to_be_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = Responses(tmp_path / "file" / "responses.db", lifetime=DAY, room=1000)
    with pytest.raises(Unavailable, match=r"^stored responses cannot be used: "):
        store.get("a")


def _fill(path: Path, name: str, count: int) -> None:
    store = Responses(path, lifetime=DAY, room=1_000_000)
    previous = None
    for number in range(count):
        previous, ident = f"{name}{number}", previous
        store.save(kept(previous, ident))
        assert len(store.history(previous)) == 2 * (number + 1)
    store.close()


def test_several_servers_write_to_one_file(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    names, count = ("a", "b", "c"), 20
    others = [context.Process(target=_fill, args=(path, name, count)) for name in names]
    for other in others:
        other.start()
    for other in others:
        other.join(60)
    assert [other.exitcode for other in others] == [0, 0, 0]
    store = Responses(path, lifetime=DAY, room=1_000_000)
    for name in names:
        assert len(store.history(f"{name}{count - 1}")) == 2 * count
    assert not list(path.parent.glob("*.broken-*"))
    store.close()
