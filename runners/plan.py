"""The scheduling policy: a view of the world in, a list of actions out.

Pure and level-triggered: it looks at how things are, not at what happened, so a lost or late
event can do no harm, and calling it twice does nothing twice. Time and free memory are in the view.

The rules, in order:

1. A ready runner that is idle past its keep alive and that no lease is pending for stops; a
   starting one that no lease is pending for any more stops too.
2. Pending leases are looked at oldest first. Each gets a slot of a ready runner of its Spec; or
   stays pending for one that is starting or full; or, if its model keeps failing, is rejected; or
   has a runner started where it fits.
3. A pending lease for which there is no room reserves it: idle runners are stopped to make the
   room, and later leases may start only what leaves the reserved room alone.
4. If that room is held by busy runners for longer than `patience`, later leases get no more slots
   of them: they are drained, and stopped when idle. A busy runner is never stopped.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from runners.errors import BackingOff, RunnerError, TooLarge
from runners.evict import victims
from runners.memory import bound, comfortable
from runners.place import Machine, Room, place
from runners.spec import GIB, Device, DeviceKind, Estimate, Limits, Placement, Spec
from runners.states import RunnerState


@dataclass(frozen=True, slots=True)
class RunnerView:
    id: int
    spec: Spec
    state: RunnerState
    placement: Placement
    leases: int = 0
    last_used: float = 0.0
    """When it last became idle. It does not change while the runner is busy, and so the choice of
    the runners to drain stays the same from one plan to the next."""
    expires: float | None = None
    """When an idle runner may go; None while it is busy or not yet ready."""


@dataclass(frozen=True, slots=True)
class PendingView:
    """A pending lease."""

    id: int
    spec: Spec
    arrived: float


@dataclass(frozen=True, slots=True)
class Backoff:
    """A Spec that failed several times in a row is not started again before `until`."""

    until: float
    failure: RunnerError


@dataclass(frozen=True, slots=True)
class View:
    """Everything the policy may know."""

    runners: tuple[RunnerView, ...]
    pending: tuple[PendingView, ...]
    """In order of arrival."""
    devices: tuple[Device, ...]
    limits: Limits
    now: float
    estimates: Mapping[Spec, Estimate] = field(default_factory=dict)
    estimating: frozenset[Spec] = frozenset()
    """Specs for which the engine's estimate is on its way."""
    backoffs: Mapping[Spec, Backoff] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GrantLease:
    lease: int
    runner: int


@dataclass(frozen=True, slots=True)
class RejectLease:
    lease: int
    error: RunnerError


@dataclass(frozen=True, slots=True)
class EstimateSpec:
    """Get the engine's estimate of what `spec` needs."""

    spec: Spec


@dataclass(frozen=True, slots=True)
class StartRunner:
    spec: Spec
    placement: Placement
    why: str


@dataclass(frozen=True, slots=True)
class StopRunner:
    runner: int
    why: str


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Nothing to do before `at`; plan again then even if nothing happens."""

    at: float


Action = GrantLease | RejectLease | EstimateSpec | StartRunner | StopRunner | WakeAt
_LIVE = (RunnerState.STARTING, RunnerState.READY, RunnerState.STOPPING)
_MAX_BACKOFF = 60.0


def plan(view: View) -> list[Action]:
    """What to do now. Applying the actions and planning again at once yields at most a WakeAt.

    But for a StartRunner now and then: with several GPUs, when room that is reserved on all of them
    shifts, and when it becomes clear what a runner that was stopped while it started had taken.
    """
    planner = _Planner(view)
    planner.retire()
    for lease in view.pending:
        planner.serve(lease)
    if planner.wakes:
        planner.actions.append(WakeAt(min(planner.wakes)))
    return planner.actions


def most_runners(limits: Limits, devices: Sequence[Device]) -> int:
    """The cap on live runners: as set, else three for each GPU, three without one."""
    gpus = sum(device.kind is DeviceKind.GPU for device in devices)
    return limits.runners or 3 * max(1, gpus)


def backoff_seconds(failures: int) -> float:
    """Seconds without a new attempt after so many failures in a row: 0, 1, 2, 4 … 60."""
    # The first failure may be bad luck, and the next request tries again at once. Without a pause
    # after that a model that cannot load would be loaded for every request, each time at the cost
    # of whoever has to make room for it.
    return 0.0 if failures < 2 else min(2.0 ** (failures - 2), _MAX_BACKOFF)


@dataclass(frozen=True, slots=True)
class _Reservation:
    placement: Placement
    awaited: frozenset[int]
    """The runners, of this and of earlier reservations, that have to leave for it."""


class _Planner:
    """Scratch for one call of `plan`: what earlier decisions of this call have taken already."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.actions: list[Action] = []
        self.most = most_runners(view.limits, view.devices)
        self.live = [runner for runner in view.runners if runner.state in _LIVE]
        self.leases = {runner.id: runner.leases for runner in self.live}
        """Leases of each runner, those granted in this call included."""
        # A list, because every request comes through here: `in` mostly meets the very same object,
        # while a set would hash all fields of each Spec.
        self.wanted = [lease.spec for lease in view.pending]
        self.stopped: frozenset[int] = frozenset()
        """Runners that this call stops."""
        self.reserved: list[_Reservation] = []
        """For older leases, in order of arrival."""
        self.awaited: frozenset[int] = frozenset()
        """Runners whose memory is counted on in `reserved`, although they do not stop yet."""
        self.drained: set[int] = set()
        """Runners that get no more leases."""
        self.estimating = set(view.estimating)
        self.wakes: list[float] = []

    # Rule 1

    def retire(self) -> None:
        for runner in self.live:
            if runner.spec in self.wanted:
                continue
            if runner.state is RunnerState.STARTING:
                self._stop(runner, "nobody waits for it any more")
            elif runner.state is RunnerState.READY and runner.expires is not None:
                # Whoever comes for this one is sent to a ready one with a larger context. But what
                # is to stay for ever stays.
                replaced = runner.expires < math.inf and any(
                    other.state is RunnerState.READY
                    and other.spec.context > runner.spec.context
                    and other.spec.covers(runner.spec)
                    for other in self.live
                )
                if runner.expires <= self.view.now:
                    self._stop(runner, "idle past its keep alive")
                elif replaced:
                    self._stop(runner, "idle, and one with a larger context is there")
                else:
                    self.wakes.append(runner.expires)

    # Rule 2

    def serve(self, lease: PendingView) -> None:
        spec = lease.spec
        mine = [r for r in self.live if r.spec == spec and r.id not in self.stopped]
        for runner in mine:
            if runner.state is RunnerState.READY and runner.id not in self.drained:
                # A full one is waited for: a second runner of the same weights would take the
                # memory of another model, and the cores of the first.
                if self.leases[runner.id] < spec.parallel:
                    self.leases[runner.id] += 1
                    self.actions.append(GrantLease(lease.id, runner.id))
                return
        # One that is drained is waited for as well, and started again after the older lease it is
        # drained for has had its turn.
        if any(r.state is RunnerState.STARTING or r.id in self.drained for r in mine):
            return
        backoff = self.view.backoffs.get(spec)
        if backoff and backoff.until > self.view.now:
            error = BackingOff(backoff.failure, backoff.until - self.view.now)
            self.actions.append(RejectLease(lease.id, error))
        elif (need := self._need(spec)) is None:
            return
        elif place(spec, need, self.machine, self.machine.capacity) is None:
            most = sum(self.machine.capacity.values())
            text = (
                f"model requires more memory ({need.total / GIB:.1f} GiB with a context of "
                f"{spec.context} tokens in {spec.parallel} slots) than is available "
                f"({most / GIB:.1f} GiB)"
            )
            self.actions.append(RejectLease(lease.id, TooLarge(text)))
        elif placement := self._fits_now(spec, need):
            self._start(lease, placement)
        else:
            self._make_room(lease, need)

    def _need(self, spec: Spec) -> Estimate | None:
        """An estimate, or a bound that plainly fits; None while the estimate is on its way."""
        if known := self.view.estimates.get(spec):
            return known
        guess = bound(spec)
        if comfortable(guess, self.view.devices):
            return guess
        if spec not in self.estimating:
            self.estimating.add(spec)
            self.actions.append(EstimateSpec(spec))
        return None

    # Rules 3 and 4

    def _make_room(self, lease: PendingView, need: Estimate) -> None:
        """Stop what is idle, drain what is busy, and reserve the room that they will leave."""
        # Why a lease that does not fit reserves memory: a large model needs several runners to be
        # gone at the same time. If later, smaller ones could start in whatever comes free, it would
        # wait for as long as they keep coming. And why later ones may start in what is left over: a
        # request that can run must not wait for one that cannot.
        spec = lease.spec
        settled = [r for r in self.live if r.id not in self._stopping() | self.awaited]
        # Those that an older lease of this call was granted are not idle any more.
        idle = [r for r in settled if r.state is RunnerState.READY and not self.leases[r.id]]

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
            self._stop(runner, f"room for {spec}, wanted by request {lease.id}")
        # Up to `patience` newcomers still share a busy runner, which costs this lease little and
        # spares them a load. After it they wait, or a steady stream would keep the runner for ever.
        due = lease.arrived + self.view.limits.patience
        if due <= self.view.now:
            self.drained |= {runner.id for runner in awaited}
        elif awaited:
            self.wakes.append(due)
        if placement := self._fits_now(spec, need):
            # What goes was in the way of a reservation only, not of this lease.
            self._start(lease, placement)
        elif placement := self._fits_after(spec, need, awaited):
            self.awaited |= {runner.id for runner in awaited}
            self.reserved.append(_Reservation(placement, self.awaited))

    # Room

    def _stopping(self) -> frozenset[int]:
        stopping = (r.id for r in self.live if r.state is RunnerState.STOPPING)
        return self.stopped.union(stopping)

    def _fits_now(self, spec: Spec, need: Estimate) -> Placement | None:
        """Where `need` fits as things are, and leaves every reservation its room."""
        if len(self.live) >= self.most:
            return None
        # Two views of the present have to agree, since neither sees all: what is set aside for
        # runners counts memory that they have not taken yet, and what is free counts that of other
        # programs.
        starting = [r for r in self.live if r.state is RunnerState.STARTING]
        unused = {
            device.name: device.free - sum(r.placement.on(device.name) for r in starting)
            for device in self.view.devices
        }
        rooms: list[Room] = [self._room(self.live, ()), unused]
        # Then the future, one reservation after the other: when its turn comes, this runner is
        # still there, and later reservations are not yet. Looking at the last one only would let
        # this runner borrow room that comes free late for room that is needed soon.
        for filled, reservation in enumerate(self.reserved, 1):
            later = self._room_after(reservation.awaited, filled)
            if later is None:
                return None
            rooms.append(later)
        room = {name: min(each[name] for each in rooms) for name in self.machine.capacity}
        return place(spec, need, self.machine, room)

    def _fits_after(
        self, spec: Spec, need: Estimate, gone: Sequence[RunnerView]
    ) -> Placement | None:
        """Where `need` fits once all reservations are filled and `gone` has left as well."""
        awaited = self.awaited | {runner.id for runner in gone}
        room = self._room_after(awaited, len(self.reserved))
        return place(spec, need, self.machine, room) if room is not None else None

    def _room_after(self, awaited: frozenset[int], filled: int) -> Room | None:
        """Bytes left once what stops and `awaited` have left and so many reservations are filled.

        None if the cap on runners is reached then.
        """
        gone = self._stopping() | awaited
        staying = [runner for runner in self.live if runner.id not in gone]
        if len(staying) + filled >= self.most:
            return None
        return self._room(staying, [each.placement for each in self.reserved[:filled]])

    def _room(self, runners: Sequence[RunnerView], reserved: Collection[Placement]) -> Room:
        """Bytes of each device that are neither foreign, nor set aside for these."""
        placements = [*(runner.placement for runner in runners), *reserved]
        return {
            name: size - sum(placement.on(name) for placement in placements)
            for name, size in self.machine.capacity.items()
        }

    @cached_property
    def machine(self) -> Machine:
        """The devices, less what is foreign on them: the most that could ever be given."""
        whole = Machine.of(self.view.devices, self.view.limits)
        capacity: dict[str, int] = {}
        for device in whole.devices:
            ours = sum(runner.placement.on(device.name) for runner in self.live)
            headroom = device.total - whole.capacity[device.name]
            # Mapped weights count as free to the operating system, so what is used may be less than
            # what our runners hold: then nothing is foreign.
            foreign = max(0, device.total - device.free - ours - headroom)
            capacity[device.name] = max(0, whole.capacity[device.name] - foreign)
        return replace(whole, capacity=capacity)

    # Actions

    def _start(self, lease: PendingView, placement: Placement) -> None:
        # From here on it counts as a runner, under a number that no real one has, so that later
        # leases of its Spec wait for it and others leave it its memory.
        number = -1 - len(self.actions)
        self.live.append(
            RunnerView(number, lease.spec, RunnerState.STARTING, placement, last_used=self.view.now)
        )
        self.actions.append(StartRunner(lease.spec, placement, f"wanted by request {lease.id}"))

    def _stop(self, runner: RunnerView, why: str) -> None:
        self.stopped |= {runner.id}
        self.actions.append(StopRunner(runner.id, why))
