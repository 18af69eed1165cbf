"""Whether we are there, which version, and what is loaded."""

import time

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from gateway import OLLAMA_VERSION, __version__
from gateway.api.ollama.show import details, timestamp
from gateway.api.reply import json_reply
from gateway.services import services_of
from runners import DeviceKind, RunnerState, resident

_FOREVER = 1 << 63
"""Nanoseconds of Go's longest duration, 292 years: what Ollama adds to now for 'never'."""


async def root(http: Request) -> Response:
    # Clients look for these very words to see whether a server is there.
    return PlainTextResponse("Ollama is running")


async def version(http: Request) -> Response:
    # Ollama's own version, for clients decide by it what they may send; ours stands beside it.
    engine = services_of(http).engine
    return json_reply(
        {
            "version": OLLAMA_VERSION,
            "paddock": __version__,
            "engine": {"version": engine.version, "flavour": engine.flavour},
        }
    )


async def cloud(http: Request) -> Response:
    """There is no cloud; the environment may say so as well."""
    off = services_of(http).no_cloud
    return json_reply({"cloud": {"disabled": True, "source": "env" if off else "none"}})


async def ps(http: Request) -> Response:
    """What is loaded, the longest-lived first."""
    services = services_of(http)
    snapshot = services.scheduler.snapshot()
    gpus = {d.name for d in services.scheduler.devices() if d.kind is DeviceKind.GPU}
    rows: list[tuple[int, dict[str, object]]] = []
    for runner in snapshot.runners:
        model = services.models.loaded.get(runner.spec)
        if runner.state is not RunnerState.READY or model is None:
            continue
        # A runner in use has no time to expire at: its keep-alive begins when the last lease ends.
        left = runner.keep_alive if runner.expires is None else runner.expires - snapshot.now
        expires = time.time_ns() + min(_FOREVER, int(min(left, 1e10) * 1e9))
        vram = sum(size for name, size in runner.placement.shares if name in gpus)
        ram = resident(runner.pid) if runner.pid else 0
        row: dict[str, object] = {
            "name": model.name.short,
            "model": model.name.short,
            "size": vram + ram,
            "digest": model.digest,
            "details": details(model.config, ""),
            "expires_at": timestamp(expires),
            "size_vram": vram,
            "context_length": runner.spec.context,
        }
        # By whole seconds: of runners that expire at once, the order of their start stays.
        rows.append((expires // 10**9, row))
    rows.sort(key=lambda pair: -pair[0])
    return json_reply({"models": [row for _, row in rows]})
