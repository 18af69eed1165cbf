"""A machine with runners and requests, kept as the scheduler keeps it: what `plan` is tested on.

No clock and no process: a test says what happens, `World` asks the plan, carries its actions out
and returns them as lines to compare, like a dialogue:

    world.arrives(1, A)  ->  ["start r1 of a on CPU:4"]
    world.ready(1)       ->  ["grant 1 r1"]

After every change it also asks the plan a second time, which must want nothing more, and checks
that the machine is not over-committed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from runners.errors import RunnerError
from runners.place import promised
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
from runners.spec import Device, Estimate, Kind, Limits, Spec
from runners.states import State, step

LIMITS = Limits(runners=8, headroom=0.0)


def spec(name: str, **facts: int) -> Spec:
    return replace(Spec(Path(name), name, 0, context=1), **facts)  # type: ignore[arg-type]


def host(total: int) -> Device:
    return Device("CPU", Kind.CPU, total, total)


def gpu(number: int, total: int) -> Device:
    return Device(f"GPU{number}", Kind.GPU, total, total)


def label(spec: Spec) -> str:
    return spec.digest if spec.context == 1 else f"{spec.digest}@{spec.context}"


@dataclass(slots=True)
class World:
    devices: tuple[Device, ...]
    needs: dict[Spec, Estimate]
    """What each Spec will need; the plan is told of those in `measured` only."""
    limits: Limits = LIMITS
    measured: set[Spec] = field(default_factory=set)
    now: float = 0.0
    runners: dict[int, RunnerView] = field(default_factory=dict)
    waiters: dict[int, Waiter] = field(default_factory=dict)
    leases: dict[int, int] = field(default_factory=dict)
    """Which runner each granted request uses."""
    rejected: dict[int, RunnerError] = field(default_factory=dict)
    keep_alive: dict[int, float] = field(default_factory=dict)
    """By runner; 100 s unless a test says otherwise."""
    idle_since: dict[int, float] = field(default_factory=dict)
    strangers: dict[str, int] = field(default_factory=dict)
    """Bytes of each device that are none of ours."""
    probed: dict[str, int] = field(default_factory=dict)
    """Free bytes of GPUs when they were last looked at, and what runners held of them added; the
    host is looked at always."""
    known: dict[str, int] = field(default_factory=dict)
    """Bytes of strangers that such looks have shown; a runner that starts hides them."""
    measuring: set[Spec] = field(default_factory=set)
    failures: dict[Spec, int] = field(default_factory=dict)
    cooling: dict[Spec, Cooling] = field(default_factory=dict)
    wake: float | None = None
    """When the plan wants to be asked again."""
    started: int = 0

    @classmethod
    def of(
        cls, devices: Iterable[Device], needs: dict[Spec, int], limits: Limits = LIMITS
    ) -> "World":
        """All needs measured, and all of them for GPUs if there are any."""
        estimates = {spec: Estimate(size, 0, exact=True) for spec, size in needs.items()}
        return cls(tuple(devices), estimates, limits, set(estimates))

    def __post_init__(self) -> None:
        self.probe()

    # What happens

    def arrives(self, request: int, spec: Spec) -> list[str]:
        self.waiters[request] = Waiter(request, spec, self.now)
        return self.ask()

    def leaves(self, request: int) -> list[str]:
        """It stops waiting, or gives its lease back."""
        self.waiters.pop(request, None)
        if runner := self.runners.get(self.leases.pop(request, 0)):
            left = runner.leases - 1
            self.runners[runner.id] = replace(runner, leases=left)
            if not left:
                self._idles(runner.id)
        return self.ask()

    def ready(self, runner: int) -> list[str]:
        self._moves(runner, State.READY)
        self._idles(runner)
        return self.ask()

    def fails(self, runner: int) -> list[str]:
        """It ended before it was ready, or it crashed; who waited for its start hears why."""
        lost = self.runners.pop(runner)
        count = self.failures[lost.spec] = self.failures.get(lost.spec, 0) + 1
        if pause := cooling_for(count):
            self.cooling[lost.spec] = Cooling(self.now + pause, "it failed")
        if lost.state is State.STARTING:
            for waiter in [w for w in self.waiters.values() if w.spec == lost.spec]:
                self.rejected[waiter.id] = RunnerError("it failed")
                del self.waiters[waiter.id]
        self.leases = {r: on for r, on in self.leases.items() if on != runner}
        self.probe()
        return self.ask()

    def gone(self, runner: int) -> list[str]:
        """A runner that was asked to stop has ended."""
        assert self.runners.pop(runner).state is State.STOPPING
        self.probe()
        return self.ask()

    def measures(self, spec: Spec) -> list[str]:
        self.measuring.remove(spec)
        self.measured.add(spec)
        return self.ask()

    def passes(self, seconds: float) -> list[str]:
        self.now += seconds
        return self.ask()

    def takes(self, device: str, size: int) -> list[str]:
        """A stranger now holds so much of a device."""
        self.strangers[device] = size
        self.probe()
        return self.ask()

    def expires(self, digest: str) -> list[str]:
        for runner in self.runners.values():
            if runner.spec.digest == digest:
                self.keep_alive[runner.id] = 0.0
        return self.ask()

    # The plan

    def probe(self) -> None:
        loading = any(runner.state is State.STARTING for runner in self.runners.values())
        self.known = {} if loading else dict(self.strangers)
        gpus = [device.name for device in self.devices if device.kind is Kind.GPU]
        self.probed = {name: self._free(name) + self._held(name) for name in gpus}

    def view(self) -> View:
        return View(
            runners=tuple(self._seen(runner) for runner in self.runners.values()),
            waiters=tuple(self.waiters.values()),
            devices=tuple(replace(device, free=self._seen_free(device)) for device in self.devices),
            limits=self.limits,
            now=self.now,
            estimates={spec: self.needs[spec] for spec in self.measured},
            measuring=frozenset(self.measuring),
            cooling=self.cooling,
        )

    def ask(self) -> list[str]:
        """Ask the plan, carry out what it says, and return that."""
        self.wake = None
        said = [self._do(action) for action in plan(self.view())]
        if self._exact(said):
            again = plan(self.view())
            assert all(isinstance(action, Wake) for action in again), again
        self.check()
        return [line for line in said if line]

    def check(self) -> None:
        """What must hold at any time."""
        lives = [r.spec for r in self.runners.values() if r.state is not State.STOPPING]
        assert len(lives) == len(set(lives)), "two runners of one Spec"
        assert len(self.runners) <= (self.limits.runners or 99), "more runners than allowed"
        for device in self.devices:
            held = self._held(device.name)
            assert held <= promised(device, self.limits), f"over-committed: {device.name}"
        for runner in self.runners.values():
            assert runner.leases == sum(on == runner.id for on in self.leases.values())
            assert runner.leases <= runner.spec.parallel
        assert not self.waiters.keys() & (self.leases.keys() | self.rejected.keys())

    def _do(self, action: Action) -> str:
        match action:
            case Grant(request, number):
                runner = self.runners[number]
                assert runner.state is State.READY
                assert self.waiters.pop(request).spec == runner.spec
                self.leases[request] = number
                self.runners[number] = replace(runner, leases=runner.leases + 1)
                return f"grant {request} r{number}"
            case Start(spec, placement):
                self.started += 1
                self.runners[self.started] = RunnerView(
                    self.started, spec, State.STARTING, placement, last_used=self.now
                )
                for device in self.devices:
                    used = self._held(device.name) + self.known.get(device.name, 0)
                    assert used <= device.total or not placement.on(device.name), "strangers' room"
                where = " ".join(f"{name}:{size}" for name, size in placement.shares if size)
                return f"start r{self.started} of {label(spec)} on {where}"
            case Stop(number, why):
                assert not self.runners[number].leases, "a busy runner is never stopped"
                self._moves(number, State.STOPPING)
                return f"stop r{number}: {why}"
            case Reject(request, error):
                del self.waiters[request]
                self.rejected[request] = error
                return f"reject {request}: {type(error).__name__}"
            case Measure(spec):
                self.measuring.add(spec)
                return f"measure {label(spec)}"
            case Wake(at):
                self.wake = at
                return ""

    def _exact(self, said: list[str]) -> bool:
        """Whether nothing but the plan's own doing can make it want more when asked again."""
        guessed = any("nobody waits" in line for line in said)
        return not guessed and not self.strangers and len(self.probed) < 2

    def _moves(self, runner: int, state: State) -> None:
        seen = self.runners[runner]
        self.runners[runner] = replace(seen, state=step(seen.state, state))

    def _idles(self, runner: int) -> None:
        self.idle_since[runner] = self.now
        self.runners[runner] = replace(self.runners[runner], last_used=self.now)

    def _seen(self, runner: RunnerView) -> RunnerView:
        if runner.state is not State.READY or runner.leases:
            return runner
        lasts = self.keep_alive.get(runner.id, 100.0)
        return replace(runner, expires=self.idle_since[runner.id] + lasts)

    def _seen_free(self, device: Device) -> int:
        """As the scheduler has it: GPUs as they were, corrected by what started and ended since."""
        if device.kind is Kind.CPU:
            return self._free(device.name)
        return self.probed[device.name] - self._held(device.name, but=State.STARTING)

    def _held(self, device: str, but: State | None = None) -> int:
        runners = (runner for runner in self.runners.values() if runner.state is not but)
        return sum(runner.placement.on(device) for runner in runners)

    def _free(self, device: str) -> int:
        """Bytes that are not in use; a runner that starts has taken half of its own so far."""
        total = next(d.total for d in self.devices if d.name == device)
        used = self.strangers.get(device, 0)
        for runner in self.runners.values():
            share = runner.placement.on(device)
            used += share // 2 if runner.state is State.STARTING else share
        return max(0, total - used)
