"""An unfinished blob on disk: one data file of full length, and a state file for each part.

Names and contents are Ollama's, so that either server goes on where the other stopped. Nothing here
waits; every method but `write` and `save` belongs in a worker thread.
"""

import hashlib
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gateway import digests
from gateway.registry import chunks as parts
from gateway.registry.chunks import Part
from gateway.store.blobs import Blobs, sync_and_rename

_PIECE = 16 << 20


class Partial:
    """What is here of one blob."""

    def __init__(self, blobs: Blobs, digest: str) -> None:
        self._blobs = blobs
        self.digest = digest
        self.data = blobs.folder / f"{digests.blob_name(digest)}-partial"

    def resume(self) -> tuple[Part, ...] | None:
        """The parts of an earlier download; None, and nothing left of it, when it is of no use."""
        try:
            found = parts.joined(parts.decode(path.read_bytes()) for path in self._states())
            if found and self.data.stat().st_size == parts.total(found):
                return found
        except (FileNotFoundError, ValueError):
            pass
        self.discard()
        return None

    def begin(self, planned: Sequence[Part]) -> None:
        """Start anew with these parts."""
        self.discard()
        self._blobs.folder.mkdir(parents=True, exist_ok=True)
        with open(self.data, "wb") as file:
            file.truncate(parts.total(planned))
        for part in planned:
            self.save(part)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the data file, for `write`."""
        descriptor = os.open(self.data, os.O_RDWR)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def save(self, part: Part) -> None:
        """Note how far a part is, once its bytes are written."""
        data = parts.encode(part)
        # Numbers only grow, so that a state is replaced in one write and never seen half.
        descriptor = os.open(f"{self.data}-{part.number}", os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(descriptor, data, 0)
            os.truncate(descriptor, len(data))
        finally:
            os.close(descriptor)

    def finish(self, digest: str) -> bool:
        """Make it a blob if `digest`, that of what was read, is the right one; else drop it."""
        if digest != self.digest:
            self.discard()
            return False
        with open(self.data, "rb") as file:
            sync_and_rename(file.fileno(), self.data, self._blobs.path(digest))
        self.discard()
        return True

    def hashed(self) -> Generator[str | None, None, None]:
        """The digest of the data, last; None for each piece before, so that it can be ended."""
        found = hashlib.sha256()
        with open(self.data, "rb", buffering=0) as file:
            while piece := file.read(_PIECE):
                found.update(piece)
                yield None
        yield f"sha256:{found.hexdigest()}"

    def discard(self) -> None:
        """Remove it all; what is not there is fine."""
        for path in (*self._states(), self.data):
            path.unlink(missing_ok=True)

    def _states(self) -> Iterable[Path]:
        """The state files: by their beginning, for a folder's name may look like a pattern."""
        start = f"{self.data.name}-"
        try:
            with os.scandir(self.data.parent) as entries:
                return [Path(entry.path) for entry in entries if entry.name.startswith(start)]
        except FileNotFoundError:
            return []


def write(descriptor: int, data: bytes | bytearray, offset: int) -> None:
    """Put `data` at `offset`; OSError when the disk refuses it."""
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count
