"""Hypercorn's connections on a socket of ours, until it is time to stop.

Hypercorn's own `serve` does not let go: the socket of a client that has left stays open for the
keep-alive time, and from Python 3.12 on the end waits for the last client, however long it stays.
"""

import asyncio
import logging
from typing import Any

import anyio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config

log = logging.getLogger(__name__)


class Connection(TCPServer):
    """One client's. Nobody waits for the next request of a client that has left."""

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()

    async def _idle_timeout(self) -> None:
        if not self.reader.at_eof():
            await super()._idle_timeout()


async def listen(app: Any, config: Config, stop: anyio.Event) -> None:
    """Serve on the socket that `config` names until `stop`; then finish what was begun.

    After `stop` no new connection is taken, idle ones are closed at once, and requests have
    `config.graceful_timeout` seconds.
    """
    (listener,) = config.create_sockets().insecure_sockets
    loop = asyncio.get_running_loop()
    context = WorkerContext(None)
    wrapped: Any = ASGIWrapper(app)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await Connection(wrapped, loop, config, context, {}, reader, writer)
        except Exception:
            log.exception("a connection failed")  # and no other shall fail with it

    async with anyio.create_task_group() as connections:

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.start_soon(serve, reader, writer)

        server = await asyncio.start_server(connected, sock=listener, backlog=config.backlog)
        try:
            await stop.wait()
        finally:
            server.close()
            await context.terminated.set()
        connections.cancel_scope.deadline = anyio.current_time() + config.graceful_timeout
