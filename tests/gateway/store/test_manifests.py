"""Manifests: Ollama's bytes, Ollama's layout, and tolerance of damaged files."""

import hashlib
import logging
import os
from pathlib import Path

import pytest

from gateway.errors import Broken, NotFound
from gateway.names import Name, parse
from gateway.store.manifests import (
    CONFIG_TYPE,
    LAYER_TYPE,
    Layer,
    Manifest,
    Manifests,
    decode,
    encode,
)
from tests.fakes.store import Store

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")
LIBRARY = "registry.ollama.ai/library"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def manifests(store: Store) -> Manifests:
    return Manifests(store.root / "manifests")


def shorts(manifests: Manifests) -> list[str]:
    return sorted(stored.name.short for stored in manifests.scan())


def test_a_manifest_has_ollamas_bytes() -> None:
    manifest = Manifest(
        (
            Layer(f"{LAYER_TYPE}model", A, 1900032, origin="a<b", name="t"),
            Layer(f"{LAYER_TYPE}system", B, 5),
        ),
        Layer(CONFIG_TYPE, C, 148),
    )
    assert encode(manifest) == (
        b'{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",'
        b'"config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"'
        + C.encode()
        + b'","size":148},"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"'
        + A.encode()
        + b'","size":1900032,"from":"a\\u003cb","name":"t"},'
        b'{"mediaType":"application/vnd.ollama.image.system","digest":"'
        + B.encode()
        + b'","size":5}]}\n'
    )
    assert decode(encode(manifest)) == manifest


def test_the_digest_of_a_manifest_is_the_one_ollama_lists() -> None:
    weights = "sha256:a5724a6bf28b0c66a1f0cba2db92fb8bcb1c5448db181e9f5fac8cb0421b699c"
    config = "sha256:d3623de7670eddbcf0a51503180f1a3266f504585196da39283ee95931db4b54"
    manifest = Manifest(
        (Layer(f"{LAYER_TYPE}model", weights, 1900032),), Layer(CONFIG_TYPE, config, 148)
    )
    digest = "2f58747119018317d26885b2d1fb233a70f4805e3e27d51f44002abd0ae7b638"
    assert hashlib.sha256(encode(manifest)).hexdigest() == digest


def test_size_and_digests_take_the_config_in() -> None:
    manifest = Manifest((Layer("", A, 10), Layer("", A, 10), Layer("", B, 1)), Layer("", C, 100))
    assert manifest.size == 121
    assert manifest.digests == {A, B, C}
    assert Manifest((Layer("", A, 10),), None).digests == {A}


def test_the_kind_of_a_layer_is_the_end_of_ollamas_media_types() -> None:
    assert Layer(f"{LAYER_TYPE}model", A, 1).kind == "model"
    assert Layer("application/octet-stream", A, 1).kind == ""


def test_older_forms_are_read() -> None:
    text = (
        b' {"config":{"digest":""},"layers":[{"mediaType":"x","digest":"sha256-'
        + b"A" * 64
        + b'","size":1,"annotations":{}}]} trailing'
    )
    assert decode(text) == Manifest((Layer("x", A, 1),), None)
    assert decode(b'{"layers":null}') == Manifest((), None)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b"\xff", b'{"layers":[{}]}', b'{"layers":[{"digest":"x"}]}']
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(data)


def test_reading_gives_the_digest_of_the_file(store: Store, manifests: Manifests) -> None:
    path = store.put(f"{LIBRARY}/m/latest")
    os.utime(path, ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))
    stored = manifests.read(parse("m"))
    assert stored.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert stored.modified_ns == 1_700_000_000_123_456_789
    assert stored.manifest.layers[0].digest == store.weights


def test_reading_what_is_not_there_or_damaged(store: Store, manifests: Manifests) -> None:
    with pytest.raises(NotFound, match=r"^model 'm:latest' not found$"):
        manifests.read(parse("m"))
    store.put(f"{LIBRARY}/m/latest").write_text("{")
    with pytest.raises(Broken, match="the manifest of 'm:latest' cannot be read"):
        manifests.read(parse("m"))


def test_the_scan_sees_exactly_the_fourth_level(store: Store, manifests: Manifests) -> None:
    store.put(f"{LIBRARY}/m/latest")
    store.put("h.example/ns/m/v1")
    (store.root / "manifests" / ".DS_Store").write_text("x")
    (store.root / "manifests/h.example/ns/stray").write_text("x")
    deep = store.root / "manifests/h.example/ns/m/folder"
    deep.mkdir()
    (deep / "file").write_text("x")
    assert shorts(manifests) == ["h.example/ns/m:v1", "m:latest"]


def test_the_scan_follows_links(store: Store, manifests: Manifests, tmp_path: Path) -> None:
    path = store.put(f"{LIBRARY}/m/latest")
    (path.parent / "linked").symlink_to(path)
    (store.root / "manifests" / "other.host").symlink_to(path.parent.parent.parent)
    assert shorts(manifests) == [
        "m:latest",
        "m:linked",
        "other.host/library/m:latest",
        "other.host/library/m:linked",
    ]


def test_what_is_damaged_is_skipped_and_logged_once(
    store: Store, manifests: Manifests, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(f"{LIBRARY}/m/latest")
    store.put(f"{LIBRARY}/bad/latest").write_text("")
    folder = store.manifest_path(f"{LIBRARY}/m")
    (folder / ".DS_Store").write_text("x")
    (folder / "dangling").symlink_to("nowhere")
    with caplog.at_level(logging.WARNING):
        assert shorts(manifests) == ["m:latest"]
        assert len(caplog.records) == 3
        assert shorts(manifests) == ["m:latest"]
        assert len(caplog.records) == 3
        store.manifest_path(f"{LIBRARY}/bad/latest").write_text("[")
        shorts(manifests)
        assert len(caplog.records) == 4


def test_a_manifest_deleted_during_a_scan_is_no_damage(
    store: Store, manifests: Manifests, caplog: pytest.LogCaptureFixture
) -> None:
    paths = {name: store.put(f"{LIBRARY}/m/{name}") for name in ("a", "b")}
    scan = manifests.scan()
    first = next(scan).name.tag
    paths[{"a": "b", "b": "a"}[first]].unlink()
    assert list(scan) == []
    assert caplog.records == []


@pytest.mark.parametrize("spoiler", ["m/.DS_Store", "bad/latest"])
def test_a_strict_scan_fails_on_the_first_damage(
    store: Store, manifests: Manifests, spoiler: str
) -> None:
    store.put(f"{LIBRARY}/m/latest")
    assert len(manifests.scan_strictly()) == 1
    path = store.manifest_path(f"{LIBRARY}/{spoiler}")
    path.parent.mkdir(exist_ok=True)
    path.write_text("x")
    with pytest.raises(ValueError, match=r".+"):
        manifests.scan_strictly()


def test_a_dangling_link_fails_a_strict_scan(store: Store, manifests: Manifests) -> None:
    path = store.put(f"{LIBRARY}/m/latest")
    (path.parent / "dangling").symlink_to("nowhere")
    with pytest.raises(OSError, match="dangling"):
        manifests.scan_strictly()


def test_a_missing_folder_is_an_empty_one(tmp_path: Path) -> None:
    manifests = Manifests(tmp_path / "none")
    assert list(manifests.scan()) == []
    assert manifests.find(parse("m")) is None


def test_a_rewritten_manifest_is_read_again(store: Store, manifests: Manifests) -> None:
    store.put(f"{LIBRARY}/m/latest")
    (before,) = manifests.scan()
    store.put(f"{LIBRARY}/m/latest", store.text("system", "x"))
    (after,) = manifests.scan()
    assert len(before.manifest.layers) == 1
    assert len(after.manifest.layers) == 2


def test_find_prefers_the_exact_spelling(store: Store, manifests: Manifests) -> None:
    store.put(f"{LIBRARY}/Foo/latest")
    store.put(f"{LIBRARY}/foo/latest")
    store.put(f"{LIBRARY}/fOO/Latest")
    assert manifests.find(parse("foo")) == parse("foo")
    assert manifests.find(parse("Foo")) == parse("Foo")
    assert manifests.find(parse("FOO:LATEST")) == parse("Foo")


def test_find_crosses_spellings_of_a_folder(store: Store, manifests: Manifests) -> None:
    store.put("h/NS/m/latest")
    store.put("h/ns/other/V1")
    assert manifests.find(parse("h/NS/other:v1")) == Name("h", "ns", "other", "V1")
    assert manifests.find(parse("h/ns/nope")) is None


@pytest.mark.parametrize(
    ("new", "stored"),
    [
        ("x/BAR:latest", "x/Bar:latest"),
        ("X/bar:NEW", "x/Bar:NEW"),
        ("X/new:V1", "x/new:V1"),
        ("Y/new", "Y/new:latest"),
    ],
)
def test_a_new_name_takes_over_stored_spellings(
    store: Store, manifests: Manifests, new: str, stored: str
) -> None:
    store.put("registry.ollama.ai/x/Bar/latest")
    assert manifests.spelling(parse(new)).short == stored


def test_writing_replaces_and_leaves_no_other_file(store: Store, manifests: Manifests) -> None:
    path = store.put(f"{LIBRARY}/m/latest")
    inode = path.stat().st_ino
    manifests.write(parse("m"), b'{"layers":[]}')
    assert path.read_bytes() == b'{"layers":[]}'
    assert path.stat().st_ino != inode
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(store.root / "manifests") == ["registry.ollama.ai"]


def test_a_failed_write_leaves_no_file(store: Store, manifests: Manifests) -> None:
    store.manifest_path(f"{LIBRARY}/m/latest").mkdir(parents=True)
    with pytest.raises(OSError, match="latest"):
        manifests.write(parse("m"), b"{}")
    assert os.listdir(store.root / "manifests") == ["registry.ollama.ai"]


def test_removing_takes_empty_folders_along(store: Store, manifests: Manifests) -> None:
    store.put("h/ns/m/latest")
    store.put("h/other/m/latest")
    manifests.remove(parse("h/ns/m"))
    assert os.listdir(store.root / "manifests/h") == ["other"]
    manifests.remove(parse("h/other/m"))
    assert os.listdir(store.root / "manifests") == []
    with pytest.raises(NotFound):
        manifests.remove(parse("h/other/m"))


def test_tidying_removes_empty_folders_and_old_leftovers(
    store: Store, manifests: Manifests
) -> None:
    store.put("h/ns/m/latest")
    store.manifest_path("h/empty/deep").mkdir(parents=True)
    old, new = (store.root / "manifests" / f".new-{age}" for age in ("old", "new"))
    for path, when in ((old, 100), (new, 300)):
        path.write_text("x")
        os.utime(path, (when, when))
    manifests.tidy(before=200)
    assert sorted(os.listdir(store.root / "manifests")) == [".new-new", "h"]
    assert os.listdir(store.root / "manifests/h") == ["ns"]
