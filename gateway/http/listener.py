"""The listening socket: it accepts clients until it is time to stop."""

import asyncio
import logging

import anyio
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config

from gateway.http.connection import Connection, HttpApp

log = logging.getLogger(__name__)

# This stands in place of Hypercorn's own `serve`, which does not let go: the socket of a client
# that has left stays open for the keep-alive time, a body that nobody reads holds its connection
# for ever, and from Python 3.12 on the end waits for the last client, however long it stays.

_LONGEST_STALL = 600.0
"""Seconds, as llama-server has it."""


async def listen(
    app: HttpApp, config: Config, stop: anyio.Event, *, stall: float = _LONGEST_STALL
) -> None:
    """Serve on the socket that `config` names until `stop`; then finish what was begun.

    After `stop` no new connection is taken, idle ones are closed at once, and requests have
    `config.graceful_timeout` seconds. A client that takes nothing of a reply for `stall` seconds
    loses it, for it holds a slot of a runner.
    """
    (listener,) = config.create_sockets().insecure_sockets
    context = WorkerContext(None)
    live: set[Connection] = set()

    async def serve(connection: Connection) -> None:
        live.add(connection)
        try:
            await connection.serve()
        except Exception:
            log.exception("a connection failed")  # and no other may fail with it
        finally:
            live.discard(connection)

    async with anyio.create_task_group() as connections:

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.start_soon(serve, Connection(app, config, context, reader, writer, stall))

        server = await asyncio.start_server(connected, sock=listener, backlog=config.backlog)
        try:
            await stop.wait()
        finally:
            # Without `wait_closed`, which from Python 3.12 on waits for the connections.
            server.close()
            # A copy: an idle connection may leave the set at once.
            for connection in list(live):
                connection.stop()
        connections.cancel_scope.deadline = anyio.current_time() + config.graceful_timeout
