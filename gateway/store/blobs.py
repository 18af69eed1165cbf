"""Content-addressed files: a blob is named by the SHA-256 of its bytes and never changes.

A blob appears under its name in one step, complete and synced, or not at all.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from gateway import digests
from gateway.errors import DigestMismatch

# Readable by other users: a service and the person at the desk often share one store.
MODE = 0o644


class Blobs:
    """The blobs of one folder. Digests are canonical (`gateway.digests.parse`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, digest: str) -> Path:
        """Where the blob is, or would be."""
        return self.folder / digests.blob_name(digest)

    def exists(self, digest: str) -> bool:
        # The name is enough: a file gets it only when it is complete.
        return self.path(digest).is_file()

    def read(self, digest: str) -> bytes:
        """All bytes of a small blob; OSError when it is missing."""
        return self.path(digest).read_bytes()

    def touch(self, digest: str) -> None:
        """Renew the blob's time: a sweep spares what is younger than an hour, manifest or not."""
        os.utime(self.path(digest))

    def store(self, data: bytes) -> tuple[str, bool]:
        """Keep `data`; returns its digest and whether it was new."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if self.exists(digest):
            # The manifest that will name it is written later, and a sweep may run before that.
            self.touch(digest)
            return digest, False
        with self.writer(digest) as out:
            out.write(data)
            out.commit()
        return digest, True

    def writer(self, expected: str | None = None) -> "BlobWriter":
        """A new blob, written piece by piece; `expected` is the digest that `commit` insists on."""
        return BlobWriter(self, expected)

    def reserve(self) -> Path:
        """An empty temporary file in the folder, for another program to fill."""
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = _temporary(self.folder)
        os.close(descriptor)
        return Path(name)

    def adopt(self, temporary: Path, digest: str) -> bool:
        """Make the file of `reserve` the blob of its `digest`; returns whether it was new."""
        if self.exists(digest):
            self.touch(digest)
            temporary.unlink()
            return False
        with open(temporary, "rb") as file:
            sync_and_rename(file.fileno(), temporary, self.path(digest))
        return True

    def remove(self, digest: str) -> None:
        # Another process may have removed it as well, Ollama for one.
        self.path(digest).unlink(missing_ok=True)

    def files(self) -> Iterator[os.DirEntry[str]]:
        """Every plain file of the folder, temporary ones included."""
        with suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                if not entry.is_dir():
                    yield entry


class BlobWriter:
    """One blob in the making. Leaving the block without `commit` leaves nothing behind."""

    def __init__(self, blobs: Blobs, expected: str | None) -> None:
        self._blobs = blobs
        self._expected = expected
        self._hash = hashlib.sha256()
        blobs.folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = _temporary(blobs.folder)
        # Unbuffered: pieces are large already, and a buffer would only copy them once more.
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._temporary: Path | None = Path(name)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append `data`; OSError when the disk refuses it."""
        view = memoryview(data)
        self._hash.update(view)
        # An unbuffered file may take less than it is given, as at the end of a quota.
        while view:
            view = view[self._file.write(view) :]

    def commit(self) -> str:
        """Sync, verify and rename; returns the digest. Raises DigestMismatch, keeping nothing."""
        assert self._temporary is not None, "a blob is committed once"
        digest = f"sha256:{self._hash.hexdigest()}"
        if self._expected not in (None, digest):
            raise DigestMismatch(f'digest mismatch, expected "{self._expected}", got "{digest}"')
        sync_and_rename(self._file.fileno(), self._temporary, self._blobs.path(digest))
        self._temporary = None
        return digest

    def __enter__(self) -> "BlobWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)


def _temporary(folder: Path) -> tuple[int, str]:
    # In the folder itself, since a rename is one step only within a file system. Any name that is
    # no digest is swept after an hour, by us and by Ollama alike.
    return tempfile.mkstemp(prefix="sha256-", suffix=".new", dir=folder)


def sync_and_rename(descriptor: int, temporary: Path, final: Path) -> None:
    """Give an open, complete temporary file its name; both paths are on the same file system.

    After a crash at any point, `final` is either all there or as it was before.
    """
    os.fchmod(descriptor, MODE)
    # Before the rename: a file system may write the new name to disk ahead of the bytes, and after
    # a power cut there would be a blob of the right name and the wrong content.
    os.fsync(descriptor)
    os.replace(temporary, final)
    # The name is in the folder, which has to be written out as well before anything relies on it.
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
