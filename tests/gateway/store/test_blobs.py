"""Blobs appear whole or not at all."""

import hashlib
import os
from pathlib import Path

import pytest

from gateway.errors import DigestMismatch
from gateway.store.blobs import Blobs

HELLO = f"sha256:{hashlib.sha256(b'hello').hexdigest()}"


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def names(blobs: Blobs) -> list[str]:
    return sorted(path.name for path in blobs.folder.iterdir())


def test_a_stored_blob_has_ollamas_name_and_can_be_read_by_others(blobs: Blobs) -> None:
    assert blobs.store(b"hello") == (HELLO, True)
    assert names(blobs) == [HELLO.replace(":", "-")]
    assert blobs.read(HELLO) == b"hello"
    assert blobs.path(HELLO).stat().st_mode & 0o777 == 0o644


def test_storing_the_same_bytes_again_only_touches_them(blobs: Blobs) -> None:
    blobs.store(b"hello")
    os.utime(blobs.path(HELLO), (1, 1))
    assert blobs.store(b"hello") == (HELLO, False)
    assert blobs.path(HELLO).stat().st_mtime > 1


def test_a_blob_is_not_there_before_it_is_committed(blobs: Blobs) -> None:
    with blobs.writer(HELLO) as out:
        out.write(b"hel")
        out.write(bytearray(b"lo"))
        assert not blobs.exists(HELLO)
        assert out.commit() == HELLO
        assert blobs.exists(HELLO)


def test_a_mismatch_is_an_error_and_leaves_nothing(blobs: Blobs) -> None:
    expected = f"sha256:{'0' * 64}"
    with blobs.writer(expected) as out:
        out.write(b"hello")
        with pytest.raises(DigestMismatch) as caught:
            out.commit()
    assert caught.value.message == f'digest mismatch, expected "{expected}", got "{HELLO}"'
    assert names(blobs) == []


def test_an_abandoned_blob_leaves_nothing(blobs: Blobs) -> None:
    with blobs.writer() as out:
        out.write(b"hel")
    assert names(blobs) == []


def test_the_name_of_a_blob_in_the_making_is_no_digest(blobs: Blobs) -> None:
    with blobs.writer():
        (name,) = names(blobs)
        assert name.startswith("sha256-")
        assert len(name) < len("sha256-") + 64


def test_two_writers_of_one_blob_do_not_meet(blobs: Blobs) -> None:
    with blobs.writer(HELLO) as one, blobs.writer(HELLO) as two:
        one.write(b"hello")
        two.write(b"hello")
        assert one.commit() == two.commit() == HELLO
    assert names(blobs) == [HELLO.replace(":", "-")]


def test_a_file_that_another_program_filled_becomes_a_blob(blobs: Blobs) -> None:
    temporary = blobs.reserve()
    temporary.write_bytes(b"hello")
    assert not blobs.exists(HELLO)
    assert blobs.adopt(temporary, HELLO) is True
    assert blobs.read(HELLO) == b"hello"
    assert blobs.path(HELLO).stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in blobs.files()] == [blobs.path(HELLO).name]


def test_a_file_whose_blob_is_there_is_dropped(blobs: Blobs) -> None:
    blobs.store(b"hello")
    os.utime(blobs.path(HELLO), (1, 1))
    temporary = blobs.reserve()
    temporary.write_bytes(b"hello")
    assert blobs.adopt(temporary, HELLO) is False
    assert not temporary.exists()
    assert blobs.path(HELLO).stat().st_mtime > 1


def test_removing_what_is_gone_is_fine(blobs: Blobs) -> None:
    blobs.store(b"hello")
    blobs.remove(HELLO)
    blobs.remove(HELLO)
    assert not blobs.exists(HELLO)


def test_files_are_listed_without_folders(blobs: Blobs) -> None:
    assert list(blobs.files()) == []
    blobs.store(b"hello")
    (blobs.folder / "split-gguf-1").mkdir()
    assert [entry.name for entry in blobs.files()] == [HELLO.replace(":", "-")]
