"""Uploaded files are taken for what their headers say, and shards for one file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import Invalid, NotFound
from gateway.store.blobs import Blobs
from gateway.store.gguf_files import read_parts, recognise, require
from tests.fakes import gguf
from tests.fakes.store import Store

TENSORS = (("a.weight", "F16", (32, 2)), ("b.weight", "F32", (8,)), ("c.weight", "F16", (32,)))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def blobs(store: Store) -> Blobs:
    return Blobs(store.root / "blobs")


def upload(store: Store, metadata: Mapping[str, Any], *tensors: Any) -> str:
    path = gguf.write(store.root / "upload.gguf", metadata, tensors)
    return store.blob(path.read_bytes())


def shard(store: Store, number: int | None, count: int = 3, prefix: str = "") -> str:
    """The shard of that number; the first has the metadata, each has one tensor."""
    base = gguf.LLAMA if number == 0 else {"general.architecture": "llama", "tag": number or 9}
    fields = {f"{prefix}split.count": gguf.As("u16", count)}
    if number is not None:
        fields[f"{prefix}split.no"] = gguf.As("u16", number)
    return upload(store, {**base, **fields}, TENSORS[(number or 0) % 3])


def name(number: int, count: int = 3, prefix: str = "m") -> str:
    return f"{prefix}-{number:05}-of-{count:05}.gguf"


# ---- what they are


def test_a_blob_that_is_missing_is_named(store: Store, blobs: Blobs) -> None:
    require(blobs, [store.weights])
    missing = f"sha256:{'1' * 64}"
    with pytest.raises(NotFound, match=f'^blob "{missing}" not found$'):
        require(blobs, [store.weights, missing])


def test_files_are_recognised_by_name_or_by_their_first_bytes(store: Store, blobs: Blobs) -> None:
    text = store.blob(b"plain text")
    recognise(blobs, {"m": store.weights})
    recognise(blobs, {"m.gguf": text})
    with pytest.raises(Invalid, match=r"^unknown type$"):
        recognise(blobs, {"m": text})
    with pytest.raises(Invalid, match="importing safetensors is not supported"):
        recognise(blobs, {"m.safetensors": text, "m.gguf": store.weights})


def test_a_plain_model_is_one_part_of_no_file(store: Store, blobs: Blobs) -> None:
    (part,) = read_parts(blobs, {"m.gguf": store.weights})
    assert (part.layer.kind, part.layer.digest, part.layer.origin) == ("model", store.weights, "")
    assert (part.sources, part.files, part.split, part.new) == ((store.weights,), 1, False, False)
    assert part.layer.size == store.blob_path(store.weights).stat().st_size


def test_a_part_that_stays_as_it_is_keeps_its_files_name(store: Store, blobs: Blobs) -> None:
    sees = upload(store, gguf.LLAMA, ("v.patch.weight", "F32", (8,)))
    adapter = upload(store, {"general.architecture": "llama", "general.type": "adapter"})
    parts = read_parts(blobs, {"own.gguf": sees, "lora.gguf": adapter})
    assert [(part.layer.kind, part.layer.origin, part.towers) for part in parts] == [
        ("model", "own.gguf", True),
        ("adapter", "lora.gguf", False),
    ]


# ---- shards


@pytest.mark.parametrize("prefix", ["", "llama."])
def test_shards_are_one_part_in_their_order(store: Store, blobs: Blobs, prefix: str) -> None:
    digests = [shard(store, number, prefix=prefix) for number in range(3)]
    files = {name(2): digests[1], name(3): digests[2], name(1): digests[0]}
    (part,) = read_parts(blobs, files)
    assert part.sources == tuple(digests)
    assert (part.files, part.split, part.layer.kind, part.layer.origin) == (3, True, "model", "")
    assert part.header is not None
    assert part.header.architecture == "llama"
    assert [tensor.name for tensor in part.header.tensors] == ["a.weight", "b.weight", "c.weight"]
    assert part.layer.size == sum(store.blob_path(one).stat().st_size for one in digests)


def test_two_split_files_are_told_apart_by_their_names(store: Store, blobs: Blobs) -> None:
    first, second = shard(store, 0, 2), shard(store, 1, 2)
    files = {name(n, 2, m): d for m in ("x", "y") for n, d in ((1, first), (2, second))}
    assert [part.sources for part in read_parts(blobs, files)] == [(first, second)] * 2


@pytest.mark.parametrize(
    ("file", "number", "text"),
    [
        ("m.gguf", 0, 'split GGUF "m.gguf" must use llama.cpp split filename pattern'),
        (
            "m-1-of-3.gguf",
            0,
            'split GGUF "m-1-of-3.gguf" must use llama.cpp split filename pattern',
        ),
        (
            name(1, 4),
            0,
            f'split GGUF "{name(1, 4)}" filename count 4 does not match metadata count 3',
        ),
        (name(1), None, f'split GGUF "{name(1)}" is missing split.no metadata'),
        (name(2), 0, f'split GGUF "{name(2)}" filename index 2 does not match metadata index 0'),
        (name(4), 3, f'split GGUF "{name(4)}" has invalid shard index 4'),
        (name(0), 0, f'split GGUF "{name(0)}" has invalid shard index 0'),
        (name(1), 0, f'split GGUF "{name(1)}" has 1 shards, expected 3'),
    ],
)
def test_shards_that_do_not_fit_are_refused(
    store: Store, blobs: Blobs, file: str, number: int | None, text: str
) -> None:
    with pytest.raises(Invalid) as caught:
        read_parts(blobs, {file: shard(store, number)})
    assert caught.value.message == text


def test_a_file_that_is_its_own_only_shard_is_whole(store: Store, blobs: Blobs) -> None:
    (part,) = read_parts(blobs, {"m.gguf": shard(store, 0, 1)})
    assert part.split is False
