"""A lease of a runner, calls on it, and the reply on its way to the client.

One object owns all of it for as long as it lasts, inside one task group with a watcher of the
client. When the client leaves, be it in the queue, during a load, while the prompt is processed or
in the middle of a word, the group is cancelled: the connection to the engine closes, the lease is
given back, and nothing is left to a garbage collector.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.errors import GatewayError
from gateway.http.http1 import SEND_NOW, SendNow
from gateway.http.request_log import RequestRecord
from gateway.inference.errors import client_message, status_of
from gateway.inference.types import Attempt, Encoder
from gateway.llama.errors import EngineError, from_refusal
from gateway.llama.sse import RestartNeeded
from runners import Lease, Refused, RunnerError, Scheduler, Spec, Upstream

Prepare = Callable[[Lease], Awaitable[Attempt | bytes]]
"""The first call; or, after queries of the runner, the whole reply already."""

Recover = Callable[[Lease, Attempt, EngineError | RestartNeeded], Awaitable[Attempt | None]]
"""Another call for one that was refused, or that cannot go on; None: there is none."""

Finish = Callable[[Lease, Attempt], Awaitable[None]]
"""Queries of the runner when the reply has come to its end."""


@dataclass(frozen=True, slots=True)
class Work:
    """What has to be done for one reply. `keep_alive`: of the runner afterwards, seconds."""

    spec: Spec
    keep_alive: float | None
    prepare: Prepare
    encoder: Encoder
    record: RequestRecord
    recover: Recover | None = None
    finish: Finish | None = None


class GenerationResponse(Response):
    """An ASGI response that does the work while it is sent.

    An error before there is content is raised, for the app to answer with its status.
    """

    def __init__(self, scheduler: Scheduler, work: Work) -> None:
        self.background = None  # which Starlette looks for on any response
        self._scheduler = scheduler
        self._work = work
        self._begun = False
        self._send_now: SendNow | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._send_now = scope.get("extensions", {}).get(SEND_NOW)
        error: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel_on_disconnect, receive, tasks.cancel_scope)
            try:
                last = await self._generate(send)
                await self._send(send, last, more=False)
            except (RunnerError, GatewayError, EngineError) as exc:
                if self._begun:
                    # The status has gone out: the body is the only place that is left for it.
                    self._work.record.error = message = client_message(exc)
                    ending = self._work.encoder.failure(message, status_of(exc))
                    await self._send(send, ending, more=False)
                else:
                    error = exc
            # The watcher would wait for the client to leave.
            tasks.cancel_scope.cancel()
        # Not within the group, which would wrap it in an ExceptionGroup.
        if error is not None:
            raise error

    async def _generate(self, send: Send) -> bytes:
        """What remains to be sent; by then the slot is free for others."""
        work = self._work
        async with self._scheduler.lease(work.spec, work.keep_alive) as lease:
            work.record.queue, work.record.load = lease.waited - lease.loaded, lease.loaded
            work.encoder.assigned()
            attempt = await work.prepare(lease)
            while not isinstance(attempt, bytes):
                try:
                    last = await self._call(lease, attempt, send)
                except (EngineError, RestartNeeded) as failure:
                    # Text from before the restart: it stays, and the next call goes on from it.
                    if isinstance(failure, RestartNeeded) and failure.output:
                        await self._send(send, failure.output, more=True)
                    again = await work.recover(lease, attempt, failure) if work.recover else None
                    if again is None:
                        raise
                    attempt = again
                else:
                    usage = work.encoder.usage
                    work.record.tokens = usage.completion_tokens
                    if usage.completion_seconds > 0:
                        work.record.rate = usage.completion_tokens / usage.completion_seconds
                    return last
        return attempt

    async def _call(self, lease: Lease, attempt: Attempt, send: Send) -> bytes:
        """Relay the reply to one call, up to what remains to be sent at its end."""
        work, call = self._work, attempt.call
        if attempt.state.dropped_messages or attempt.state.dropped_tokens:
            work.record.truncated = attempt.state.truncated
        work.encoder.start(attempt.reader)
        try:
            async with lease.open(call.path, call.body) as upstream:
                await self._relay(upstream, send)
        except Refused as exc:
            raise from_refusal(exc) from exc
        if work.finish is not None:
            await work.finish(lease, attempt)
        return work.encoder.flush()

    async def _relay(self, upstream: Upstream, send: Send) -> None:
        """The path of a token: from one socket's callback into the other socket."""
        # The listener lends `send_now` for it: a task, a queue and the middleware between the two
        # sockets cost more than all that is done with a token. The head, and what the client has no
        # room for, take the long way, and wait.
        feed, send_now = self._work.encoder.feed, self._send_now
        held, roomy = b"", False

        def take(data: bytes) -> bool:
            nonlocal held, roomy
            if not (out := feed(data)):
                return True
            if roomy and send_now is not None:
                roomy = send_now(out)
                return True
            held = out
            return False

        while await upstream.flow(take):
            await self._send(send, held, more=True)
            roomy = True

    async def _send(self, send: Send, data: bytes, *, more: bool) -> None:
        # The head is held back until there is content, so that an error until then, in the middle
        # of a long prompt too, still has its own status.
        if not self._begun:
            self._begun = True
            if more:
                self._work.record.first = time.perf_counter() - self._work.record.began
            media_type = self._work.encoder.media_type
            headers = [(b"content-type", media_type.encode())]
            if not more:
                headers.append((b"content-length", str(len(data)).encode()))
            if media_type == "text/event-stream":
                headers.append((b"cache-control", b"no-cache"))
            if truncated := self._work.record.truncated:
                headers.append((b"x-paddock-truncated", truncated.encode()))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": data, "more_body": more})


async def cancel_on_disconnect(receive: Receive, scope: anyio.CancelScope) -> None:
    """Cancel `scope` when the client leaves."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
