"""The runners and pending leases there are, and the machinery that carries `plan` out.

State changes only in synchronous code, followed by `_replan`; between two awaits nothing else
runs, so there are no locks. What to start, stop and grant is for `plan` to decide. Decided here: a
full queue, when a model's failures are forgotten, and which requests one of them ends.
"""

import itertools
import logging
import math
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from types import TracebackType

import anyio
from anyio.abc import TaskGroup

from runners.devices import Probe
from runners.errors import Busy, Crashed, RunnerError, Stopped
from runners.estimate import Estimator
from runners.lease import Lease, PendingLease
from runners.plan import (
    Action,
    Backoff,
    EstimateSpec,
    GrantLease,
    PendingView,
    RejectLease,
    RunnerView,
    StartRunner,
    StopRunner,
    View,
    WakeAt,
    backoff_seconds,
    plan,
)
from runners.runner import Runner, RunnerInfo, Snapshot, allocated
from runners.spec import Device, DeviceKind, Estimate, Limits, Spec
from runners.states import RunnerState, step
from runners.supervise import Endpoint, Supervise

log = logging.getLogger(__name__)

_WANTED = (RunnerState.STARTING, RunnerState.READY)
# A runner that becomes ready and crashes at its first request is a failure like one that does not
# start. One that was ready for this many seconds has shown that its model can be run.
_STABLE = 10.0


class Scheduler:
    """Grants leases; starts and stops runners. Use as an async context manager."""

    def __init__(
        self,
        limits: Limits,
        *,
        supervise: Supervise,
        estimator: Estimator,
        probe: Probe,
        clock: Callable[[], float] = time.monotonic,
        policy: Callable[[View], list[Action]] = plan,
    ) -> None:
        self._limits = limits
        self._supervise = supervise
        self._estimator = estimator
        self._probe = probe
        self._clock = clock
        self._policy = policy
        self._ids = itertools.count(1)
        self._runners: dict[int, Runner] = {}
        self._pending: dict[int, PendingLease] = {}
        self._estimates: dict[Spec, Estimate] = {}
        self._estimating: set[Spec] = set()
        self._allocated: Counter[str] = Counter()
        """Bytes of each device that our own runners had when the GPUs were last probed."""
        self._failures: dict[Spec, int] = {}
        self._backoffs: dict[Spec, Backoff] = {}
        self._story: deque[tuple[float, str]] = deque(maxlen=500)
        self._tasks: TaskGroup | None = None
        self._alarm = anyio.Event()
        self._due = math.inf
        """When to plan again although nothing happened."""
        self._closing = False

    # Life

    async def __aenter__(self) -> "Scheduler":
        await self._refresh_devices()
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
        """Close, and wait until every runner is gone."""
        assert self._tasks is not None
        self.close()
        # Shielded: a gateway that is cancelled still has processes to end.
        with anyio.CancelScope(shield=True):
            for runner in list(self._runners.values()):
                await runner.gone.wait()
        self._tasks.cancel_scope.cancel()
        return await self._tasks.__aexit__(kind, exc, trace)

    def close(self) -> None:
        """Reject pending leases, end the calls of granted ones, and begin to stop every runner."""
        self._closing = True
        for pending in list(self._pending.values()):
            self._settle(pending, error=Stopped("the server is stopping"))
        for runner in list(self._runners.values()):
            if runner.state in _WANTED:
                self._apply(StopRunner(runner.id, "the server is stopping"))
            # The engine does not end before its calls have ended.
            for call in list(runner.calls):
                call.close()

    # Leases

    @asynccontextmanager
    async def lease(self, spec: Spec, keep_alive: float | None = None) -> AsyncIterator[Lease]:
        """Wait for a slot of a runner of `spec` and hold it while the block runs.

        keep_alive: seconds the runner stays when idle, from now on; None leaves that as it is.
        Raises Busy, TooLarge, StartFailed, BackingOff or Stopped.
        """
        if self._closing:
            raise Stopped("the server is stopping")
        if len(self._pending) >= self._limits.queue:
            raise Busy("the queue of pending requests is full")
        pending = PendingLease(next(self._ids), spec, self._clock(), keep_alive)
        self._pending[pending.id] = pending
        self._replan()
        try:
            await pending.settled.wait()
            if pending.error is not None:
                raise pending.error
            assert pending.runner is not None
            runner = pending.runner
            waited = self._clock() - pending.arrived
            fresh = runner.ready_at is not None and runner.ready_at > pending.arrived
            loaded = runner.endpoint.seconds if fresh and runner.endpoint else 0.0
            # A lease that came in the middle of a load waited for a part of it only.
            yield Lease(runner, waited, min(loaded, waited))
        finally:
            # The one way out, whether the lease is still pending, granted a moment ago, or used.
            self._pending.pop(pending.id, None)
            if pending.runner:
                pending.runner.leases.discard(pending.id)
                if not pending.runner.leases:
                    pending.runner.idle_since = pending.runner.last_used = self._clock()
            if not self._closing:
                self._replan()

    def expire(self, digest: str) -> bool:
        """Let the runners of these weights go as soon as they are idle; whether there were any."""
        mine = [
            runner
            for runner in self._runners.values()
            if runner.spec.digest == digest and runner.state in _WANTED
        ]
        for runner in mine:
            runner.keep_alive = 0.0
        self._replan()
        return bool(mine)

    # Views

    def snapshot(self) -> Snapshot:
        infos = []
        for runner in self._runners.values():
            endpoint = runner.endpoint
            info = RunnerInfo(
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
            infos.append(info)
        return Snapshot(tuple(infos), len(self._pending), self._clock())

    def specs(self) -> list[Spec]:
        """Of the runners there are, in whatever state; without the cost of a snapshot."""
        return [runner.spec for runner in self._runners.values()]

    def devices(self) -> tuple[Device, ...]:
        return self._probe()

    def story(self) -> list[tuple[float, str]]:
        """The last few hundred actions with their reasons."""
        return list(self._story)

    def validate(self) -> None:
        """Assert that the state is consistent; tests end with it."""
        serving: dict[Spec, int] = {}
        for runner in self._runners.values():
            assert runner.state is not RunnerState.GONE
            assert len(runner.leases) <= runner.spec.parallel
            assert not runner.leases or runner.state is not RunnerState.STARTING
            if runner.state in _WANTED:
                serving[runner.spec] = serving.get(runner.spec, 0) + 1
        assert all(count == 1 for count in serving.values()), serving
        assert all(not pending.settled.is_set() for pending in self._pending.values())

    # State, changed in synchronous code only

    def _settle(
        self,
        pending: PendingLease,
        *,
        runner: Runner | None = None,
        error: RunnerError | None = None,
    ) -> None:
        self._pending.pop(pending.id, None)
        pending.runner, pending.error = runner, error
        pending.settled.set()

    def _replan(self) -> None:
        """Right at any time; called after every change."""
        if self._closing:
            return
        for action in self._policy(self._view()):
            self._apply(action)

    def _view(self) -> View:
        pending = tuple(PendingView(p.id, p.spec, p.arrived) for p in self._pending.values())
        runners = tuple(
            RunnerView(
                id=runner.id,
                spec=runner.spec,
                state=runner.state,
                placement=runner.placement,
                leases=len(runner.leases),
                last_used=runner.last_used,
                expires=self._expires(runner),
            )
            for runner in self._runners.values()
        )
        served = [r.spec for r in self._runners.values() if r.state in _WANTED]
        without_runner = [lease.spec for lease in pending if lease.spec not in served]
        for spec in without_runner:
            if spec not in self._estimates and (known := self._estimator.known(spec)):
                self._estimates[spec] = known
        return View(
            runners=runners,
            pending=pending,
            # Probing costs more than all the rest of a plan, and memory matters only to what has
            # to be started: a request for a ready runner does not wait for it.
            devices=self._devices() if without_runner else (),
            limits=self._limits,
            now=self._clock(),
            estimates=self._estimates,
            estimating=frozenset(self._estimating),
            backoffs=self._backoffs,
        )

    def _devices(self) -> tuple[Device, ...]:
        """The probe's; of GPUs an old picture, corrected by what we started and ended since."""
        # What starts is left out: how much of its share it has taken is not known, and the plan
        # takes all of that share off itself.
        now = allocated(r for r in self._runners.values() if r.state is not RunnerState.STARTING)
        return tuple(
            device
            if device.kind is DeviceKind.CPU
            else replace(device, free=device.free + self._allocated[device.name] - now[device.name])
            for device in self._probe()
        )

    def _keep_alive(self, runner: Runner) -> float:
        return self._limits.keep_alive if runner.keep_alive is None else runner.keep_alive

    def _expires(self, runner: Runner) -> float | None:
        if runner.idle_since is None or runner.leases or runner.state is not RunnerState.READY:
            return None
        return runner.idle_since + self._keep_alive(runner)

    # Actions

    def _apply(self, action: Action) -> None:
        match action:
            case GrantLease(lease, number):
                pending, runner = self._pending[lease], self._runners[number]
                runner.leases.add(lease)
                runner.idle_since = None
                if pending.keep_alive is not None:
                    runner.keep_alive = pending.keep_alive
                self._settle(pending, runner=runner)
            case RejectLease(lease, error):
                self._record(f"reject request {lease}: {error.message}")
                self._settle(self._pending[lease], error=error)
            case StartRunner(spec, placement, why):
                runner = Runner(next(self._ids), spec, placement, last_used=self._clock())
                self._runners[runner.id] = runner
                shares = (f"{size >> 20} MiB of {name}" for name, size in placement.shares if size)
                self._record(f"start {runner} on {', '.join(shares)}: {why}")
                self._start_task(self._run_runner, runner)
            case StopRunner(number, why):
                runner = self._runners[number]
                self._record(f"stop {runner}: {why}")
                runner.state = step(runner.state, RunnerState.STOPPING)
                runner.stop.set()
            case EstimateSpec(spec):
                self._estimating.add(spec)
                self._start_task(self._estimate, spec)
            case WakeAt(at) if at < self._due:
                self._due = at
                self._alarm.set()

    def _start_task(
        self, work: Callable[..., Coroutine[object, object, None]], *args: object
    ) -> None:
        assert self._tasks is not None, "use `async with Scheduler(...)`"
        self._tasks.start_soon(work, *args)

    def _record(self, text: str) -> None:
        self._story.append((self._clock(), text))
        log.info(text)

    # Tasks

    async def _run_runner(self, runner: Runner) -> None:
        def ready(endpoint: Endpoint) -> None:
            if runner.state is not RunnerState.STARTING:
                return  # it became ready in the moment in which it was stopped
            runner.state = step(runner.state, RunnerState.READY)
            runner.endpoint = endpoint
            runner.ready_at = runner.idle_since = runner.last_used = self._clock()
            self._record(f"ready {runner} after {endpoint.seconds:.3f} s, pid {endpoint.pid}")
            self._replan()

        try:
            runner.ending = await self._supervise(
                runner.id, runner.spec, runner.placement, ready, runner.stop
            )
            runner.ended.set()
            if runner.ready_at is not None and self._clock() - runner.ready_at >= _STABLE:
                self._failures.pop(runner.spec, None)
            was = runner.state
            if was is not RunnerState.STOPPING:
                runner.state = step(runner.state, RunnerState.STOPPING)
                self._record_failure(runner, was)
            if runner.placement.devices and not self._closing:
                # A driver gives memory back some moments after the process is gone; until then the
                # runner counts as stopping, and its memory as taken.
                await self._refresh_devices()
        finally:
            runner.state = step(runner.state, RunnerState.GONE)
            del self._runners[runner.id]
            runner.ended.set()
            runner.gone.set()
        self._replan()

    def _record_failure(self, runner: Runner, was: RunnerState) -> None:
        error = runner.ending or Crashed("the runner ended")
        self._record(f"lost {runner} while {was.value}: {error.message}")
        count = self._failures[runner.spec] = self._failures.get(runner.spec, 0) + 1
        if pause := backoff_seconds(count):
            self._backoffs[runner.spec] = Backoff(self._clock() + pause, error)
        # Whoever waited for this start hears why it failed, rather than waiting for another try.
        if was is RunnerState.STARTING:
            for pending in list(self._pending.values()):
                if pending.spec == runner.spec:
                    self._settle(pending, error=error)

    async def _refresh_devices(self) -> None:
        await self._probe.refresh()
        self._allocated = allocated(r for r in self._runners.values() if not r.ended.is_set())

    async def _estimate(self, spec: Spec) -> None:
        try:
            self._estimates[spec] = await self._estimator(spec)
        finally:
            self._estimating.discard(spec)
        self._replan()

    async def _keep_time(self) -> None:
        """Plan again at the moment that the plan named."""
        while True:
            self._alarm = anyio.Event()
            with anyio.move_on_after(self._due - self._clock()):
                await self._alarm.wait()
                continue
            self._due = math.inf
            self._replan()
