"""An unfinished blob on disk: one data file of full length, and a state file for each chunk.

Names and contents are Ollama's, so that either server goes on where the other stopped. Nothing here
waits; every method but `write` and `save` belongs in a worker thread.
"""

import hashlib
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gateway import digests
from gateway.registry import chunks
from gateway.registry.chunks import Chunk
from gateway.store.blobs import Blobs, sync_and_rename

_PIECE = 16 << 20


class Partial:
    """What is here of one blob."""

    def __init__(self, blobs: Blobs, digest: str) -> None:
        self._blobs = blobs
        self.digest = digest
        self.data = blobs.folder / f"{digests.blob_name(digest)}-partial"

    def resume(self) -> tuple[Chunk, ...] | None:
        """The chunks of an earlier download; None, and nothing left of it, when it is of no use."""
        try:
            chunks_here = chunks.joined(chunks.decode(path.read_bytes()) for path in self._states())
            if chunks_here and self.data.stat().st_size == chunks.total(chunks_here):
                return chunks_here
        except (FileNotFoundError, ValueError):
            pass  # half of it was deleted, or a write was cut short: start anew below
        self.discard()
        return None

    def begin(self, planned: Sequence[Chunk]) -> None:
        """Start anew with these chunks."""
        self.discard()
        self._blobs.folder.mkdir(parents=True, exist_ok=True)
        # Of full length at once, as Ollama has it: chunks write at their own offsets.
        with open(self.data, "wb") as file:
            file.truncate(chunks.total(planned))
        for chunk in planned:
            self.save(chunk)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the data file, for `write`."""
        descriptor = os.open(self.data, os.O_RDWR)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def save(self, chunk: Chunk) -> None:
        """Note how far a chunk is, once its bytes are written."""
        data = chunks.encode(chunk)
        # Numbers only grow, so that a state is replaced in one write and never seen half.
        descriptor = os.open(f"{self.data}-{chunk.number}", os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(descriptor, data, 0)
            os.truncate(descriptor, len(data))
        finally:
            os.close(descriptor)

    def finish(self, digest: str) -> bool:
        """Make it a blob if `digest`, that of what was read, is the right one; else drop it."""
        if digest != self.digest:
            # Which of the bytes are wrong cannot be known.
            self.discard()
            return False
        with open(self.data, "rb") as file:
            sync_and_rename(file.fileno(), self.data, self._blobs.path(digest))
        self.discard()
        return True

    def hashed(self) -> Generator[str | None, None, None]:
        """The digest of the data, last; None for each piece before, so that it can be ended."""
        # Not buffered: the pieces are far larger than a buffer, which would copy them.
        hasher = hashlib.sha256()
        with open(self.data, "rb", buffering=0) as file:
            while piece := file.read(_PIECE):
                hasher.update(piece)
                yield None
        yield f"sha256:{hasher.hexdigest()}"

    def discard(self) -> None:
        """Remove it all; what is not there is fine."""
        for path in (*self._states(), self.data):
            path.unlink(missing_ok=True)

    def _states(self) -> Iterable[Path]:
        # Compared by their beginning and not with a glob: a folder's name may look like a pattern.
        start = f"{self.data.name}-"
        try:
            with os.scandir(self.data.parent) as entries:
                return [Path(entry.path) for entry in entries if entry.name.startswith(start)]
        except FileNotFoundError:
            return []


def write(descriptor: int, data: bytes | bytearray, offset: int) -> None:
    """Put `data` at `offset`; OSError when the disk refuses it."""
    # A write may take a part only. And memoryview, because slices of bytes are copies.
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count
