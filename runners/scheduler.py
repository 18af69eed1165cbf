"""The live picture: runners and waiters, and the machinery that carries `plan` out.

State changes only in synchronous code, followed by `_replan`; between two awaits nothing else
runs, so there are no locks. Nothing here decides anything.
"""

import itertools
import logging
import math
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from types import TracebackType

import anyio
from anyio.abc import TaskGroup

from runners.devices import Probe
from runners.errors import Busy, Crashed, RunnerError, Stopped
from runners.measure import Oracle
from runners.plan import (
    Action,
    Cooling,
    Grant,
    Measure,
    Reject,
    RunnerView,
    Start,
    Stop,
    View,
    Waiter,
    Wake,
    cooling_for,
    plan,
)
from runners.records import Lease, Runner, RunnerInfo, Snapshot, Waiting, held
from runners.spec import Device, Estimate, Kind, Limits, Placement, Spec
from runners.states import State, step
from runners.supervise import Endpoint, Supervise

log = logging.getLogger(__name__)

_SERVING = (State.STARTING, State.READY)
_STABLE = 10.0
"""Seconds a runner must have been ready for earlier failures to be forgotten."""


class Scheduler:
    """Grants leases; starts and stops runners. Use as an async context manager."""

    def __init__(
        self,
        limits: Limits,
        *,
        supervise: Supervise,
        oracle: Oracle,
        probe: Probe,
        clock: Callable[[], float] = time.monotonic,
        policy: Callable[[View], list[Action]] = plan,
    ) -> None:
        self._limits = limits
        self._supervise = supervise
        self._oracle = oracle
        self._probe = probe
        self._clock = clock
        self._policy = policy
        self._ids = itertools.count(1)
        self._runners: dict[int, Runner] = {}
        self._waiting: dict[int, Waiting] = {}
        self._estimates: dict[Spec, Estimate] = {}
        self._measuring: set[Spec] = set()
        self._held: Counter[str] = Counter()
        """Bytes of each device that our own runners had when the GPUs were last looked at."""
        self._failures: dict[Spec, int] = {}
        self._cooling: dict[Spec, Cooling] = {}
        self._story: deque[tuple[float, str]] = deque(maxlen=500)
        self._tasks: TaskGroup | None = None
        self._alarm = anyio.Event()
        self._due = math.inf
        """When the plan wants to be asked again."""
        self._closing = False

    # Life

    async def __aenter__(self) -> "Scheduler":
        await self._look()
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._keep_time)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        """Close, and reap every child."""
        assert self._tasks is not None
        self.close()
        with anyio.CancelScope(shield=True):
            for runner in list(self._runners.values()):
                await runner.gone.wait()
        self._tasks.cancel_scope.cancel()
        return await self._tasks.__aexit__(kind, exc, trace)

    def close(self) -> None:
        """Reject who waits, end the calls of who is served, and ask every child to stop."""
        self._closing = True
        for waiting in list(self._waiting.values()):
            self._settle(waiting, error=Stopped("the server is stopping"))
        for runner in list(self._runners.values()):
            if runner.state in _SERVING:
                self._apply(Stop(runner.id, "the server is stopping"))
            for call in list(runner.calls):
                call.close()

    # Leases

    @asynccontextmanager
    async def lease(self, spec: Spec, keep_alive: float | None = None) -> AsyncIterator[Lease]:
        """Wait for a slot of a runner of `spec` and hold it while the block runs.

        keep_alive: seconds the runner stays when idle, from now on; None leaves that as it is.
        Raises Busy, TooLarge, StartFailed, CoolingDown or Stopped.
        """
        waiting = self._enqueue(spec, keep_alive)
        try:
            await waiting.settled.wait()
            if waiting.error is not None:
                raise waiting.error
            assert waiting.runner is not None
            runner = waiting.runner
            waited = self._clock() - waiting.arrived
            fresh = runner.ready_at is not None and runner.ready_at > waiting.arrived
            loaded = runner.endpoint.seconds if fresh and runner.endpoint else 0.0
            yield Lease(runner, waited, min(loaded, waited))
        finally:
            self._release(waiting)

    def expire(self, digest: str) -> bool:
        """Let the runners of these weights go as soon as they are idle; whether there were any."""
        mine = [
            runner
            for runner in self._runners.values()
            if runner.spec.digest == digest and runner.state in _SERVING
        ]
        for runner in mine:
            runner.keep_alive = 0.0
        self._replan()
        return bool(mine)

    # Looking

    def snapshot(self) -> Snapshot:
        now = self._clock()
        return Snapshot(
            tuple(self._info(runner) for runner in self._runners.values()),
            len(self._waiting),
            now,
        )

    def specs(self) -> list[Spec]:
        """Of the runners there are, in whatever state; without the cost of a snapshot."""
        return [runner.spec for runner in self._runners.values()]

    def devices(self) -> tuple[Device, ...]:
        return self._probe()

    def story(self) -> list[tuple[float, str]]:
        """The last few hundred actions with their reasons."""
        return list(self._story)

    def validate(self) -> None:
        """Assert that the world is consistent; tests end with it."""
        live: dict[Spec, int] = {}
        for runner in self._runners.values():
            assert runner.state is not State.GONE
            assert len(runner.leases) <= runner.spec.parallel
            assert not runner.leases or runner.state is not State.STARTING
            if runner.state in _SERVING:
                live[runner.spec] = live.get(runner.spec, 0) + 1
        assert all(count == 1 for count in live.values()), live
        assert all(not waiting.settled.is_set() for waiting in self._waiting.values())

    def _info(self, runner: Runner) -> RunnerInfo:
        endpoint = runner.endpoint
        return RunnerInfo(
            id=runner.id,
            spec=runner.spec,
            state=runner.state,
            placement=runner.placement,
            leases=len(runner.leases),
            keep_alive=self._keep_alive(runner),
            expires=self._expires(runner),
            pid=endpoint.pid if endpoint else None,
            load_seconds=endpoint.seconds if endpoint else None,
        )

    # State, changed in synchronous code only

    def _enqueue(self, spec: Spec, keep_alive: float | None) -> Waiting:
        if self._closing:
            raise Stopped("the server is stopping")
        if len(self._waiting) >= self._limits.queue:
            raise Busy("server busy, please try again.  maximum pending requests exceeded")
        waiting = Waiting(next(self._ids), spec, self._clock(), keep_alive)
        self._waiting[waiting.id] = waiting
        self._replan()
        return waiting

    def _release(self, waiting: Waiting) -> None:
        """The one way out: queued, granted in this very tick, or done."""
        self._waiting.pop(waiting.id, None)
        if runner := waiting.runner:
            runner.leases.discard(waiting.id)
            if not runner.leases:
                runner.idle_since = runner.last_used = self._clock()
        if not self._closing:
            self._replan()

    def _settle(
        self, waiting: Waiting, *, runner: Runner | None = None, error: RunnerError | None = None
    ) -> None:
        self._waiting.pop(waiting.id, None)
        waiting.runner, waiting.error = runner, error
        waiting.settled.set()

    def _replan(self) -> None:
        """Right at any time; called after every change."""
        if self._closing:
            return
        for action in self._policy(self._view()):
            self._apply(action)

    def _view(self) -> View:
        waiters = tuple(Waiter(w.id, w.spec, w.arrived) for w in self._waiting.values())
        homeless = self._homeless(waiters)
        for spec in homeless:
            if spec not in self._estimates and (known := self._oracle.known(spec)):
                self._estimates[spec] = known
        return View(
            runners=tuple(self._runner_view(runner) for runner in self._runners.values()),
            waiters=waiters,
            devices=self._devices() if homeless else (),
            limits=self._limits,
            now=self._clock(),
            estimates=self._estimates,
            measuring=frozenset(self._measuring),
            cooling=self._cooling,
        )

    def _homeless(self, waiters: Iterable[Waiter]) -> list[Spec]:
        """What a runner would have to be started for; memory matters to nobody else."""
        served = [r.spec for r in self._runners.values() if r.state in _SERVING]
        return [waiter.spec for waiter in waiters if waiter.spec not in served]

    def _devices(self) -> tuple[Device, ...]:
        """The probe's, with its old picture of the GPUs corrected by what we did since."""
        now = held(r for r in self._runners.values() if r.state is not State.STARTING)
        return tuple(
            device
            if device.kind is Kind.CPU
            else replace(device, free=device.free + self._held[device.name] - now[device.name])
            for device in self._probe()
        )

    def _runner_view(self, runner: Runner) -> RunnerView:
        return RunnerView(
            id=runner.id,
            spec=runner.spec,
            state=runner.state,
            placement=runner.placement,
            leases=len(runner.leases),
            last_used=runner.last_used,
            expires=self._expires(runner),
        )

    def _keep_alive(self, runner: Runner) -> float:
        return self._limits.keep_alive if runner.keep_alive is None else runner.keep_alive

    def _expires(self, runner: Runner) -> float | None:
        if runner.idle_since is None or runner.leases or runner.state is not State.READY:
            return None
        return runner.idle_since + self._keep_alive(runner)

    # Actions

    def _apply(self, action: Action) -> None:
        match action:
            case Grant(waiter, runner):
                self._grant(self._waiting[waiter], self._runners[runner])
            case Reject(waiter, error):
                self._tell(f"reject request {waiter}: {error.message}")
                self._settle(self._waiting[waiter], error=error)
            case Start(spec, placement, why):
                self._start(spec, placement, why)
            case Stop(number, why):
                runner_ = self._runners[number]
                self._tell(f"stop {runner_}: {why}")
                runner_.state = step(runner_.state, State.STOPPING)
                runner_.stop.set()
            case Measure(spec):
                self._measuring.add(spec)
                self._soon(self._measure, spec)
            case Wake(at) if at < self._due:
                self._due = at
                self._alarm.set()

    def _grant(self, waiting: Waiting, runner: Runner) -> None:
        runner.leases.add(waiting.id)
        runner.idle_since = None
        if waiting.keep_alive is not None:
            runner.keep_alive = waiting.keep_alive
        self._settle(waiting, runner=runner)

    def _start(self, spec: Spec, placement: Placement, why: str) -> None:
        runner = Runner(next(self._ids), spec, placement, last_used=self._clock())
        self._runners[runner.id] = runner
        where = ", ".join(f"{size >> 20} MiB of {name}" for name, size in placement.shares if size)
        self._tell(f"start {runner} on {where}: {why}")
        self._soon(self._live, runner)

    def _soon(self, work: Callable[..., Coroutine[object, object, None]], *args: object) -> None:
        assert self._tasks is not None, "use `async with Scheduler(...)`"
        self._tasks.start_soon(work, *args)

    def _tell(self, text: str) -> None:
        self._story.append((self._clock(), text))
        log.info(text)

    # Tasks

    async def _live(self, runner: Runner) -> None:
        def ready(endpoint: Endpoint) -> None:
            if runner.state is not State.STARTING:
                return  # asked to stop in the same moment
            runner.state = step(runner.state, State.READY)
            runner.endpoint = endpoint
            runner.ready_at = runner.idle_since = runner.last_used = self._clock()
            self._tell(f"ready {runner} after {endpoint.seconds:.3f} s, pid {endpoint.pid}")
            self._replan()

        try:
            runner.ending = await self._supervise(
                runner.id, runner.spec, runner.placement, ready, runner.stop
            )
            runner.ended.set()
            if runner.ready_at is not None and self._clock() - runner.ready_at >= _STABLE:
                self._failures.pop(runner.spec, None)
            was = runner.state
            if was is not State.STOPPING:
                runner.state = step(runner.state, State.STOPPING)
                self._ended_early(runner, was)
            if runner.placement.devices and not self._closing:
                # A driver gives memory back some moments after the process is gone.
                await self._look()
        finally:
            runner.state = step(runner.state, State.GONE)
            del self._runners[runner.id]
            runner.ended.set()
            runner.gone.set()
        self._replan()

    def _ended_early(self, runner: Runner, was: State) -> None:
        error = runner.ending or Crashed("the runner ended")
        self._tell(f"lost {runner} while {was.value}: {error.message}")
        count = self._failures[runner.spec] = self._failures.get(runner.spec, 0) + 1
        if pause := cooling_for(count):
            self._cooling[runner.spec] = Cooling(self._clock() + pause, error.message)
        if was is State.STARTING:
            for waiting in list(self._waiting.values()):
                if waiting.spec == runner.spec:
                    self._settle(waiting, error=error)

    async def _look(self) -> None:
        await self._probe.refresh()
        self._held = held(r for r in self._runners.values() if not r.ended.is_set())

    async def _measure(self, spec: Spec) -> None:
        try:
            self._estimates[spec] = await self._oracle(spec)
        finally:
            self._measuring.discard(spec)
        self._replan()

    async def _keep_time(self) -> None:
        """Ask the plan again at the moment it named."""
        while True:
            self._alarm = anyio.Event()
            with anyio.move_on_after(self._due - self._clock()):
                await self._alarm.wait()
                continue
            self._due = math.inf
            self._replan()
