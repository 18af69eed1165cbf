"""The library on a folder that Ollama filled, and what it changes there."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from gateway.errors import Broken, NotFound
from gateway.names import parse
from gateway.store.gguf import Array
from gateway.store.library import Library
from gateway.store.manifests import Manifest, encode
from gateway.store.model import Entry
from tests.fakes import gguf
from tests.fakes.store import CONFIG, Store

LIBRARY = "registry.ollama.ai/library"
NOW = 1_700_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def library(store: Store) -> Library:
    return Library(store.root, clock=lambda: NOW)


def age(path: Path, seconds: float) -> None:
    os.utime(path, (NOW - seconds, NOW - seconds))


# ---- reading


def test_a_model_is_read_with_all_its_layers(store: Store, library: Library) -> None:
    projector = store.blob(
        gguf.write(store.root / "p", {"general.architecture": "clip"}).read_bytes()
    )
    path = store.put(
        f"{LIBRARY}/m/latest",
        store.layer("projector", projector),
        store.text("template", "{{ .System }}"),
        store.text("system", "Be brief."),
        store.text("license", "MIT"),
        store.text("license", "BSD"),
        store.text("params", '{"stop":["a"],"seed":1}'),
        store.text("params", '{"seed":2}'),
        store.text("messages", '[{"role":"user","content":"hi"}]'),
        store.text("adapter", "lora"),
        store.text("draft", "draft"),
        store.text("embed", "of old"),
    )
    model = library.get(parse("m"))
    assert model.name == parse("m")
    assert model.config.family == "llama"
    assert model.weights == store.blob_path(store.weights)
    assert model.weights_digest == store.weights
    assert model.projectors == (store.blob_path(projector),)
    assert [path.read_text() for path in model.adapters] == ["lora"]
    assert model.draft is not None
    assert model.draft.read_text() == "draft"
    assert model.template == "{{ .System }}"
    assert model.system == "Be brief."
    assert model.licenses == ("MIT", "BSD")
    assert model.parameters == {"stop": ["a"], "seed": 2}
    assert model.messages == ({"role": "user", "content": "hi"},)
    assert model.header is not None
    assert model.header.metadata["tokenizer.ggml.tokens"] == Array("string", 3)
    assert model.projector is not None
    assert model.projector.architecture == "clip"
    assert model.capabilities == ("completion", "vision")
    assert not model.native
    assert model.size == model.manifest.size
    assert model.modified_ns == path.stat().st_mtime_ns
    assert model.modified == pytest.approx(path.stat().st_mtime)


def test_a_bare_model_has_nothing_but_weights(store: Store, library: Library) -> None:
    store.put(f"{LIBRARY}/m/latest", config=None)
    model = library.get(parse("m"))
    assert (model.template, model.system, model.parent) == (None, "", "")
    assert (model.parameters, model.messages, model.licenses) == ({}, (), ())
    assert (model.projectors, model.adapters, model.draft) == ((), (), None)
    assert model.native
    assert model.capabilities == ("completion",)


def test_the_last_template_wins_under_both_its_names(store: Store, library: Library) -> None:
    template, prompt = store.text("template", "new"), store.text("prompt", "old")
    store.put(f"{LIBRARY}/a/latest", template, prompt)
    store.put(f"{LIBRARY}/b/latest", prompt, template)
    assert library.get(parse("a")).template == "old"
    assert library.get(parse("b")).template == "new"


def test_the_parent_is_where_the_weights_came_from(store: Store, library: Library) -> None:
    layer = store.layer("model", store.weights, **{"from": "base:latest"})
    store.put(f"{LIBRARY}/m/latest", layer, weights=False)
    assert library.get(parse("m")).parent == "base:latest"
    assert library.entries()[0].parent == "base:latest"


def test_a_model_without_gguf_weights_can_be_described(store: Store, library: Library) -> None:
    tensor = store.layer("tensor", store.blob(b"safetensors"), name="w")
    config = {"model_format": "safetensors", "capabilities": ["completion"]}
    store.put(f"{LIBRARY}/m/latest", tensor, config=config, weights=False)
    model = library.get(parse("m"))
    assert (model.weights_digest, model.header) == ("", None)
    assert model.capabilities == ("completion",)
    assert [entry.capabilities for entry in library.entries()] == [("completion",)]


def test_names_are_found_in_any_case(store: Store, library: Library) -> None:
    store.put(f"{LIBRARY}/Foo/V1")
    assert library.get(parse("foo:v1")).name == parse("Foo:V1")


def test_what_is_not_there_is_not_found(library: Library) -> None:
    with pytest.raises(NotFound, match=r"^model 'm:latest' not found$"):
        library.get(parse("m"))


@pytest.mark.parametrize("kind", ["template", "system", "params", "messages", "license"])
def test_a_missing_small_blob_breaks_the_model(store: Store, library: Library, kind: str) -> None:
    layer = store.text(kind, "{}")
    store.put(f"{LIBRARY}/m/latest", layer)
    store.blob_path(layer["digest"]).unlink()
    with pytest.raises(Broken, match=r"^model 'm:latest' is damaged: "):
        library.get(parse("m"))


def test_missing_weights_only_take_the_header_away(store: Store, library: Library) -> None:
    store.put(f"{LIBRARY}/m/latest")
    store.blob_path(store.weights).unlink()
    model = library.get(parse("m"))
    assert model.header is None
    assert model.capabilities == ()
    assert library.entries()[0].outline is None


# ---- caching


def test_a_model_is_cached_until_its_manifest_changes(store: Store, library: Library) -> None:
    store.put(f"{LIBRARY}/m/latest")
    assert library.peek(parse("m")) is None
    model = library.get(parse("m"))
    assert library.peek(parse("m")) is model
    assert library.get(parse("m")) is model
    store.put(f"{LIBRARY}/m/latest", store.text("system", "new"))
    assert library.peek(parse("m")) is None
    assert library.get(parse("m")).system == "new"


def test_a_model_that_was_deleted_is_forgotten(store: Store, library: Library) -> None:
    path = store.put(f"{LIBRARY}/m/latest")
    library.get(parse("m"))
    path.unlink()
    assert library.peek(parse("m")) is None
    with pytest.raises(NotFound):
        library.get(parse("m"))


def test_two_names_share_the_header_of_their_weights(store: Store, library: Library) -> None:
    store.put(f"{LIBRARY}/a/latest")
    store.put(f"{LIBRARY}/b/latest")
    assert library.get(parse("a")).header is library.get(parse("b")).header


# ---- listing


def test_entries_are_newest_first_by_whole_seconds(store: Store, library: Library) -> None:
    ages = {"old": 100, "b": 10.2, "a": 10.6, "new": 1}
    for name, seconds in ages.items():
        age(store.put(f"{LIBRARY}/{name}/latest"), seconds)
    assert [entry.name.model for entry in library.entries()] == ["new", "a", "b", "old"]


def test_an_entry_tells_what_lies_before_the_tokenizer(store: Store, library: Library) -> None:
    path = store.put(f"{LIBRARY}/m/latest", store.text("template", "{{ .Tools }}"))
    (entry,) = library.entries()
    assert entry.capabilities == ("completion", "tools")
    assert entry.outline is not None
    assert entry.outline["llama.context_length"] == 512
    assert "general.file_type" not in entry.outline
    assert entry.size == library.get(parse("m")).size
    assert entry.modified_ns == path.stat().st_mtime_ns


def test_an_entry_is_read_again_only_when_its_manifest_changed(
    store: Store, library: Library
) -> None:
    store.put(f"{LIBRARY}/a/latest")
    path = store.put(f"{LIBRARY}/b/latest")
    before = {entry.name.model: entry for entry in library.entries()}
    age(path, 5)
    after = {entry.name.model: entry for entry in library.entries()}
    assert after["a"] is before["a"]
    assert after["b"].modified == NOW - 5


def test_a_model_that_cannot_be_read_is_left_out(
    store: Store, library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(f"{LIBRARY}/good/latest")
    store.put(f"{LIBRARY}/bad/latest", config={**CONFIG, "os": "other"})
    digest = library.get(parse("bad")).manifest.config
    assert digest is not None
    store.blob_path(digest.digest).unlink()
    with caplog.at_level(logging.WARNING):
        assert [entry.name.model for entry in library.entries()] == ["good"]
    assert "left bad:latest out of the list" in caplog.text


def test_an_empty_folder_lists_nothing(tmp_path: Path) -> None:
    assert Library(tmp_path / "none").entries() == []


# ---- the cached list: made again as soon as anybody changes any manifest in any way


@pytest.fixture
def listed(store: Store) -> Store:
    """A store with two models."""
    store.put(f"{LIBRARY}/a/latest")
    store.put(f"{LIBRARY}/b/latest", store.text("license", "old"))
    return store


@pytest.fixture
def settled(listed: Store) -> Library:
    """A library of two models whose clock says that nothing has changed of late."""
    return Library(listed.root, clock=lambda: time.time() + 10)


def shorts(entries: Sequence[Entry]) -> bytes:
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


def test_while_nothing_changes_the_list_is_the_same(settled: Library) -> None:
    entries = settled.entries()
    assert sorted(shorts(entries).split()) == [b"a:latest", b"b:latest"]
    assert settled.entries() is entries


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_any_change_makes_a_new_list(
    listed: Store, settled: Library, change: Callable[[Store, Library], object]
) -> None:
    entries = settled.entries()
    change(listed, settled)
    changed = settled.entries()
    assert changed is not entries
    assert shorts(changed) == shorts(Library(listed.root).entries())


def test_a_list_made_right_after_a_change_is_not_cached(listed: Store) -> None:
    library = Library(listed.root)
    assert library.entries() is not library.entries()


def test_what_could_not_be_read_is_tried_again(listed: Store, settled: Library) -> None:
    path = listed.put(f"{LIBRARY}/c/latest", config={**CONFIG, "os": "other"})
    config = settled.get(parse("c")).manifest.config
    assert config is not None
    blob = listed.blob_path(config.digest)
    data = blob.read_bytes()
    blob.unlink()
    assert b"c:latest" not in shorts(settled.entries())
    blob.write_bytes(data)
    assert b"c:latest" in shorts(settled.entries())
    assert path.exists()


def test_a_list_beside_a_damaged_manifest_is_cached(listed: Store, settled: Library) -> None:
    path = listed.manifest_path(f"{LIBRARY}/a/latest")
    sound = path.read_bytes()
    path.write_text("{")
    entries = settled.entries()
    assert shorts(entries) == b"b:latest"
    assert settled.entries() is entries
    path.write_bytes(sound)
    assert sorted(shorts(settled.entries()).split()) == [b"a:latest", b"b:latest"]


def test_what_is_rendered_of_a_list_is_cached_with_it(listed: Store, settled: Library) -> None:
    counted: list[int] = []

    def count(entries: Sequence[Entry]) -> bytes:
        counted.append(len(entries))
        return b"%d" % len(entries)

    assert [settled.rendered(count), settled.rendered(count)] == [b"2", b"2"]
    assert settled.rendered(shorts) == shorts(settled.entries())
    assert counted == [2]
    listed.put(f"{LIBRARY}/c/latest")
    assert (settled.rendered(count), counted) == (b"3", [2, 3])


# ---- changing


def test_a_copy_has_the_same_bytes_and_a_time_of_its_own(store: Store, library: Library) -> None:
    source = store.put(f"{LIBRARY}/m/latest")
    age(source, 1000)
    library.copy(parse("M"), parse("ns/copy:v1"))
    copied = store.manifest_path("registry.ollama.ai/ns/copy/v1")
    assert copied.read_bytes() == source.read_bytes()
    assert copied.stat().st_mtime > source.stat().st_mtime


def test_a_copy_onto_itself_changes_nothing(store: Store, library: Library) -> None:
    path = store.put(f"{LIBRARY}/m/latest")
    before = path.stat()
    library.copy(parse("m"), parse("M"))
    assert path.stat().st_ino == before.st_ino
    assert [entry.name.short for entry in library.entries()] == ["m:latest"]


def test_copying_nothing_is_not_found(library: Library) -> None:
    with pytest.raises(NotFound):
        library.copy(parse("m"), parse("n"))


def test_deleting_takes_only_blobs_that_nobody_else_uses(store: Store, library: Library) -> None:
    own, shared = store.text("system", "own"), store.text("system", "shared")
    store.put(f"{LIBRARY}/a/latest", own, shared, config={"own": True})
    store.put(f"{LIBRARY}/b/latest", shared)
    library.delete(parse("A"))
    assert [entry.name.model for entry in library.entries()] == ["b"]
    assert not store.blob_path(own["digest"]).exists()
    assert store.blob_path(shared["digest"]).exists()
    assert store.blob_path(store.weights).exists()
    library.delete(parse("b"))
    assert list((store.root / "blobs").iterdir()) == []
    with pytest.raises(NotFound):
        library.delete(parse("b"))


def test_deleting_beside_a_damaged_manifest_keeps_all_blobs(store: Store, library: Library) -> None:
    store.put(f"{LIBRARY}/a/latest")
    store.put(f"{LIBRARY}/bad/latest").write_text("{")
    library.delete(parse("a"))
    assert store.blob_path(store.weights).exists()


def test_a_damaged_model_can_be_deleted(store: Store, library: Library) -> None:
    path = store.put(f"{LIBRARY}/bad/latest")
    path.write_text("{")
    library.delete(parse("bad"))
    assert not path.exists()
    assert store.blob_path(store.weights).exists()


def test_blobs_stay_while_a_newer_layout_may_name_them(store: Store, library: Library) -> None:
    store.put(f"{LIBRARY}/a/latest")
    (store.root / "manifests-v2").mkdir()
    library.delete(parse("a"))
    assert store.blob_path(store.weights).exists()


@pytest.mark.parametrize("prune", [True, False])
def test_publishing_over_a_name_drops_its_old_layers(store: Store, prune: bool) -> None:
    library = Library(store.root, prune=prune)
    store.put(f"{LIBRARY}/Foo/latest")
    assert library.publish(parse("foo"), encode(Manifest((), None))) == parse("Foo")
    assert library.get(parse("foo")).weights_digest == ""
    assert store.blob_path(store.weights).exists() is not prune


# ---- maintenance


def test_the_sweep_takes_old_blobs_that_nobody_names(store: Store, library: Library) -> None:
    store.put(f"{LIBRARY}/m/latest")
    folder = store.root / "blobs"
    orphan, young = (store.blob_path(store.blob(text)) for text in (b"orphan", b"young"))
    partial, part = folder / f"{orphan.name}-partial", folder / "sha256-12345"
    for path in (partial, part, folder / "COPY1"):
        path.write_text("x")
    (folder / "split-gguf-1").mkdir()
    for path in folder.iterdir():
        age(path, 3601)
    age(young, 3599)
    library.prune()
    left = {path.name for path in folder.iterdir()}
    config = library.get(parse("m")).manifest.config
    assert config is not None
    named = {store.blob_path(digest).name for digest in (store.weights, config.digest)}
    assert left == {*named, young.name, "split-gguf-1"}


@pytest.mark.parametrize("spoiler", ["bad/latest", "m/.DS_Store"])
def test_one_unreadable_manifest_keeps_every_blob(
    store: Store, library: Library, spoiler: str
) -> None:
    store.put(f"{LIBRARY}/m/latest")
    path = store.manifest_path(f"{LIBRARY}/{spoiler}")
    path.parent.mkdir(exist_ok=True)
    path.write_text("x")
    orphan = store.blob_path(store.blob(b"orphan"))
    age(orphan, 7200)
    library.prune()
    assert orphan.exists()


def test_without_a_manifests_folder_nothing_is_swept(store: Store, library: Library) -> None:
    orphan = store.blob_path(store.blob(b"orphan"))
    age(orphan, 7200)
    (store.root / "manifests").rmdir()
    library.prune()
    assert orphan.exists()


def test_without_pruning_only_old_names_are_mended(store: Store) -> None:
    orphan = store.blob_path(store.blob(b"orphan"))
    age(orphan, 7200)
    digest = store.weights
    store.blob_path(digest).rename(store.root / "blobs" / digest)
    Library(store.root, prune=False, clock=lambda: NOW).prune()
    assert orphan.exists()
    assert store.blob_path(digest).exists()
    assert not (store.root / "blobs" / digest).exists()


def test_maintenance_removes_empty_folders(store: Store, library: Library) -> None:
    store.manifest_path(f"{LIBRARY}/gone").mkdir(parents=True)
    library.prune()
    assert list((store.root / "manifests").iterdir()) == []
