"""Files of unfinished blobs, as Ollama leaves and finds them."""

import hashlib
import os
from pathlib import Path

import pytest

from gateway.registry.chunks import Chunk
from gateway.registry.partial import Partial, write
from gateway.store.blobs import Blobs

DATA = b"0123456789"
HEX = hashlib.sha256(DATA).hexdigest()
NAME = f"sha256-{HEX}-partial"
PARTS = (Chunk(0, 0, 6, 6), Chunk(1, 6, 4, 1))


@pytest.fixture
def partial(tmp_path: Path) -> Partial:
    # A folder whose name looks like a pattern.
    return Partial(Blobs(tmp_path / "b[1]*"), f"sha256:{HEX}")


def files(partial: Partial) -> dict[str, bytes]:
    folder = partial.data.parent
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}


def test_a_download_begins_with_a_file_of_full_length(partial: Partial) -> None:
    partial.begin((Chunk(0, 0, 6), Chunk(1, 6, 4)))
    assert files(partial) == {
        NAME: bytes(10),
        f"{NAME}-0": b'{"N":0,"Offset":0,"Size":6,"Completed":0}\n',
        f"{NAME}-1": b'{"N":1,"Offset":6,"Size":4,"Completed":0}\n',
    }


def test_states_are_found_again(partial: Partial) -> None:
    partial.begin((Chunk(0, 0, 6), Chunk(1, 6, 4)))
    for part in PARTS:
        partial.save(part)
    assert partial.resume() == PARTS
    partial.save(Chunk(1, 6, 4))
    assert files(partial)[f"{NAME}-1"] == b'{"N":1,"Offset":6,"Size":4,"Completed":0}\n'


def test_nothing_is_nothing_to_resume(partial: Partial) -> None:
    assert partial.resume() is None


@pytest.mark.parametrize("damage", ["data", "short", "gap", "text"])
def test_what_cannot_be_gone_on_from_is_removed(partial: Partial, damage: str) -> None:
    partial.begin(PARTS)
    other = partial.data.with_name("sha256-other-partial-0")
    other.write_bytes(b"x")
    if damage == "data":
        partial.data.unlink()
    elif damage == "short":
        os.truncate(partial.data, 9)
    elif damage == "gap":
        Path(f"{partial.data}-0").unlink()
    else:
        Path(f"{partial.data}-1").write_bytes(b"{")
    assert partial.resume() is None
    assert list(files(partial)) == [other.name]


def test_bytes_are_written_where_they_belong(partial: Partial) -> None:
    partial.begin(PARTS)
    with partial.opened() as descriptor:
        write(descriptor, DATA[4:], 4)
        write(descriptor, bytearray(DATA[:4]), 0)
    assert partial.data.read_bytes() == DATA


def test_the_right_bytes_become_the_blob(partial: Partial) -> None:
    partial.begin(PARTS)
    partial.data.write_bytes(DATA)
    *pieces, digest = partial.hashed()
    assert (pieces, digest) == ([None], f"sha256:{HEX}")
    assert partial.finish(f"sha256:{HEX}")
    assert files(partial) == {f"sha256-{HEX}": DATA}
    assert (partial.data.parent / f"sha256-{HEX}").stat().st_mode & 0o777 == 0o644


def test_wrong_bytes_become_nothing(partial: Partial) -> None:
    partial.begin(PARTS)
    assert not partial.finish(list(partial.hashed())[-1] or "")
    assert files(partial) == {}
