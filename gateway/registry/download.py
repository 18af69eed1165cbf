"""Blobs on their way here: chunks in parallel, one download of a blob however many wait for it.

There are no tasks of the downloads' own. Of those who wait for a blob one does the work; when it
leaves, the next goes on from what is on disk. So a download ends with the last who wants it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace

import anyio
import httpx
from anyio.to_thread import run_sync

from gateway.errors import Broken, GatewayError
from gateway.registry import chunks
from gateway.registry.chunks import Chunk
from gateway.registry.client import BlobLocation, Registry, odd
from gateway.registry.partial import Partial, write
from gateway.registry.references import content_range
from gateway.registry.reporting import line
from gateway.registry.retry import (
    ConnectionLost,
    ConnectionStalled,
    LostAfterProgress,
    NotInRegistry,
    RetryPolicy,
    UnusablePartial,
    retry,
)
from gateway.store.blobs import Blobs

_PIECE = 1 << 20
# Seconds after which a piece is written that is not full: on slow lines every byte counts.
_PERIOD = 0.05
# Bytes of a chunk after which its state is written. Ollama writes it when an attempt ends, and
# loses what a killed server had of a running one.
_SAVED = 32 << 20
# Threads that write, by a limit of their own: those that the rest of the gateway shares stay free.
_WRITERS = 4
# Bytes. No blob has so many, but a registry may claim it, and every chunk costs a file.
_LARGEST = 1 << 44


class SizeMismatch(Broken):
    """The bytes that came are not those that were requested."""


class _RangeIgnored(Exception):
    """The server sends whole blobs only."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One who waits for a blob, where it would get it from, and what had failed before it came."""

    download: "Download"
    registry: Registry
    seen: int

    async def complete(self) -> None:
        """Have all bytes on disk; raises OSError, or Broken for all who want the same."""
        async with self.download.working(self):
            await self.download.fetch(self.registry)

    async def verify(self) -> None:
        """Give the blob its name if it is what its digest says; Broken and nothing left if not."""
        async with self.download.working(self):
            await self.download.settle()

    def look(self) -> dict[str, object]:
        """One line of progress."""
        return self.download.look()


class Download:
    """One blob, for all who wait for it."""

    def __init__(self, blobs: Blobs, digest: str, size: int, policy: RetryPolicy) -> None:
        self.digest = digest
        self.total = size
        self.listeners = 0
        self.failures: list[tuple[str, Broken]] = []
        """With each the registry that is to blame; "" for what concerns all who wait."""
        self._blobs = blobs
        self._policy = policy
        self._partial = Partial(blobs, digest)
        self._lock = anyio.Lock()
        self._chunks: list[Chunk] = []
        self._place: BlobLocation | None = None
        self._locating = anyio.Lock()
        self._writers = anyio.CapacityLimiter(_WRITERS)

    @property
    def completed(self) -> int:
        return sum(chunk.completed for chunk in self._chunks)

    def look(self) -> dict[str, object]:
        return line("pulling", self.digest, self.total, self.completed)

    @asynccontextmanager
    async def working(self, listener: Listener) -> AsyncIterator[None]:
        """One at a time. When one fails those fail who would do the same; not when one leaves."""
        # With another registry the next may succeed. But bytes with a wrong digest were
        # everybody's, so that all of them fail.
        root = listener.registry.reference.root
        async with self._lock:
            for blamed, failure in self.failures[listener.seen :]:
                if blamed in ("", root):
                    raise Broken(failure.message)
            try:
                yield
            except Broken as failure:
                self.failures.append(("" if isinstance(failure, SizeMismatch) else root, failure))
                raise

    async def fetch(self, registry: Registry) -> None:
        """Have all bytes on disk."""
        if self._here():
            return
        self._place = None
        # State files name their sizes, so that what Ollama left can be finished, and the registry
        # need not report one.
        resumed = await run_sync(self._partial.resume)
        if resumed is None:
            size = await retry(self._policy, lambda: registry.size(self.digest))
            self.total = self.total if size is None else size
            if self.total > _LARGEST:
                raise Broken(f"a blob of {self.total} bytes is too large")
            await self._begin(chunks.plan(self.total))
        else:
            self._chunks = list(resumed)
            self.total = chunks.total(resumed)
        try:
            await self._run(registry)
        except _RangeIgnored:
            # Sixteen times the whole blob would come; one chunk takes it once.
            await self._begin((Chunk(0, 0, self.total),))
            await self._run(registry)
        except UnusablePartial:
            # The next pull would fail in the same way if it went on from this.
            await run_sync(self._partial.discard)
            raise

    async def settle(self) -> None:
        """Hash the bytes and name them, or drop them."""
        if self._here():
            return
        # Only now and in one go: chunks arrive in parallel, and a hash has to read them in order.
        # Piece by piece, so that who leaves meanwhile does not wait for gigabytes in a thread.
        with closing(self._partial.hashed()) as pieces:
            while (digest := await run_sync(next, pieces)) is None:
                pass
        if not await run_sync(self._partial.finish, digest):
            raise SizeMismatch(
                f"digest mismatch, file must be downloaded again: want {self.digest}, got {digest}"
            )

    def _here(self) -> bool:
        if not self._blobs.exists(self.digest):
            return False
        # Without it the blob may be old enough for the clean-up of those that no manifest names.
        self._blobs.touch(self.digest)
        size = self._blobs.path(self.digest).stat().st_size
        self._chunks = [Chunk(0, 0, size, size)]
        self.total = size
        return True

    async def _begin(self, planned: tuple[Chunk, ...]) -> None:
        await run_sync(self._partial.begin, planned)
        self._chunks = list(planned)

    async def _run(self, registry: Registry) -> None:
        """Fetch all chunks; the first failure ends the others."""
        # Carried out of the task group, which would wrap them in an ExceptionGroup.
        failures: list[Exception] = []
        room = anyio.Semaphore(chunks.MAX_CONCURRENT)

        async def fetch(number: int) -> None:
            try:
                async with room:
                    await retry(self._policy, lambda: self._attempt(registry, number, descriptor))
            except (GatewayError, OSError, _RangeIgnored) as error:
                failures.append(error)
                tasks.cancel_scope.cancel()

        with self._partial.opened() as descriptor:
            async with anyio.create_task_group() as tasks:
                for chunk in self._chunks:
                    if chunk.completed < chunk.size:
                        tasks.start_soon(fetch, chunk.number)
        if failures:
            raise failures[0]

    async def _attempt(self, registry: Registry, number: int, descriptor: int) -> None:
        """Go on with a chunk while the connection lasts; raises ConnectionLost."""
        before = self._chunks[number].completed
        place: BlobLocation | None = None
        try:
            # Located once for all chunks, and again when reading there fails.
            async with self._locating:
                if self._place is None:
                    self._place = await retry(self._policy, lambda: registry.locate(self.digest))
                place = self._place
            chunk = self._chunks[number]
            first, last = chunk.offset + chunk.completed, chunk.offset + chunk.size - 1
            async with registry.ranged(place, first, last) as response:
                self._check(response, chunk, place)
                await self._receive(response, number, descriptor)
        except ConnectionLost as error:
            # The address may have been good for a while only. Unless another chunk has a new one.
            if self._place is place:
                self._place = None
            if isinstance(error, ConnectionStalled) and self._chunks[number].completed > before:
                raise LostAfterProgress(error.message) from error
            raise
        finally:
            # Cancelled as well: this is how a download that nobody waits for any more can go on
            # later.
            self._partial.save(self._chunks[number])

    def _check(self, response: httpx.Response, chunk: Chunk, place: BlobLocation) -> None:
        """Raise unless the answer holds the bytes that were requested."""
        status = response.status_code
        if status == 200:
            if len(self._chunks) > 1:
                raise _RangeIgnored
            # The only chunk comes from its beginning again, over what there is of it.
            self._chunks[chunk.number] = replace(chunk, completed=0)
        elif status == 206:
            content = content_range(response.headers.get("content-range", ""))
            if content is None or content[0] != chunk.offset + chunk.completed:
                raise UnusablePartial("the registry sent another range than was requested")
            if content[2] not in (None, self.total):
                raise UnusablePartial(f"the blob has {content[2]} bytes now, and had {self.total}")
        elif status == 416:
            raise UnusablePartial(f"unexpected status code {status}")
        # From a storage these mean that the address is too old; the registry gives a new one.
        elif status in (401, 403, 404, 410) and not place.own:
            raise ConnectionLost(f"unexpected status code {status}")
        elif status == 404:
            raise NotInRegistry
        else:
            raise odd(status)

    async def _receive(self, response: httpx.Response, number: int, descriptor: int) -> None:
        """Write what comes, up to the end of the chunk."""
        chunk = self._chunks[number]
        wanted = chunk.size - chunk.completed
        gathered = bytearray()
        written = 0.0  # the first bytes are written as they come
        try:
            async for data_read in response.aiter_raw():
                gathered += data_read[: wanted - len(gathered)]
                if len(gathered) >= min(wanted, _PIECE) or (
                    anyio.current_time() - written >= _PERIOD
                ):
                    data, gathered = gathered, bytearray()
                    wanted -= len(data)
                    end = self._end(number)
                    await run_sync(write, descriptor, data, end, limiter=self._writers)
                    before = self._chunks[number].completed
                    self._advance(number, len(data))
                    if before // _SAVED != self._chunks[number].completed // _SAVED:
                        self._partial.save(self._chunks[number])
                    written = anyio.current_time()
                if not wanted:
                    return
        finally:
            if gathered:
                # Not more than a piece, and nobody may have the time to wait for a thread.
                write(descriptor, gathered, self._end(number))
                self._advance(number, len(gathered))
        if wanted > len(gathered):
            raise ConnectionLost("unexpected EOF")

    def _end(self, number: int) -> int:
        return self._chunks[number].offset + self._chunks[number].completed

    def _advance(self, number: int, count: int) -> None:
        chunk = self._chunks[number]
        self._chunks[number] = replace(chunk, completed=chunk.completed + count)


class Downloads:
    """The downloads that somebody waits for, one for each blob."""

    def __init__(self, blobs: Blobs, policy: RetryPolicy) -> None:
        self._blobs = blobs
        self._policy = policy
        self._running: dict[str, Download] = {}

    @asynccontextmanager
    async def wanted(self, registry: Registry, digest: str, size: int) -> AsyncIterator[Listener]:
        """A place among those who wait for a blob, which should have `size` bytes."""
        download = self._running.get(digest)
        if download is None:
            download = Download(self._blobs, digest, size, self._policy)
            self._running[digest] = download
        download.listeners += 1
        try:
            yield Listener(download, registry, len(download.failures))
        finally:
            download.listeners -= 1
            if not download.listeners:
                del self._running[digest]
