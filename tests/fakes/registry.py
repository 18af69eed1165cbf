"""A registry on two loopback ports: the API, and the storage it may send clients to.

It keeps what it is sent, notes every request, and fails as its `faults` and switches say.
"""

import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
from anyio.abc import SocketAttribute, SocketStream

from gateway import names
from gateway.registry.references import Reference

PATIENCE = 20.0
PREFIX = "application/vnd.ollama.image."
CONFIG = {"model_format": "gguf", "model_family": "llama", "file_type": "F16"}
_PATH = re.compile(r"/v2/(.+)/(manifests|blobs)/(.+)")


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of one answer with bytes of a blob: `after` so many of them the connection is
    cut, or it waits until `FakeRegistry.go`."""

    digest: str
    after: int
    waits: bool = False


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request. `storage`: on the second port."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    storage: bool

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(slots=True)
class FakeRegistry:
    """Switches may be turned at any time; see the fields."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    """By `namespace/model:tag`."""
    requests: list[ReceivedRequest] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    redirects: bool = False
    """Blobs, and parts of them that are sent, are at the storage."""
    circles: bool = False
    """Every GET is sent where it came from."""
    ranges: bool = True
    sizes: bool = True
    """HEAD has the size of a blob."""
    token: str = ""
    """What a request must bring; the token's own path hands it out."""
    realm: str = ""
    """Where the challenge sends a client for it, if not here."""
    refusals: list[tuple[str, int, bytes]] = field(default_factory=list)
    """Beginnings of `METHOD path` with the status and body they get, each for one request."""
    mounts: bool = True
    port: int = 0
    storage_port: int = 0
    go: anyio.Event = field(default_factory=anyio.Event)
    waiting: int = 0
    uploads: dict[str, bytes] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def reference(self, name: str = "ns/m") -> Reference:
        """A name here, to be spoken with in the clear."""
        return Reference(names.parse(f"{self.host}/{name}"), "http")

    def put(self, data: bytes) -> str:
        """Keep a blob; its digest."""
        digest = digest_of(data)
        self.blobs[digest] = data
        return digest

    def layer(self, kind: str, data: bytes) -> dict[str, Any]:
        return {"mediaType": PREFIX + kind, "digest": self.put(data), "size": len(data)}

    def add(
        self,
        name: str,
        *layers: Mapping[str, Any],
        config: Mapping[str, Any] = CONFIG,
    ) -> bytes:
        """Keep a model as `namespace/model:tag`; its manifest, which ends without a newline."""
        data = json.dumps(config).encode()
        described = {"mediaType": "c", "digest": self.put(data), "size": len(data)}
        document = {"schemaVersion": 2, "config": described, "layers": list(layers), "more": 1}
        self.manifests[name] = json.dumps(document).encode()
        return self.manifests[name]

    def lines(self, method: str = "") -> list[str]:
        """`METHOD path` of every request so far."""
        return [one.line for one in self.requests if one.method.startswith(method)]

    def of(self, method: str, start: str = "/") -> list[ReceivedRequest]:
        """The requests of one kind."""
        return [one for one in self.requests if one.method == method and one.path.startswith(start)]

    async def until_waiting(self, count: int = 1) -> None:
        """Until so many answers wait for `go`."""
        with anyio.fail_after(PATIENCE):
            while self.waiting < count:
                await anyio.lowlevel.checkpoint()

    async def until_requested(self, *lines: str) -> None:
        """Until all these requests have come."""
        with anyio.fail_after(PATIENCE):
            while not set(lines) <= set(self.lines()):
                await anyio.lowlevel.checkpoint()

    async def serve(self, stream: SocketStream) -> None:
        """One connection, one request."""
        async with stream:
            try:
                request = await _read(stream, self.storage_port)
                self.requests.append(request)
                await self._answer(request, stream)
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                pass  # the client left

    async def _answer(self, request: ReceivedRequest, stream: SocketStream) -> None:
        for refusal in self.refusals:
            if request.line.startswith(refusal[0]):
                self.refusals.remove(refusal)
                await _send(stream, refusal[1], refusal[2])
                return
        if self.circles and request.method == "GET":
            await _send(stream, 302, b"", {"Location": request.path})
        elif request.storage:
            await self._stored(request, stream)
        elif request.path == "/token":
            await _send(stream, 200, json.dumps({"token": self.token}).encode())
        elif self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            realm = self.realm or f"http://{self.host}/token"
            wanted = f'Bearer realm="{realm}",service="fake",scope="repository:a:pull push"'
            await _send(stream, 401, b"{}", {"WWW-Authenticate": wanted})
        elif request.path.startswith("/v2/up/"):
            await self._session(request, stream)
        elif match := _PATH.fullmatch(request.path):
            await self._resource(request, stream, *match.groups())
        else:
            await _send(stream, 404)

    async def _resource(
        self, request: ReceivedRequest, stream: SocketStream, repository: str, kind: str, last: str
    ) -> None:
        if kind == "manifests":
            await self._manifest(request, stream, f"{repository}:{last}")
        elif request.method == "POST":
            await self._open(request, stream)
        elif last not in self.blobs:
            await _send(stream, 404)
        elif request.method == "HEAD":
            size = {"Content-Length": str(len(self.blobs[last]))} if self.sizes else {}
            await _send(stream, 200, None, size)
        elif self.redirects:
            await _send(stream, 307, b"moved", {"Location": self._elsewhere(f"/data/{last}")})
        else:
            await self._bytes(request, stream, last)

    async def _manifest(self, request: ReceivedRequest, stream: SocketStream, name: str) -> None:
        if request.method == "PUT":
            self.manifests[name] = request.body
            await _send(stream, 201)
        elif name in self.manifests:
            await _send(stream, 200, self.manifests[name])
        else:
            await _send(stream, 404, b'{"errors":[]}')

    async def _bytes(self, request: ReceivedRequest, stream: SocketStream, digest: str) -> None:
        data = self.blobs[digest]
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
        status, headers = 200, {}
        if match and self.ranges:
            first, last = int(match[1]), min(int(match[2]), len(data) - 1)
            if first >= len(data):
                await _send(stream, 416)
                return
            status, headers = 206, {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
            data = data[first : last + 1]
        await self._body(stream, status, data, headers, digest)

    async def _body(
        self, stream: SocketStream, status: int, data: bytes, headers: dict[str, str], digest: str
    ) -> None:
        fault = next((one for one in self.faults if one.digest == digest), None)
        # The probe for one byte is no answer worth a fault.
        if fault is None or len(data) <= 1:
            await _send(stream, status, data, headers)
            return
        self.faults.remove(fault)
        length = {"Content-Length": str(len(data))}
        await stream.send(_head(status, {**headers, **length}) + data[: fault.after])
        if fault.waits:
            self.waiting += 1
            try:
                await self.go.wait()
            finally:
                self.waiting -= 1
            await stream.send(data[fault.after :])

    async def _stored(self, request: ReceivedRequest, stream: SocketStream) -> None:
        kind, _, last = request.path.removeprefix("/").partition("/")
        if kind == "data" and last in self.blobs:
            await self._bytes(request, stream, last)
        elif kind == "part":
            self.uploads[last] = request.body
            await _send(stream, 200)
        else:
            await _send(stream, 404)

    async def _open(self, request: ReceivedRequest, stream: SocketStream) -> None:
        mount = request.query.get("mount", [""])[0]
        if self.mounts and mount in self.blobs:
            await _send(stream, 201)
            return
        await _send(stream, 202, b"", {"Location": f"/v2/up/{len(self.requests)}?n=0"})

    async def _session(self, request: ReceivedRequest, stream: SocketStream) -> None:
        session = request.path.removeprefix("/v2/up/")
        number = int(request.query["n"][0])
        if request.method == "PUT":
            parts = [self.uploads.pop(f"{session}.{part}") for part in range(number)]
            data = b"".join(parts)
            if digest_of(data) != request.query["digest"][0]:
                await _send(stream, 400, b'{"errors":"digest"}')
                return
            self.put(data)
            await _send(stream, 201)
            return
        following = f"/v2/up/{session}?n={number + 1}"
        if self.redirects:
            goal = self._elsewhere(f"/part/{session}.{number}")
            headers = {"Location": goal, "Docker-Upload-Location": following}
            await _send(stream, 307, b"", headers)
        else:
            self.uploads[f"{session}.{number}"] = request.body
            await _send(stream, 202, b"", {"Location": following})

    def _elsewhere(self, path: str) -> str:
        return f"http://127.0.0.1:{self.storage_port}{path}"


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} X", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


async def _send(
    stream: SocketStream,
    status: int,
    body: bytes | None = b"",
    headers: Mapping[str, str] | None = None,
) -> None:
    """An answer in one piece; without a body at all when that is None."""
    length = {} if body is None else {"Content-Length": str(len(body))}
    await stream.send(_head(status, {**length, **(headers or {})}) + (body or b""))


async def _read(stream: SocketStream, storage_port: int) -> ReceivedRequest:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
        if data.startswith(b"\x16"):  # the beginning of a TLS handshake
            await stream.send(_head(400, {}))
            raise anyio.EndOfStream
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {}
    for text in lines:
        name, _, value = text.partition(": ")
        headers[name.lower()] = value
    gathered = bytearray(body)
    while len(gathered) < int(headers.get("content-length", 0)):
        gathered += await stream.receive()
    parts = urlsplit(target)
    storage = stream.extra(SocketAttribute.local_port) == storage_port
    query = parse_qs(parts.query, keep_blank_values=True)
    return ReceivedRequest(method, parts.path, query, headers, bytes(gathered), storage)


@asynccontextmanager
async def running_registry(**switches: Any) -> AsyncIterator[FakeRegistry]:
    """A registry that listens until the block ends."""
    registry = FakeRegistry(**switches)
    front = await anyio.create_tcp_listener(local_host="127.0.0.1")
    back = await anyio.create_tcp_listener(local_host="127.0.0.1")
    registry.port = front.extra(SocketAttribute.local_port)
    registry.storage_port = back.extra(SocketAttribute.local_port)
    async with front, back, anyio.create_task_group() as tasks:
        tasks.start_soon(front.serve, registry.serve)
        tasks.start_soon(back.serve, registry.serve)
        yield registry
        tasks.cancel_scope.cancel()
