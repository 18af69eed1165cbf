"""One blob on its way to a registry: in chunks, each where the answer to the one before says."""

import hashlib
from collections.abc import AsyncIterator, Callable

import anyio
import httpx
from anyio.to_thread import run_sync

from gateway.errors import Broken, GatewayError
from gateway.registry import chunks
from gateway.registry.chunks import Chunk
from gateway.registry.client import Registry, accept
from gateway.registry.references import resolve, with_query
from gateway.registry.reporting import line
from gateway.registry.retry import ConnectionLost, RetryPolicy, retry
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
        policy: RetryPolicy,
        plan: Callable[[int], tuple[Chunk, ...]] = chunks.plan,
    ) -> None:
        """`mount` is the repository that may have it already, or empty."""
        self.completed = 0
        self._registry = registry
        self._layer = layer
        self._path = blobs.path(layer.digest)
        self._total = self._path.stat().st_size
        self._mount = mount
        self._policy = policy
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
        session = await retry(self._policy, self._open)
        # The registry has mounted it from the repository of the model it came from.
        if session is None:
            self.completed = self._total
            return
        # Carried out of the task group, which would wrap them in an ExceptionGroup.
        failures: list[Exception] = []
        async with anyio.create_task_group() as tasks:
            try:
                for chunk in self._plan(self._total):
                    session = await self._part(session, chunk, tasks, failures)
            except (GatewayError, OSError) as error:
                failures.append(error)
                tasks.cancel_scope.cancel()
        if failures:
            raise failures[0]
        # The MD5 of all parts' MD5 and their number: how storages check what comes in parts.
        digests = [self._digests[number] for number in sorted(self._digests)]
        tag = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()
        url = with_query(session, {"digest": self._layer.digest, "etag": f"{tag}-{len(digests)}"})

        async def commit() -> None:
            async with self._registry.request("PUT", url, headers=_BINARY, body=b"") as response:
                await _accept_part(response, whole=True)

        await retry(self._policy, commit)

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
        chunk: Chunk,
        tasks: anyio.abc.TaskGroup,
        failures: list[Exception],
    ) -> str:
        """Send a chunk; returns the address for the next one.

        A registry that wants the bytes elsewhere gets them from a task of `tasks`, all at once.
        """
        # Hashed here, while the parts before it are still on their way elsewhere.
        self._digests[chunk.number] = await run_sync(self._hash, chunk)
        session, elsewhere = await retry(self._policy, lambda: self._patch(session, chunk))
        if elsewhere:

            async def put() -> None:
                try:
                    await retry(self._policy, lambda: self._put(elsewhere, chunk))
                except (GatewayError, OSError) as error:
                    failures.append(error)
                    tasks.cancel_scope.cancel()

            tasks.start_soon(put)
        return session

    async def _patch(self, session: str, chunk: Chunk) -> tuple[str, str]:
        """Send a chunk to its session; returns the next session, and where else to or empty."""
        last = chunk.offset + chunk.size - 1
        headers = {
            **_BINARY,
            "Content-Length": str(chunk.size),
            "Content-Range": f"{chunk.offset}-{last}",
            # The offer to send the bytes to the registry's storage, which is parallel.
            "X-Redirect-Uploads": "1",
        }
        sent = _SentBytes(self)
        try:
            async with self._registry.request(
                "PATCH", session, headers=headers, body=lambda: self._bytes(chunk, sent)
            ) as response:
                if response.status_code == 307:
                    sent.take_back()
                    return _next(response, "Docker-Upload-Location"), _next(response, "Location")
                await _accept_part(response)
                return _next(response), ""
        except BaseException:
            sent.take_back()
            raise

    async def _put(self, url: str, chunk: Chunk) -> None:
        headers = {**_BINARY, "Content-Length": str(chunk.size)}
        sent = _SentBytes(self)
        try:
            async with self._registry.request(
                "PUT",
                url,
                headers=headers,
                body=lambda: self._bytes(chunk, sent),
                own=False,  # the address is signed; the token is not the storage's to see
            ) as response:
                await _accept_part(response)
        except BaseException:
            sent.take_back()
            raise

    async def _bytes(self, chunk: Chunk, sent: "_SentBytes") -> AsyncIterator[bytes]:
        """The bytes of a chunk, from its beginning, counted as they go."""
        # A request that is refused for want of a token reads its body a second time.
        sent.take_back()
        async with await anyio.open_file(self._path, "rb") as file:
            await file.seek(chunk.offset)
            left = chunk.size
            while left:
                piece = await file.read(min(_PIECE, left))
                if not piece:
                    raise Broken(f"blob {self._layer.digest} has become shorter")
                yield piece
                sent.add(len(piece))
                left -= len(piece)

    def _hash(self, chunk: Chunk) -> bytes:
        """MD5 of a chunk, from which the storage behind a registry makes its own check."""
        hasher = hashlib.md5(usedforsecurity=False)
        with open(self._path, "rb", buffering=0) as file:
            file.seek(chunk.offset)
            left = chunk.size
            while left and (piece := file.read(min(_HASHED, left))):
                hasher.update(piece)
                left -= len(piece)
        return hasher.digest()


class _SentBytes:
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
        if location := response.headers.get(name):
            return resolve(str(response.url), str(location))
    raise Broken("http: no Location header in response")


async def _accept_part(response: httpx.Response, *, whole: bool = False) -> None:
    """Raise for a status of 400 or more: ConnectionLost when another try may do better."""
    status = response.status_code
    if status < 400:
        return
    try:
        await accept(response)
    except Broken as error:
        # Ollama reports a part by its status line, and the whole by its number.
        text = error.message
        if not whole:
            body = text.partition(": ")[2] if text[:3].isdecimal() else text
            text = f"http status {status} {httpx.codes.get_reason_phrase(status)}: {body}"
        raise (ConnectionLost if status >= 500 or status == 429 else Broken)(text) from error
