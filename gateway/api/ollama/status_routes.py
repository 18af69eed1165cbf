"""Whether we are there, which version, and what is loaded."""

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from gateway import OLLAMA_VERSION, __version__
from gateway.api.ollama.show import details, timestamp
from gateway.api.reply import json_reply
from gateway.services import Services, services_of
from runners import DeviceKind, RunnerInfo, RunnerState, resident

_FOREVER = 1 << 63
"""Nanoseconds of Go's longest duration, 292 years: what Ollama adds to now for 'never'."""


async def root(request: Request) -> Response:
    """Clients look for these very words."""
    return PlainTextResponse("Ollama is running")


async def version(request: Request) -> Response:
    """Ollama's version for its clients, ours and the engine's beside it."""
    engine = services_of(request).engine
    return json_reply(
        {
            "version": OLLAMA_VERSION,
            "paddock": __version__,
            "engine": {"version": engine.version, "flavour": engine.flavour},
        }
    )


async def cloud(request: Request) -> Response:
    """There is no cloud; the environment may say so as well."""
    off = services_of(request).no_cloud
    return json_reply({"cloud": {"disabled": True, "source": "env" if off else "none"}})


async def ps(request: Request) -> Response:
    """What is loaded, the longest-lived first."""
    there = services_of(request)
    snapshot = there.scheduler.snapshot()
    ready = [runner for runner in snapshot.runners if runner.state is RunnerState.READY]
    rows = [row for runner in ready if (row := _row(there, runner, snapshot.now))]
    rows.sort(key=lambda row: -row[0])
    return json_reply({"models": [row for _, row in rows]})


def _row(there: Services, runner: RunnerInfo, now: float) -> tuple[int, dict[str, Any]] | None:
    model = there.models.loaded.get(runner.spec)
    if model is None:
        return None
    left = runner.keep_alive if runner.expires is None else runner.expires - now
    expires = time.time_ns() + min(_FOREVER, int(min(left, 1e10) * 1e9))
    gpus = {d.name for d in there.scheduler.devices() if d.kind is DeviceKind.GPU}
    vram = sum(size for name, size in runner.placement.shares if name in gpus)
    held = resident(runner.pid) if runner.pid else 0
    return expires // 10**9, {
        "name": model.name.short,
        "model": model.name.short,
        "size": vram + held,
        "digest": model.digest,
        "details": details(model.config, ""),
        "expires_at": timestamp(expires),
        "size_vram": vram,
        "context_length": runner.spec.context,
    }
