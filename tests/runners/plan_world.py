"""A machine with runners and pending leases, as the scheduler keeps them: what `plan` is tested on.

No clock and no process: a test calls what happens, `PlanWorld` plans, carries the actions out and
returns them as lines to compare, like a dialogue:

    world.arrives(1, A)  ->  ["start r1 of a on CPU:4"]
    world.ready(1)       ->  ["grant 1 r1"]

After every change it also plans a second time, which must yield nothing more, and checks that the
machine is not over-committed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from runners.errors import RunnerError
from runners.place import usable
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
from runners.spec import Device, DeviceKind, Estimate, Limits, Spec
from runners.states import RunnerState, step

LIMITS = Limits(runners=8, headroom=0.0)


def spec(
    name: str,
    *,
    context: int = 1,
    parallel: int = 1,
    gpu_layers: int = -1,
    main_gpu: int | None = None,
) -> Spec:
    return Spec(
        Path(name),
        name,
        size=0,
        context=context,
        parallel=parallel,
        gpu_layers=gpu_layers,
        main_gpu=main_gpu,
    )


def host(total: int) -> Device:
    return Device("CPU", DeviceKind.CPU, total, total)


def gpu(number: int, total: int) -> Device:
    return Device(f"GPU{number}", DeviceKind.GPU, total, total)


def label(spec: Spec) -> str:
    return spec.digest if spec.context == 1 else f"{spec.digest}@{spec.context}"


@dataclass(slots=True)
class PlanWorld:
    devices: tuple[Device, ...]
    needs: dict[Spec, Estimate]
    """What each Spec will need; the plan sees those in `estimated` only."""
    limits: Limits = LIMITS
    estimated: set[Spec] = field(default_factory=set)
    now: float = 0.0
    runners: dict[int, RunnerView] = field(default_factory=dict)
    pending: dict[int, PendingView] = field(default_factory=dict)
    leases: dict[int, int] = field(default_factory=dict)
    """Which runner each granted request uses."""
    rejected: dict[int, RunnerError] = field(default_factory=dict)
    keep_alive: dict[int, float] = field(default_factory=dict)
    """By runner; 100 s unless a test says otherwise."""
    idle_since: dict[int, float] = field(default_factory=dict)
    foreign: dict[str, int] = field(default_factory=dict)
    """Bytes of each device that are none of ours."""
    probed: dict[str, int] = field(default_factory=dict)
    """Free bytes of GPUs when they were last probed, and what runners held of them added; the host
    is probed each time."""
    known: dict[str, int] = field(default_factory=dict)
    """Foreign bytes that such probes have shown; a runner that starts hides them."""
    estimating: set[Spec] = field(default_factory=set)
    failures: dict[Spec, int] = field(default_factory=dict)
    backoffs: dict[Spec, Backoff] = field(default_factory=dict)
    wake: float | None = None
    """When to plan again although nothing happened."""
    started: int = 0

    @classmethod
    def of(
        cls, devices: Iterable[Device], needs: dict[Spec, int], limits: Limits = LIMITS
    ) -> "PlanWorld":
        """All needs estimated, and all of them for GPUs if there are any."""
        estimates = {spec: Estimate(size, 0, exact=True) for spec, size in needs.items()}
        return cls(tuple(devices), estimates, limits, set(estimates))

    def __post_init__(self) -> None:
        self.probe()

    # What happens

    def arrives(self, request: int, spec: Spec) -> list[str]:
        self.pending[request] = PendingView(request, spec, self.now)
        return self.replan()

    def leaves(self, request: int) -> list[str]:
        """Its client leaves, or gives its lease back."""
        self.pending.pop(request, None)
        if runner := self.runners.get(self.leases.pop(request, 0)):
            left = runner.leases - 1
            self.runners[runner.id] = replace(runner, leases=left)
            if not left:
                self._idles(runner.id)
        return self.replan()

    def ready(self, runner: int) -> list[str]:
        self._moves(runner, RunnerState.READY)
        self._idles(runner)
        return self.replan()

    def fails(self, runner: int) -> list[str]:
        """It ended before it was ready, or crashed; leases pending for its start are rejected."""
        lost = self.runners.pop(runner)
        count = self.failures[lost.spec] = self.failures.get(lost.spec, 0) + 1
        if pause := backoff_seconds(count):
            self.backoffs[lost.spec] = Backoff(self.now + pause, RunnerError("it failed"))
        if lost.state is RunnerState.STARTING:
            for lease in [p for p in self.pending.values() if p.spec == lost.spec]:
                self.rejected[lease.id] = RunnerError("it failed")
                del self.pending[lease.id]
        self.leases = {r: on for r, on in self.leases.items() if on != runner}
        self.probe()
        return self.replan()

    def gone(self, runner: int) -> list[str]:
        """A runner that was stopped has ended."""
        assert self.runners.pop(runner).state is RunnerState.STOPPING
        self.probe()
        return self.replan()

    def estimates(self, spec: Spec) -> list[str]:
        self.estimating.remove(spec)
        self.estimated.add(spec)
        return self.replan()

    def passes(self, seconds: float) -> list[str]:
        self.now += seconds
        return self.replan()

    def takes(self, device: str, size: int) -> list[str]:
        """Another program now holds so much of a device."""
        self.foreign[device] = size
        self.probe()
        return self.replan()

    def expires(self, digest: str) -> list[str]:
        for runner in self.runners.values():
            if runner.spec.digest == digest:
                self.keep_alive[runner.id] = 0.0
        return self.replan()

    # The plan

    def probe(self) -> None:
        loading = any(runner.state is RunnerState.STARTING for runner in self.runners.values())
        self.known = {} if loading else dict(self.foreign)
        gpus = [device.name for device in self.devices if device.kind is DeviceKind.GPU]
        self.probed = {name: self._free(name) + self._held(name) for name in gpus}

    def view(self) -> View:
        return View(
            runners=tuple(self._seen(runner) for runner in self.runners.values()),
            pending=tuple(self.pending.values()),
            devices=tuple(replace(device, free=self._seen_free(device)) for device in self.devices),
            limits=self.limits,
            now=self.now,
            estimates={spec: self.needs[spec] for spec in self.estimated},
            estimating=frozenset(self.estimating),
            backoffs=self.backoffs,
        )

    def replan(self) -> list[str]:
        """Plan, carry the actions out, and return them."""
        self.wake = None
        lines = [self._do(action) for action in plan(self.view())]
        if self._exact(lines):
            again = plan(self.view())
            assert all(isinstance(action, WakeAt) for action in again), again
        self.check()
        return [line for line in lines if line]

    def check(self) -> None:
        """What must hold at any time."""
        lives = [r.spec for r in self.runners.values() if r.state is not RunnerState.STOPPING]
        assert len(lives) == len(set(lives)), "two runners of one Spec"
        assert len(self.runners) <= (self.limits.runners or 99), "more runners than allowed"
        for device in self.devices:
            held = self._held(device.name)
            assert held <= usable(device, self.limits), f"over-committed: {device.name}"
        for runner in self.runners.values():
            assert runner.leases == sum(on == runner.id for on in self.leases.values())
            assert runner.leases <= runner.spec.parallel
        assert not self.pending.keys() & (self.leases.keys() | self.rejected.keys())

    def _do(self, action: Action) -> str:
        match action:
            case GrantLease(request, number):
                runner = self.runners[number]
                assert runner.state is RunnerState.READY
                assert self.pending.pop(request).spec == runner.spec
                self.leases[request] = number
                self.runners[number] = replace(runner, leases=runner.leases + 1)
                return f"grant {request} r{number}"
            case StartRunner(spec, placement):
                self.started += 1
                self.runners[self.started] = RunnerView(
                    self.started, spec, RunnerState.STARTING, placement, last_used=self.now
                )
                for device in self.devices:
                    used = self._held(device.name) + self.known.get(device.name, 0)
                    assert used <= device.total or not placement.on(device.name), "foreign memory"
                where = " ".join(f"{name}:{size}" for name, size in placement.shares if size)
                return f"start r{self.started} of {label(spec)} on {where}"
            case StopRunner(number, why):
                assert not self.runners[number].leases, "a busy runner is never stopped"
                self._moves(number, RunnerState.STOPPING)
                return f"stop r{number}: {why}"
            case RejectLease(request, error):
                del self.pending[request]
                self.rejected[request] = error
                return f"reject {request}: {type(error).__name__}"
            case EstimateSpec(spec):
                self.estimating.add(spec)
                return f"estimate {label(spec)}"
            case WakeAt(at):
                self.wake = at
                return ""

    def _exact(self, lines: list[str]) -> bool:
        """Whether a second plan must be empty, since only the first can have changed the view."""
        guessed = any("nobody waits" in line for line in lines)
        return not guessed and not self.foreign and len(self.probed) < 2

    def _moves(self, runner: int, state: RunnerState) -> None:
        seen = self.runners[runner]
        self.runners[runner] = replace(seen, state=step(seen.state, state))

    def _idles(self, runner: int) -> None:
        self.idle_since[runner] = self.now
        self.runners[runner] = replace(self.runners[runner], last_used=self.now)

    def _seen(self, runner: RunnerView) -> RunnerView:
        if runner.state is not RunnerState.READY or runner.leases:
            return runner
        lasts = self.keep_alive.get(runner.id, 100.0)
        return replace(runner, expires=self.idle_since[runner.id] + lasts)

    def _seen_free(self, device: Device) -> int:
        """As the scheduler has it: GPUs as they were, corrected by what started and ended since."""
        if device.kind is DeviceKind.CPU:
            return self._free(device.name)
        return self.probed[device.name] - self._held(device.name, but=RunnerState.STARTING)

    def _held(self, device: str, but: RunnerState | None = None) -> int:
        runners = (runner for runner in self.runners.values() if runner.state is not but)
        return sum(runner.placement.on(device) for runner in runners)

    def _free(self, device: str) -> int:
        """Bytes that are not in use; a runner that starts has taken half of its own so far."""
        total = next(d.total for d in self.devices if d.name == device)
        used = self.foreign.get(device, 0)
        for runner in self.runners.values():
            share = runner.placement.on(device)
            used += share // 2 if runner.state is RunnerState.STARTING else share
        return max(0, total - used)
