"""Blobs on their way here: parts in parallel, one download of a blob however many wait for it.

There are no tasks of the downloads' own. Of those who wait for a blob one does the work; when it
leaves, the next goes on from what is on disk. So a download ends with the last who wants it.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from typing import Any

import anyio
import httpx
from anyio.to_thread import run_sync

from gateway.errors import Broken, GatewayError
from gateway.registry import chunks as parts
from gateway.registry.chunks import Part
from gateway.registry.client import Place, Registry, odd
from gateway.registry.partial import Partial, write
from gateway.registry.references import content_range
from gateway.registry.reporting import line
from gateway.registry.retry import Lost, Missing, Moved, Patience, Stalled, Useless, persistently
from gateway.store.blobs import Blobs

_PIECE = 1 << 20
_PERIOD = 0.05
"""Seconds after which a piece is written that is not full: on slow lines every byte counts."""
_SAVED = 32 << 20
"""Bytes of a part after which its state is written, for a server that is killed."""
_WRITERS = 4
_LARGEST = 1 << 44
"""Bytes. No blob has so many, but a registry may say so, and every part costs a file."""


class Mismatch(Broken):
    """The bytes that came are not those that were asked for."""


class _Unranged(Exception):
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

    def look(self) -> Mapping[str, Any]:
        """One line of progress."""
        return self.download.look()


class Download:
    """One blob; what it says of itself is for everyone to look at."""

    def __init__(self, blobs: Blobs, digest: str, size: int, patience: Patience) -> None:
        self.digest = digest
        self.total = size
        self.listeners = 0
        self.failures: list[tuple[str, Broken]] = []
        """With each the registry that is to blame; "" for what concerns all who wait."""
        self._blobs = blobs
        self._patience = patience
        self._partial = Partial(blobs, digest)
        self._lock = anyio.Lock()
        self._parts: list[Part] = []
        self._place: Place | None = None
        self._locating = anyio.Lock()
        self._writers = anyio.CapacityLimiter(_WRITERS)

    @property
    def completed(self) -> int:
        return sum(part.completed for part in self._parts)

    def look(self) -> Mapping[str, Any]:
        """One line of progress."""
        return line("pulling", self.digest, self.total, self.completed)

    @asynccontextmanager
    async def working(self, listener: Listener) -> AsyncIterator[None]:
        """One at a time. When one fails those fail who would do the same; not when one leaves."""
        root = listener.registry.reference.root
        async with self._lock:
            for blamed, failure in self.failures[listener.seen :]:
                if blamed in ("", root):
                    raise Broken(failure.message)
            try:
                yield
            except Broken as failure:
                self.failures.append(("" if isinstance(failure, Mismatch) else root, failure))
                raise

    async def fetch(self, registry: Registry) -> None:
        """Have all bytes on disk."""
        if self._here():
            return
        await self._start(registry)
        try:
            await self._run(registry)
        except _Unranged:
            await self._begin((Part(0, 0, self.total),))
            await self._run(registry)
        except Useless:
            await run_sync(self._partial.discard)
            raise

    async def settle(self) -> None:
        """Hash the bytes and name them, or drop them."""
        if self._here():
            return
        digest = await self._hash()
        if not await run_sync(self._partial.finish, digest):
            raise Mismatch(
                f"digest mismatch, file must be downloaded again: want {self.digest}, got {digest}"
            )

    def _here(self) -> bool:
        if not self._blobs.exists(self.digest):
            return False
        self._blobs.touch(self.digest)
        size = self._blobs.path(self.digest).stat().st_size
        self._parts = [Part(0, 0, size, size)]
        self.total = size
        return True

    async def _start(self, registry: Registry) -> None:
        """Find out what is here and what is to come."""
        self._place = None
        found = await run_sync(self._partial.resume)
        if found is None:
            told = await persistently(self._patience, lambda: registry.size(self.digest))
            self.total = self.total if told is None else told
            if self.total > _LARGEST:
                raise Broken(f"a blob of {self.total} bytes is too large")
            await self._begin(parts.plan(self.total))
        else:
            self._parts = list(found)
            self.total = parts.total(found)

    async def _begin(self, planned: tuple[Part, ...]) -> None:
        await run_sync(self._partial.begin, planned)
        self._parts = list(planned)

    async def _run(self, registry: Registry) -> None:
        """Fetch all parts; the first failure ends the others."""
        failures: list[Exception] = []
        room = anyio.Semaphore(parts.MOST_AT_ONCE)

        async def fetch(number: int) -> None:
            try:
                async with room:
                    await persistently(
                        self._patience, lambda: self._attempt(registry, number, descriptor)
                    )
            except (GatewayError, OSError, _Unranged) as error:
                failures.append(error)
                tasks.cancel_scope.cancel()

        with self._partial.opened() as descriptor:
            async with anyio.create_task_group() as tasks:
                for part in self._parts:
                    if part.completed < part.size:
                        tasks.start_soon(fetch, part.number)
        if failures:
            raise failures[0]

    async def _attempt(self, registry: Registry, number: int, descriptor: int) -> None:
        """Go on with a part for as long as the connection lasts; raises Lost when it does not."""
        before = self._parts[number].completed
        place: Place | None = None
        try:
            place = await self._locate(registry)
            part = self._parts[number]
            first, last = part.offset + part.completed, part.offset + part.size - 1
            async with registry.ranged(place, first, last) as response:
                self._check(response, part, place)
                await self._receive(response, number, descriptor)
        except Lost as error:
            # The address may have been good for a while only.
            if self._place is place:
                self._place = None
            if isinstance(error, Stalled) and self._parts[number].completed > before:
                raise Moved(error.message) from error
            raise
        finally:
            self._partial.save(self._parts[number])

    async def _locate(self, registry: Registry) -> Place:
        """Where to read; asked, and asked again when that fails, once for all parts."""
        async with self._locating:
            if self._place is None:
                self._place = await persistently(
                    self._patience, lambda: registry.locate(self.digest)
                )
            return self._place

    def _check(self, response: httpx.Response, part: Part, place: Place) -> None:
        """Raise unless the answer holds the bytes that were asked for."""
        status = response.status_code
        if status == 200:
            if len(self._parts) > 1:
                raise _Unranged
            self._parts[part.number] = replace(part, completed=0)
        elif status == 206:
            found = content_range(response.headers.get("content-range", ""))
            if found is None or found[0] != part.offset + part.completed:
                raise Useless("the registry sent another range than it was asked for")
            if found[2] not in (None, self.total):
                raise Useless(f"the blob has {found[2]} bytes now, and had {self.total}")
        elif status == 416:
            raise Useless(f"unexpected status code {status}")
        elif status in (401, 403, 404, 410) and not place.own:
            raise Lost(f"unexpected status code {status}")
        elif status == 404:
            raise Missing
        else:
            raise odd(status)

    async def _receive(self, response: httpx.Response, number: int, descriptor: int) -> None:
        """Write what comes, up to the end of the part."""
        part = self._parts[number]
        wanted = part.size - part.completed
        gathered = bytearray()
        written = 0.0  # the first bytes are written as they come
        try:
            async for chunk in response.aiter_raw():
                gathered += chunk[: wanted - len(gathered)]
                if len(gathered) >= min(wanted, _PIECE) or (
                    anyio.current_time() - written >= _PERIOD
                ):
                    data, gathered = gathered, bytearray()
                    wanted -= len(data)
                    await self._keep(number, descriptor, data)
                    written = anyio.current_time()
                if not wanted:
                    return
        finally:
            if gathered:
                # Not more than a piece, and nobody may have the time to wait for a thread.
                write(descriptor, gathered, self._end(number))
                self._advance(number, len(gathered))
        if wanted > len(gathered):
            raise Lost("unexpected EOF")

    async def _keep(self, number: int, descriptor: int, data: bytearray) -> None:
        await run_sync(write, descriptor, data, self._end(number), limiter=self._writers)
        before = self._parts[number].completed
        self._advance(number, len(data))
        if before // _SAVED != self._parts[number].completed // _SAVED:
            self._partial.save(self._parts[number])

    def _end(self, number: int) -> int:
        return self._parts[number].offset + self._parts[number].completed

    def _advance(self, number: int, count: int) -> None:
        part = self._parts[number]
        self._parts[number] = replace(part, completed=part.completed + count)

    async def _hash(self) -> str:
        """The digest of what was downloaded, read piece by piece."""
        with closing(self._partial.hashed()) as pieces:
            while (digest := await run_sync(next, pieces)) is None:
                pass
        return digest


class Downloads:
    """The downloads that somebody waits for, one for each blob."""

    def __init__(self, blobs: Blobs, patience: Patience) -> None:
        self._blobs = blobs
        self._patience = patience
        self._running: dict[str, Download] = {}

    @asynccontextmanager
    async def wanted(self, registry: Registry, digest: str, size: int) -> AsyncIterator[Listener]:
        """A place among those who wait for a blob, which should have `size` bytes."""
        download = self._running.get(digest)
        if download is None:
            download = Download(self._blobs, digest, size, self._patience)
            self._running[digest] = download
        download.listeners += 1
        try:
            yield Listener(download, registry, len(download.failures))
        finally:
            download.listeners -= 1
            if not download.listeners:
                del self._running[digest]
