"""One blob on its way to a registry: in parts, each where the answer to the one before says."""

import hashlib
from collections.abc import AsyncIterator, Callable

import anyio
import httpx
from anyio.to_thread import run_sync

from gateway.errors import Broken, GatewayError
from gateway.registry import chunks as parts
from gateway.registry.chunks import Part
from gateway.registry.client import Registry, accept
from gateway.registry.references import resolve, with_query
from gateway.registry.reporting import line
from gateway.registry.retry import Lost, Patience, persistently
from gateway.store.blobs import Blobs
from gateway.store.manifests import Layer

_PIECE = 1 << 20
_HASHED = 16 << 20
_BINARY = {"Content-Type": "application/octet-stream"}


class Upload:
    """The blob of one layer; OSError when it cannot be read."""

    def __init__(
        self,
        registry: Registry,
        blobs: Blobs,
        layer: Layer,
        mount: str,
        patience: Patience,
        plan: Callable[[int], tuple[Part, ...]] = parts.plan,
    ) -> None:
        """`mount` is the repository that may have it already, or empty; `plan` cuts it in parts."""
        self.completed = 0
        self._registry = registry
        self._layer = layer
        self._path = blobs.path(layer.digest)
        self._total = self._path.stat().st_size
        self._mount = mount
        self._patience = patience
        self._plan = plan
        self._digests: dict[int, bytes] = {}

    def look(self) -> dict[str, object]:
        """One line of progress."""
        return line("pushing", self._layer.digest, self._total, self.completed)

    async def send(self) -> None:
        """Have the registry hold the blob; raises Broken."""
        if await self._registry.has(self._layer.digest):
            self.completed = self._total
            return
        session = await persistently(self._patience, self._open)
        if session is None:
            self.completed = self._total
            return
        failures: list[Exception] = []
        async with anyio.create_task_group() as tasks:
            try:
                for part in self._plan(self._total):
                    session = await self._part(session, part, tasks, failures)
            except (GatewayError, OSError) as error:
                failures.append(error)
                tasks.cancel_scope.cancel()
        if failures:
            raise failures[0]
        await self._commit(session)

    async def _open(self) -> str | None:
        """The address of an upload session; None when the registry needs none after all."""
        url = self._registry.reference.uploads
        if self._mount:
            url = with_query(url, {"mount": self._layer.digest, "from": self._mount})
        async with self._registry.request("POST", url, body=b"") as response:
            await accept(response)
            return None if response.status_code == 201 else _next(response)

    async def _part(
        self,
        session: str,
        part: Part,
        tasks: anyio.abc.TaskGroup,
        failures: list[Exception],
    ) -> str:
        """Send a part; returns the address for the next one.

        A registry that wants the bytes elsewhere gets them from a task of `tasks`, all at once.
        """
        self._digests[part.number] = await run_sync(self._hash, part)
        session, elsewhere = await persistently(self._patience, lambda: self._patch(session, part))
        if elsewhere:

            async def put() -> None:
                try:
                    await persistently(self._patience, lambda: self._put(elsewhere, part))
                except (GatewayError, OSError) as error:
                    failures.append(error)
                    tasks.cancel_scope.cancel()

            tasks.start_soon(put)
        return session

    async def _patch(self, session: str, part: Part) -> tuple[str, str]:
        """Send a part to its session; returns the next session and, if not empty, where else to."""
        last = part.offset + part.size - 1
        headers = {
            **_BINARY,
            "Content-Length": str(part.size),
            "Content-Range": f"{part.offset}-{last}",
            "X-Redirect-Uploads": "1",
        }
        sent = _Count(self)
        try:
            async with self._registry.request(
                "PATCH", session, headers=headers, body=lambda: self._bytes(part, sent)
            ) as response:
                if response.status_code == 307:
                    sent.take_back()
                    return _next(response, "Docker-Upload-Location"), _next(response, "Location")
                await _accept_part(response)
                return _next(response), ""
        except BaseException:
            sent.take_back()
            raise

    async def _put(self, url: str, part: Part) -> None:
        headers = {**_BINARY, "Content-Length": str(part.size)}
        sent = _Count(self)
        try:
            async with self._registry.request(
                "PUT", url, headers=headers, body=lambda: self._bytes(part, sent), own=False
            ) as response:
                await _accept_part(response)
        except BaseException:
            sent.take_back()
            raise

    async def _commit(self, session: str) -> None:
        digests = [self._digests[number] for number in sorted(self._digests)]
        tag = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()
        url = with_query(session, {"digest": self._layer.digest, "etag": f"{tag}-{len(digests)}"})

        async def attempt() -> None:
            async with self._registry.request("PUT", url, headers=_BINARY, body=b"") as response:
                await _accept_part(response, whole=True)

        await persistently(self._patience, attempt)

    async def _bytes(self, part: Part, sent: "_Count") -> AsyncIterator[bytes]:
        """The bytes of a part, from its beginning, counted as they go."""
        sent.take_back()
        async with await anyio.open_file(self._path, "rb") as file:
            await file.seek(part.offset)
            left = part.size
            while left:
                piece = await file.read(min(_PIECE, left))
                if not piece:
                    raise Broken(f"blob {self._layer.digest} has become shorter")
                yield piece
                sent.add(len(piece))
                left -= len(piece)

    def _hash(self, part: Part) -> bytes:
        """MD5 of a part, from which the storage behind a registry makes its own check."""
        found = hashlib.md5(usedforsecurity=False)
        with open(self._path, "rb", buffering=0) as file:
            file.seek(part.offset)
            left = part.size
            while left and (piece := file.read(min(_HASHED, left))):
                found.update(piece)
                left -= len(piece)
        return found.digest()


class _Count:
    """What one attempt has sent, so that a failed one can be taken back."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._sent = 0

    def add(self, count: int) -> None:
        self._sent += count
        self._upload.completed += count

    def take_back(self) -> None:
        self._upload.completed -= self._sent
        self._sent = 0


def _next(response: httpx.Response, *named: str) -> str:
    """The address in the first of these headers; by default that of an upload session."""
    for name in named or ("Docker-Upload-Location", "Location"):
        if found := response.headers.get(name):
            return resolve(str(response.url), str(found))
    raise Broken("http: no Location header in response")


async def _accept_part(response: httpx.Response, *, whole: bool = False) -> None:
    """Raise for a status of 400 or more: Lost when another try may do better."""
    status = response.status_code
    if status < 400:
        return
    try:
        await accept(response)
    except Broken as error:
        text = error.message if whole else _status_text(response, error.message)
        raise (Lost if status >= 500 or status == 429 else Broken)(text) from error


def _status_text(response: httpx.Response, message: str) -> str:
    body = message.partition(": ")[2] if message[:3].isdecimal() else message
    phrase = httpx.codes.get_reason_phrase(response.status_code)
    return f"http status {response.status_code} {phrase}: {body}"
