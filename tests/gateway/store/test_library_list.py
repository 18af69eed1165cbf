"""A list is made once, and made again as soon as anybody changes any manifest in any way."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from gateway.names import parse
from gateway.store.library import Library
from gateway.store.model import Entry
from tests.fakes.store import CONFIG, Store

LIBRARY = "registry.ollama.ai/library"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "models")
    store.put(f"{LIBRARY}/a/latest")
    store.put(f"{LIBRARY}/b/latest", store.text("license", "old"))
    return store


@pytest.fixture
def library(store: Store) -> Library:
    """One whose clock says that nothing has changed of late."""
    return Library(store.root, clock=lambda: time.time() + 10)


def names(entries: Sequence[Entry]) -> bytes:
    return " ".join(entry.name.short for entry in entries).encode()


def rewrite(store: Store) -> None:
    """As Ollama does: the same file, emptied and written."""
    path = store.manifest_path(f"{LIBRARY}/b/latest")
    path.write_bytes(path.read_bytes())


CHANGES: dict[str, Callable[[Store, Library], object]] = {
    "a new tag": lambda store, _: store.put(f"{LIBRARY}/a/new"),
    "a new model": lambda store, _: store.put(f"{LIBRARY}/c/latest"),
    "a new host": lambda store, _: store.put("example.com/x/c/latest"),
    "a model removed": lambda store, _: store.manifest_path(f"{LIBRARY}/a/latest").unlink(),
    "a manifest rewritten": lambda store, _: rewrite(store),
    "a manifest spoilt": lambda store, _: store.manifest_path(f"{LIBRARY}/a/latest").write_text(
        "x"
    ),
    "a copy": lambda _, library: library.copy(parse("a"), parse("c")),
    "a deletion": lambda _, library: library.delete(parse("a")),
}


def test_while_nothing_changes_the_list_is_the_same(library: Library) -> None:
    entries = library.entries()
    assert sorted(names(entries).split()) == [b"a:latest", b"b:latest"]
    assert library.entries() is entries


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_any_change_makes_a_new_list(
    store: Store, library: Library, change: Callable[[Store, Library], object]
) -> None:
    entries = library.entries()
    change(store, library)
    changed = library.entries()
    assert changed is not entries
    assert names(changed) == names(Library(store.root).entries())


def test_a_list_made_right_after_a_change_is_not_kept(store: Store) -> None:
    library = Library(store.root)
    assert library.entries() is not library.entries()


def test_what_could_not_be_read_is_tried_again(store: Store, library: Library) -> None:
    path = store.put(f"{LIBRARY}/c/latest", config={**CONFIG, "os": "other"})
    config = library.get(parse("c")).manifest.config
    assert config is not None
    blob = store.blob_path(config.digest)
    data = blob.read_bytes()
    blob.unlink()
    assert b"c:latest" not in names(library.entries())
    blob.write_bytes(data)
    assert b"c:latest" in names(library.entries())
    assert path.exists()


def test_a_damaged_manifest_does_not_keep_the_list_from_being_kept(
    store: Store, library: Library
) -> None:
    path = store.manifest_path(f"{LIBRARY}/a/latest")
    sound = path.read_bytes()
    path.write_text("{")
    entries = library.entries()
    assert names(entries) == b"b:latest"
    assert library.entries() is entries
    path.write_bytes(sound)
    assert sorted(names(library.entries()).split()) == [b"a:latest", b"b:latest"]


def test_what_is_written_of_a_list_is_kept_with_it(store: Store, library: Library) -> None:
    asked: list[int] = []

    def count(entries: Sequence[Entry]) -> bytes:
        asked.append(len(entries))
        return b"%d" % len(entries)

    assert [library.written(count), library.written(count)] == [b"2", b"2"]
    assert library.written(names) == names(library.entries())
    assert asked == [2]
    store.put(f"{LIBRARY}/c/latest")
    assert (library.written(count), asked) == (b"3", [2, 3])
