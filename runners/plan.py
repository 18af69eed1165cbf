"""The scheduling policy: a picture of the world in, a list of actions out.

Pure and level-triggered: it looks at how things are, not at what happened, so a lost or late
event can do no harm, and asking twice does nothing twice. Time and free memory are in the picture.

The rules, in order:

1. A ready runner that is idle past its keep alive and wanted by nobody stops; a starting one that
   nobody waits for any more stops too.
2. Waiters are looked at oldest first. Each gets a slot of a ready runner of its Spec; or waits for
   one that is starting or full; or, if its model keeps failing, is rejected; or has a runner
   started where it fits.
3. A waiter for whom there is no room reserves it: idle runners are stopped to make the room, and
   whoever comes later may start only what leaves the reserved room alone. So large models are not
   starved by small ones, and a request that can run never waits for one that cannot.
4. If that room is held by busy runners for longer than `patience`, later waiters get no more slots
   of them: they drain, and are stopped when idle. A busy runner is never stopped.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from runners.errors import CoolingDown, RunnerError, TooLarge
from runners.evict import victims
from runners.memory import bound, comfortable
from runners.place import Machine, Room, place
from runners.spec import GIB, Device, Estimate, Limits, Placement, Spec
from runners.states import State


@dataclass(frozen=True, slots=True)
class RunnerView:
    id: int
    spec: Spec
    state: State
    placement: Placement
    leases: int = 0
    last_used: float = 0.0
    """When it last became idle. It stays while the runner is busy, and so does a fence on it."""
    expires: float | None = None
    """When an idle runner may go; None while it is busy or not yet ready."""


@dataclass(frozen=True, slots=True)
class Waiter:
    id: int
    spec: Spec
    arrived: float


@dataclass(frozen=True, slots=True)
class Cooling:
    """A Spec that failed several times in a row."""

    until: float
    why: str


@dataclass(frozen=True, slots=True)
class View:
    """Everything policy may know."""

    runners: tuple[RunnerView, ...]
    waiters: tuple[Waiter, ...]
    """In order of arrival."""
    devices: tuple[Device, ...]
    limits: Limits
    now: float
    estimates: Mapping[Spec, Estimate] = field(default_factory=dict)
    measuring: frozenset[Spec] = frozenset()
    """Specs the engine is being asked about."""
    cooling: Mapping[Spec, Cooling] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Grant:
    waiter: int
    runner: int


@dataclass(frozen=True, slots=True)
class Measure:
    """Ask the engine what `spec` needs."""

    spec: Spec


@dataclass(frozen=True, slots=True)
class Start:
    spec: Spec
    placement: Placement
    why: str


@dataclass(frozen=True, slots=True)
class Stop:
    runner: int
    why: str


@dataclass(frozen=True, slots=True)
class Reject:
    waiter: int
    error: RunnerError


@dataclass(frozen=True, slots=True)
class Wake:
    """Nothing to do before `at`; ask again then even if nothing happens."""

    at: float


Action = Grant | Measure | Start | Stop | Reject | Wake
_LIVE = (State.STARTING, State.READY, State.STOPPING)
_LONGEST_COOLING = 60.0


def plan(view: View) -> list[Action]:
    """What to do now. Applying the actions and asking again at once yields at most a Wake.

    But for a Start now and then: with several GPUs, when room that is reserved on all of them
    shifts, and when it becomes clear what a runner that was stopped while it started had taken.
    """
    desk = _Desk(view)
    desk.retire()
    for waiter in view.waiters:
        desk.serve(waiter)
    desk.wake()
    return desk.actions


def most_runners(limits: Limits, devices: Sequence[Device]) -> int:
    """The cap on live runners: as set, else three for each GPU, three without one."""
    gpus = sum(device.kind.value == "gpu" for device in devices)
    return limits.runners or 3 * max(1, gpus)


class _Desk:
    """Scratch for one call of `plan`: what earlier decisions of this call have taken already."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.actions: list[Action] = []
        self.most = most_runners(view.limits, view.devices)
        self.live = [runner for runner in view.runners if runner.state in _LIVE]
        self.leases = {runner.id: runner.leases for runner in self.live}
        self.wanted = [waiter.spec for waiter in view.waiters]
        self.stopped: frozenset[int] = frozenset()
        self.promised: list[tuple[Placement, frozenset[int]]] = []
        """Room that older waiters wait for, and the runners that had to be `owing` for it."""
        self.owing: frozenset[int] = frozenset()
        """Runners whose memory is part of such a promise, although they do not stop yet."""
        self.measuring = set(view.measuring)
        self.fenced: set[int] = set()
        self.wakes: list[float] = []

    # Rule 1

    def retire(self) -> None:
        for runner in self.live:
            if runner.spec in self.wanted:
                continue
            if runner.state is State.STARTING:
                self._stop(runner, "nobody waits for it any more")
            elif runner.state is State.READY and not runner.leases and runner.expires is not None:
                if runner.expires <= self.view.now:
                    self._stop(runner, "idle past its keep alive")
                elif runner.expires < math.inf and self._replaced(runner):
                    self._stop(runner, "idle, and one with a larger context is there")
                else:
                    self.wakes.append(runner.expires)

    def _replaced(self, runner: RunnerView) -> bool:
        """Whether a larger one does for all that might ask for this one."""
        return any(
            other.state is State.READY
            and other.spec.context > runner.spec.context
            and other.spec.covers(runner.spec)
            for other in self.live
        )

    # Rule 2

    def serve(self, waiter: Waiter) -> None:
        spec = waiter.spec
        mine = [r for r in self.live if r.spec == spec and r.id not in self.stopped]
        for runner in mine:
            if runner.state is State.READY and runner.id not in self.fenced:
                if self.leases[runner.id] < spec.parallel:
                    self.leases[runner.id] += 1
                    self.actions.append(Grant(waiter.id, runner.id))
                return
        coming = any(runner.state is State.STARTING for runner in mine)
        draining = any(runner.id in self.fenced for runner in mine)
        if coming or draining:
            return
        cooling = self.view.cooling.get(spec)
        if cooling and cooling.until > self.view.now:
            self._reject(waiter, _cooling(cooling, self.view.now))
        elif need := self._need(spec):
            self._start_or_make_room(waiter, need)

    def _need(self, spec: Spec) -> Estimate | None:
        """What is known, or a bound that plainly fits; None after asking to measure."""
        if known := self.view.estimates.get(spec):
            return known
        guess = bound(spec)
        if comfortable(guess, self.view.devices):
            return guess
        if spec not in self.measuring:
            self.measuring.add(spec)
            self.actions.append(Measure(spec))
        return None

    # Rule 3

    def _start_or_make_room(self, waiter: Waiter, need: Estimate) -> None:
        spec = waiter.spec
        if place(spec, need, self.machine, self.machine.capacity) is None:
            self._reject(waiter, self._too_large(spec, need))
        elif placement := self._fits_now(spec, need):
            self._start(waiter, placement)
        else:
            self._make_room(waiter, need)

    def _make_room(self, waiter: Waiter, need: Estimate) -> None:
        spec = waiter.spec
        settled = [r for r in self.live if r.id not in self._stopping() | self.owing]
        idle = [r for r in settled if r.state is State.READY and not self.leases[r.id]]

        def enough(gone: Sequence[RunnerView]) -> bool:
            return self._fits_after(spec, need, gone) is not None

        going = victims(idle, spec, enough)
        awaited: list[RunnerView] = []
        if going is None:
            # What is idle goes at once; of the others as few as possible have to be waited for.
            others = [runner for runner in settled if runner not in idle]
            awaited = victims(others, spec, lambda gone: enough([*idle, *gone])) or []
            going = victims(idle, spec, lambda gone: enough([*awaited, *gone])) or []
        for runner in going:
            self._stop(runner, f"room for {spec}, wanted by request {waiter.id}")
        for runner in awaited:
            self._fence(runner, waiter)
        if placement := self._fits_now(spec, need):
            self._start(waiter, placement)  # what goes was in the way of a reservation only
        elif placement := self._fits_after(spec, need, awaited):
            self.owing |= {runner.id for runner in awaited}
            self.promised.append((placement, self.owing))

    # Rule 4

    def _fence(self, runner: RunnerView, waiter: Waiter) -> None:
        due = waiter.arrived + self.view.limits.patience
        if due <= self.view.now:
            self.fenced.add(runner.id)
        else:
            self.wakes.append(due)

    # Room

    def _stopping(self) -> frozenset[int]:
        return frozenset(r.id for r in self.live if r.state is State.STOPPING) | self.stopped

    def _fits_now(self, spec: Spec, need: Estimate) -> Placement | None:
        """Where `need` fits as things are and leaves room for each promise when its time comes."""
        if len(self.live) >= self.most:
            return None
        rooms = [self._room(self.live, ()), self._unused()]
        for filled, (_, owing) in enumerate(self.promised, 1):
            later = self._after(owing, filled)
            if later is None:
                return None
            rooms.append(later)
        room = {name: min(each[name] for each in rooms) for name in self.machine.capacity}
        return place(spec, need, self.machine, room)

    def _fits_after(
        self, spec: Spec, need: Estimate, gone: Sequence[RunnerView]
    ) -> Placement | None:
        """Where `need` fits once all promises are kept and `gone` has left as well."""
        owing = self.owing | {runner.id for runner in gone}
        room = self._after(owing, len(self.promised))
        return place(spec, need, self.machine, room) if room is not None else None

    def _after(self, owing: frozenset[int], filled: int) -> Room | None:
        """Bytes left once what stops and `owing` have left and so many promises are kept.

        None if the cap on runners is reached then.
        """
        gone = self._stopping() | owing
        staying = [runner for runner in self.live if runner.id not in gone]
        if len(staying) + filled >= self.most:
            return None
        return self._room(staying, [placement for placement, _ in self.promised[:filled]])

    def _unused(self) -> Room:
        """Bytes that are free, less what starting runners have yet to take."""
        starting = [runner for runner in self.live if runner.state is State.STARTING]
        return {
            device.name: device.free - sum(r.placement.on(device.name) for r in starting)
            for device in self.view.devices
        }

    def _room(
        self, held_by: Sequence[RunnerView], promised: Collection[Placement]
    ) -> dict[str, int]:
        """Bytes of each device that neither strangers, nor `held_by`, nor promises take."""
        room = {}
        for device in self.view.devices:
            name = device.name
            placements = [*(runner.placement for runner in held_by), *promised]
            taken = sum(placement.on(name) for placement in placements)
            room[name] = self.machine.capacity[name] - taken
        return room

    @cached_property
    def machine(self) -> Machine:
        """The devices, less what strangers hold of them: the most that could ever be given."""
        whole = Machine.of(self.view.devices, self.view.limits)
        capacity = {
            device.name: max(0, whole.capacity[device.name] - self._strange(device, whole))
            for device in whole.devices
        }
        return replace(whole, capacity=capacity)

    def _strange(self, device: Device, whole: Machine) -> int:
        """Bytes that others hold beyond the headroom left for them.

        Mapped weights count as free to the operating system, so what is used may be less than
        what our runners hold.
        """
        ours = sum(runner.placement.on(device.name) for runner in self.live)
        spare = device.total - whole.capacity[device.name]
        return max(0, device.total - device.free - ours - spare)

    # Words

    def _start(self, waiter: Waiter, placement: Placement) -> None:
        """From here on it counts as a runner, under a number that no real one has."""
        spec, number = waiter.spec, -1 - len(self.actions)
        starting = RunnerView(number, spec, State.STARTING, placement, last_used=self.view.now)
        self.live.append(starting)
        self.actions.append(Start(spec, placement, f"wanted by request {waiter.id}"))

    def _stop(self, runner: RunnerView, why: str) -> None:
        self.stopped |= {runner.id}
        self.actions.append(Stop(runner.id, why))

    def _reject(self, waiter: Waiter, error: RunnerError) -> None:
        self.actions.append(Reject(waiter.id, error))

    def _too_large(self, spec: Spec, need: Estimate) -> TooLarge:
        most = sum(self.machine.capacity.values())
        return TooLarge(
            f"model requires more memory ({need.total / GIB:.1f} GiB with a context of "
            f"{spec.context} tokens in {spec.parallel} slots) than is available "
            f"({most / GIB:.1f} GiB)"
        )

    def wake(self) -> None:
        if self.wakes:
            self.actions.append(Wake(min(self.wakes)))


def cooling_for(failures: int) -> float:
    """Seconds without a new attempt after so many failures in a row: 0, 1, 2, 4 … 60."""
    return 0.0 if failures < 2 else min(2.0 ** (failures - 2), _LONGEST_COOLING)


def _cooling(cooling: Cooling, now: float) -> CoolingDown:
    wait = cooling.until - now
    return CoolingDown(f"model failed repeatedly, next try in {wait:.0f} s: {cooling.why}", wait)
