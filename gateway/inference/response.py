"""The use case: a lease for a Spec, a call on its runner, and the reply on its way to the client.

One object owns all of it for as long as it lasts, inside one task group with a watcher of the
client. When the client leaves, be it in the waiting line, during a load, in prefill or in the
middle of a word, the group is cancelled: the connection to the engine closes, the lease is given
back, and nothing is left to a garbage collector.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.errors import GatewayError
from gateway.http.http1 import PASS_ON, PassOn
from gateway.http.request_log import Facts
from gateway.inference.types import Call, Encoder, EngineError, Restart
from runners import Lease, Refused, RunnerError, Scheduler, Spec, Upstream

Prepare = Callable[[Lease], Awaitable[Call | bytes]]
"""What to ask of the runner; or, after a look at it, the whole reply already."""

Retry = Callable[[Lease, Refused | Restart], Awaitable[Call | None]]
"""What to ask instead of a call that was refused, or that cannot go on; None: nothing else."""

Finish = Callable[[Lease], Awaitable[None]]
"""What is still to be asked of the runner when the reply has come to its end."""

Status = Callable[[Exception], int]


@dataclass(frozen=True, slots=True)
class Work:
    """What a route wants done."""

    spec: Spec
    keep_alive: float | None
    prepare: Prepare
    encoder: Encoder
    facts: Facts
    retry: Retry | None = None
    finish: Finish | None = None


class Answer(Response):
    """An ASGI response that does the work while it is sent.

    The head is held back until there is something to say, so an error until then, in the middle
    of a long prefill too, still has its own status: it is raised for the app to answer.
    """

    def __init__(self, scheduler: Scheduler, work: Work, status_of: Status) -> None:
        self.scheduler = scheduler
        self.work = work
        self.status_of = status_of
        self.background = None
        self._begun = False
        self._pass: PassOn | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._pass = scope.get("extensions", {}).get(PASS_ON)
        error: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_watch, receive, tasks.cancel_scope)
            error = await self._answer(send)
            tasks.cancel_scope.cancel()
        if error is not None:
            raise error

    async def _answer(self, send: Send) -> Exception | None:
        """The error, if there was one in time to be answered by itself."""
        try:
            last = await self._infer(send)
            await self._say(send, last, more=False)
        except (RunnerError, GatewayError, EngineError) as exc:
            if not self._begun:
                return exc
            self.work.facts.error = str(exc)
            ending = self.work.encoder.failure(str(exc), self.status_of(exc))
            await self._say(send, ending, more=False)
        return None

    async def _infer(self, send: Send) -> bytes:
        """What remains to be said; by then the slot is somebody else's."""
        work = self.work
        async with self.scheduler.lease(work.spec, work.keep_alive) as lease:
            work.facts.queue, work.facts.load = lease.waited - lease.loaded, lease.loaded
            work.encoder.assigned()
            call = await work.prepare(lease)
            if isinstance(call, bytes):
                return call
            while True:
                try:
                    last = await self._ask(lease, call, send)
                    break
                except (Refused, Restart) as exc:
                    call = await self._instead(lease, exc, send)
        self._count()
        return last

    async def _ask(self, lease: Lease, call: Call, send: Send) -> bytes:
        """Relay the reply to `call`, up to what remains to be said at its end."""
        async with lease.open(call.path, call.body) as upstream:
            await self._relay(upstream, send)
        if self.work.finish is not None:
            await self.work.finish(lease)
        return self.work.encoder.flush()

    async def _instead(self, lease: Lease, reason: Refused | Restart, send: Send) -> Call:
        """Another call, for one that was refused or cannot go on."""
        if isinstance(reason, Restart) and reason.said:
            await self._say(send, reason.said, more=True)
        retry = self.work.retry
        if retry is None or (call := await retry(lease, reason)) is None:
            raise reason
        return call

    async def _relay(self, upstream: Upstream, send: Send) -> None:
        """The path of a token: from one socket to the other, where the server lends its own.

        The head, and what the client has no room for, go the long way.
        """
        feed, pass_on = self.work.encoder.feed, self._pass
        held, roomy = b"", False

        def take(data: bytes) -> bool:
            nonlocal held, roomy
            if not (out := feed(data)):
                return True
            if roomy and pass_on is not None:
                roomy = pass_on(out)
                return True
            held = out
            return False

        while await upstream.flow(take):
            await self._say(send, held, more=True)
            roomy = True

    async def _say(self, send: Send, data: bytes, *, more: bool) -> None:
        if not self._begun:
            self._begun = True
            if more:
                self.work.facts.first = time.perf_counter() - self.work.facts.began
            await send(self._head(None if more else len(data)))
        await send({"type": "http.response.body", "body": data, "more_body": more})

    def _head(self, length: int | None) -> dict[str, object]:
        media_type = self.work.encoder.media_type
        headers = [(b"content-type", media_type.encode())]
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        if media_type == "text/event-stream":
            headers.append((b"cache-control", b"no-cache"))
        if cut := self.work.facts.cut:
            headers.append((b"x-paddock-truncated", cut.encode()))
        return {"type": "http.response.start", "status": 200, "headers": headers}

    def _count(self) -> None:
        tally, facts = self.work.encoder.tally, self.work.facts
        facts.tokens = tally.tokens
        if tally.seconds > 0:
            facts.rate = tally.tokens / tally.seconds


async def _watch(receive: Receive, scope: anyio.CancelScope) -> None:
    """Cancel `scope` when the client leaves."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
