"""The composition root: settings become collaborators, lifetimes nest, shutdown has an order."""

import gc
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import anyio
from anyio.to_thread import run_sync
from hypercorn.config import Config

from gateway import __version__
from gateway.address import Address, parse
from gateway.app import create_app
from gateway.errors import GatewayError
from gateway.http import request_log as logs
from gateway.http.guard import OriginPolicy
from gateway.http.listener import listen
from gateway.inference.launch import Defaults, cache_room, default_context
from gateway.services import Services
from gateway.settings import BadSetting, Settings, ignored, load
from gateway.store.library import Library
from gateway.store.responses import Responses
from runners import (
    Device,
    Devices,
    Engine,
    EngineEstimator,
    Limits,
    RunnerError,
    Scheduler,
    Supervisor,
    cache_folder,
    find,
    open_rundir,
)

log = logging.getLogger(__name__)

_FAREWELL = 1.0
"""Seconds for clients to hear that their replies end when the time to finish is over."""


def main() -> int:
    """Run the server until a signal stops it; 1 if it cannot start."""
    try:
        settings = load(os.environ)
        address = parse(settings.host)
        engine = find(settings.engine)
    except (BadSetting, GatewayError, RunnerError) as exc:
        return _fail(str(exc))
    # Only now: until the settings are read, nobody knows in which form lines are wanted.
    logs.setup(settings.debug, settings.log_json)
    try:
        anyio.run(_run, settings, address, engine)
    except OSError as exc:
        return _fail(f"listen tcp {address.bind}: {exc.strerror or exc}")
    return 0


def _fail(message: str) -> int:
    sys.stderr.write(f"Error: {message}\n")
    return 1


async def _run(settings: Settings, address: Address, engine: Engine) -> None:
    library = Library(settings.models.expanduser(), prune=not settings.noprune)
    await run_sync(library.prune)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        # A server that is started anew would have the last one's old connections in its way.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Bound before the devices are probed, so that a taken port is known at once.
        listener.bind((address.host, address.port))
        listener.listen(512)
        listener.setblocking(False)
        with open_rundir() as folder:
            scheduler = Scheduler(
                limits(settings),
                supervise=Supervisor(engine, folder, stall=settings.load_timeout),
                estimator=EngineEstimator(engine, cache_folder(os.environ) / "measured.json"),
                probe=Devices(engine),
            )
            # Opened before the server and closed after it: requests end before their runners.
            async with scheduler:
                services = Services(
                    library=library,
                    scheduler=scheduler,
                    engine=engine,
                    defaults=defaults(settings, scheduler.devices()),
                    no_cloud=settings.no_cloud,
                    responses=responses(settings, cache_folder(os.environ)),
                )
                await _serve(services, settings, address, listener)
                # The last requests may still have added to them.
                if services.responses is not None:
                    await run_sync(services.responses.close)


async def _serve(
    services: Services, settings: Settings, address: Address, listener: socket.socket
) -> None:
    bound = Address(address.host, listener.getsockname()[1])
    app: Any = create_app(services, OriginPolicy.of(settings.origins, loopback=bound.loopback))
    stop = anyio.Event()

    async def watch_signals() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
            async for number in received:
                # The first signal lets replies finish; whoever sends a second one will not wait.
                if stop.is_set():
                    os._exit(128 + number)
                log.info("stopping: %s", signal.Signals(number).name)
                stop.set()

    async def drain() -> None:
        await stop.wait()
        await anyio.sleep(settings.drain)
        # This ends the replies that are left, each in the form of its own API.
        services.scheduler.close()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch_signals)
        _announce(services, bound)
        # What is loaded by now stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        tasks.start_soon(drain)
        await listen(app, server_config(listener.detach(), settings.drain + _FAREWELL), stop)
        tasks.cancel_scope.cancel()


def _announce(services: Services, bound: Address) -> None:
    for name in ignored(os.environ):
        log.warning("%s means nothing to Paddock and is ignored", name)
    for device in services.scheduler.devices():
        log.info(
            "device %s: %s, %.1f GiB, %.1f GiB free",
            device.name,
            device.description,
            device.total / 2**30,
            device.free / 2**30,
        )
    engine = services.engine
    log.info("engine %s (%s) at %s", engine.version, engine.flavour, engine.server)
    log.info("models in %s", services.library.root)
    log.info("listening on %s (version %s)", bound.bind, __version__)


def server_config(descriptor: int, drain: float) -> Config:
    """Hypercorn's settings; it takes over the bound socket."""
    config = Config()
    config.bind = [f"fd://{descriptor}"]
    config.backlog = 512
    config.graceful_timeout = drain
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    # A connection that idles is cheap; one that is closed under a client costs it a retry.
    config.keep_alive_timeout = 75.0
    return config


def limits(settings: Settings) -> Limits:
    return Limits(
        runners=settings.max_loaded_models,
        queue=settings.max_queue,
        keep_alive=settings.keep_alive,
        overhead=settings.gpu_overhead,
        spread=settings.sched_spread,
    )


def defaults(settings: Settings, devices: tuple[Device, ...]) -> Defaults:
    """What the settings leave open goes by the memory there is."""
    return Defaults(
        context=settings.context_length or default_context(devices),
        cache_room=cache_room(devices),
        parallel=settings.num_parallel,
        cache_type=settings.kv_cache_type,
        flash_attention=settings.flash_attention,
        prompt_cache=settings.prompt_cache,
    )


def responses(settings: Settings, cache: Path) -> Responses | None:
    """Where replies are kept, if they are; the file is made when there is something to keep."""
    if not settings.store_responses:
        return None
    named = settings.responses_file
    return Responses(
        Path(named).expanduser() if named else cache / "responses.db",
        lifetime=settings.responses_lifetime,
        room=settings.responses_room << 20,
    )
