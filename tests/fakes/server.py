"""A gateway for tests: a real library, a real scheduler and scripted engines.

`open_gateway` is the app alone, asked through ASGI: for whole replies. `running_gateway` listens on
a loopback port: for streams, and for clients that leave.
"""

import hashlib
import json
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import anyio
import httpx
from anyio.abc import ByteStream, SocketAttribute
from starlette.applications import Starlette

from gateway import names
from gateway.app import create_app
from gateway.http.guard import OriginPolicy
from gateway.http.listener import listen
from gateway.inference.launch import Defaults
from gateway.serve import server_config
from gateway.services import Services
from gateway.store.create import create
from gateway.store.library import Library
from gateway.store.model import Model
from gateway.store.recipe import parse_recipe
from runners import GIB, MIB, Device, DeviceKind, Limits, Scheduler, Spec, Supervisor, find
from runners.build.scripted_model import CHATML, write
from runners.spec import Estimate
from runners.upstream import open_call
from tests.fakes.engine import fake_engine

PATIENCE = 20.0
DEFAULTS = Defaults(context=1024, parallel=2)
ONE_SLOT = Defaults(context=1024, parallel=1)
# A template that offers all there is to offer.
ABLE = "{%- if tools -%}<think></think>{%- endif -%}" + CHATML

_SAY = [{"role": "user", "content": "hi there"}]
STREAMS: Mapping[str, dict[str, Any]] = {
    "/api/chat": {"model": "m", "messages": _SAY},
    "/api/generate": {"model": "m", "prompt": "hi there"},
    "/v1/chat/completions": {"model": "m", "messages": _SAY, "stream": True},
    "/v1/completions": {"model": "m", "prompt": "hi there", "stream": True},
}
"""For every path that infers, a request for a streamed reply."""


def whole(path: str) -> dict[str, Any]:
    """The same request for a reply in one piece."""
    return {**STREAMS[path], "stream": False}


class Estimates:
    """Every model needs two MiB, one of them wherever it runs; this is known beforehand."""

    def known(self, spec: Spec) -> Estimate:
        return Estimate(gpu=MIB, host=MIB, exact=True)

    async def __call__(self, spec: Spec) -> Estimate:
        return self.known(spec)


@dataclass(frozen=True, slots=True)
class Machine:
    """Eight GiB of memory, and these GPUs."""

    gpus: tuple[Device, ...] = ()

    def __call__(self) -> tuple[Device, ...]:
        return (Device("CPU", DeviceKind.CPU, 8 * GIB, 8 * GIB, "host memory"), *self.gpus)

    async def refresh(self) -> None:
        """Nothing changes."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """The collaborators behind one app, and ways to look at them."""

    services: Services
    app: Starlette
    client: httpx.AsyncClient
    folder: Path
    """Where the engines listen, each on `<number>.sock`."""
    port: int = 0

    @property
    def scheduler(self) -> Scheduler:
        return self.services.scheduler

    def blob(self, pieces: Sequence[str], **more: Any) -> str:
        """Store a scripted GGUF; its digest."""
        blobs = self.services.library.blobs
        path = self.folder / "new.gguf"
        write(path, pieces, **more)
        data = path.read_bytes()
        path.unlink()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if not blobs.exists(digest):
            with blobs.writer(digest) as out:
                out.write(data)
                out.commit()
        return digest

    def add(
        self,
        name: str = "m",
        *,
        pieces: Sequence[str] = ("Hi ",),
        template: str | None = CHATML,
        layer: str = "",
        metadata: dict[str, Any] | None = None,
        behaviour: Sequence[str] = (),
        **recipe: Any,
    ) -> Model:
        """Create a model from a scripted GGUF with this chat template and TEMPLATE layer.

        `behaviour` is for its engine alone.
        """
        library = self.services.library
        digest = self.blob(pieces, template=template, metadata=metadata)
        body = {"files": {"m.gguf": digest}, "template": layer, **recipe}
        create(library, names.parse(name), parse_recipe(body))
        model = library.get(names.parse(name))
        if behaviour:
            Path(f"{model.weights}.behaviour").write_text(json.dumps(list(behaviour)))
        return model

    async def engine(self) -> dict[str, Any]:
        """What the engine that was started last has seen so far."""
        number = self.scheduler.snapshot().runners[-1].id
        async with open_call(self.folder / f"{number}.sock", "/fake") as upstream:
            return cast(dict[str, Any], json.loads(await upstream.read_all()))

    async def engine_when(self, **counts: int) -> dict[str, Any]:
        """The same, as soon as it has these counts."""
        with anyio.fail_after(PATIENCE):
            while True:
                seen = await self.engine()
                if counts.items() <= seen.items():
                    return seen

    async def until(self, seen: Callable[[], bool]) -> None:
        """Let everybody else go on until `seen`."""
        with anyio.fail_after(PATIENCE):
            while not seen():
                await anyio.lowlevel.checkpoint()

    def leases(self) -> int:
        return sum(runner.leases for runner in self.scheduler.snapshot().runners)

    def waiting(self) -> int:
        return self.scheduler.snapshot().waiting

    @asynccontextmanager
    async def connect(self, buffer: int = 0) -> AsyncIterator["Raw"]:
        """A connection of its own; it is closed, heard out or not, when the block ends.

        buffer: bytes that the system keeps for it unread, if not as many as usual.
        """
        async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
            if buffer:
                own = stream.extra(SocketAttribute.raw_socket)
                own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            yield Raw(stream)


class Raw:
    """One connection to a gateway, byte by byte."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.received = b""

    async def post(self, path: str, value: Any) -> None:
        body = json.dumps(value).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        await self._stream.send(head.encode() + body)

    async def until(self, mark: bytes) -> bytes:
        """Everything received so far, as soon as `mark` is in it."""
        with anyio.fail_after(PATIENCE):
            while mark not in self.received:
                self.received += await self._stream.receive()
        return self.received

    async def leave(self) -> None:
        await self._stream.aclose()


@asynccontextmanager
async def open_gateway(
    *behaviour: str,
    limits: Limits | None = None,
    defaults: Defaults = DEFAULTS,
    policy: OriginPolicy | None = None,
    gpus: tuple[Device, ...] = (),
    no_cloud: bool = False,
) -> AsyncIterator[Gateway]:
    """An app whose engines behave so; see `Plan` in tests/fakes/engine.py for the flags."""
    # Not pytest's folder: the path of a socket holds about 100 bytes.
    with tempfile.TemporaryDirectory(prefix="gw") as name:
        folder = Path(name)
        engine = find(str(fake_engine(folder / "engine", *behaviour)))
        scheduler = Scheduler(
            limits or Limits(),
            supervise=Supervisor(engine, folder, grace=0.3),
            estimator=Estimates(),
            probe=Machine(gpus),
        )
        async with scheduler:
            library = Library(folder / "models")
            services = Services(library, scheduler, engine, defaults, no_cloud)
            app = create_app(services, policy or OriginPolicy.of((), loopback=True))
            transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
            base = "http://localhost"
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                yield Gateway(services, app, client, folder)
            scheduler.validate()


@asynccontextmanager
async def running_gateway(*behaviour: str, **more: Any) -> AsyncIterator[Gateway]:
    """The same, listening on a loopback port until the block ends."""
    async with open_gateway(*behaviour, **more) as gateway:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        # Clients that do not read are felt after kilobytes, not megabytes.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 15)
        port = listener.getsockname()[1]
        stop = anyio.Event()
        config = server_config(listener.detach(), drain=1.0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen, gateway.app, config, stop)
            url = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
                yield replace(gateway, client=client, port=port)
            stop.set()
