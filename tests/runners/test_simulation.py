"""The policy let loose on machines, requests and failures that nobody thought of.

Hypothesis draws a case; a queue of events in virtual time plays it on a `PlanWorld`, which checks
after every event that nothing is over-committed, doubled or stopped while busy. At the end no lease
may be pending and nothing may be held.
"""

import heapq
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from runners.errors import TooLarge
from runners.place import Machine, place
from runners.spec import Device, DeviceKind, Estimate, Limits
from runners.states import RunnerState
from tests.runners.plan_world import PlanWorld, gpu, host, spec

SPECS = {
    "a": spec("a", parallel=2),
    "a, longer": spec("a", parallel=2, context=2),
    "b": spec("b"),
    "c": spec("c", parallel=3),
    "on the host": spec("d", gpu_layers=0),
    "on GPU1": spec("e", main_gpu=1),
}


@dataclass(frozen=True)
class Visit:
    """One request: when it comes, what for, how long it holds its lease, when it loses patience."""

    at: int
    spec: str
    hold: int
    gives_up: int | None
    keep_alive: int


@dataclass(frozen=True)
class Fate:
    """One runner's life: whether its start works out, and how long it lasts if it crashes."""

    load: int
    fails: bool
    crashes_after: int | None
    stop: int


@dataclass(frozen=True)
class Case:
    devices: tuple[Device, ...]
    limits: Limits
    needs: dict[str, Estimate]
    estimated: bool
    visits: tuple[Visit, ...]
    fates: tuple[Fate, ...]
    foreign: tuple[tuple[int, int, int], ...]
    """(when, which device, bytes from then on)"""
    unloads: tuple[tuple[int, str], ...]

    @property
    def calm(self) -> bool:
        """Nothing but requests happens."""
        return not self.foreign and not any(f.fails or f.crashes_after for f in self.fates)


@dataclass
class Simulation:
    case: Case
    world: PlanWorld = field(init=False)
    events: list[tuple[float, int, Callable[[], object]]] = field(default_factory=list)
    count: int = 0
    followed: set[tuple[str, object]] = field(default_factory=set)
    """What has been given its next event: loads, stops, leases, estimates, wakes."""
    granted: dict[int, float] = field(default_factory=dict)
    queue: dict[int, int] = field(default_factory=dict)
    """How many waited when a request came."""

    def run(self) -> None:
        case = self.case
        needs = {SPECS[name]: need for name, need in case.needs.items()}
        known = set(needs) if case.estimated else set()
        self.world = PlanWorld(case.devices, needs, case.limits, known)
        for request, visit in enumerate(case.visits, 1):
            self.at(visit.at, partial(self.arrives, request, visit))
            if visit.gives_up is not None:
                self.at(visit.at + visit.gives_up, partial(self.gives_up, request))
        for when, index, size in case.foreign:
            self.at(when, partial(self.takes, index, size))
        for when, digest in case.unloads:
            self.at(when, partial(self.world.expires, digest))
        while self.events:
            self.world.now, _, happens = heapq.heappop(self.events)
            happens()
            self.follow()
            assert self.count < 3000, "it never comes to rest"

    def at(self, when: float, happens: Callable[[], object]) -> None:
        self.count += 1
        heapq.heappush(self.events, (when, self.count, happens))

    def once(self, what: str, which: object, after: float, happens: Callable[[], object]) -> None:
        if (what, which) not in self.followed:
            self.followed.add((what, which))
            self.at(self.world.now + after, happens)

    # What happens

    def arrives(self, request: int, visit: Visit) -> None:
        self.queue[request] = len(self.world.pending)
        self.world.arrives(request, SPECS[visit.spec])

    def gives_up(self, request: int) -> None:
        if request in self.world.pending:
            self.world.leaves(request)

    def takes(self, index: int, size: int) -> None:
        """A GPU is not probed because of that; see `PlanWorld.probed`."""
        device = self.case.devices[index % len(self.case.devices)]
        self.world.foreign[device.name] = size
        if device.kind is DeviceKind.CPU:
            self.world.known[device.name] = size
        self.world.replan()

    def loaded(self, runner: int, fate: Fate) -> None:
        seen = self.world.runners.get(runner)
        if seen is None or seen.state is not RunnerState.STARTING:
            return
        if fate.fails:
            self.world.fails(runner)
            return
        self.world.ready(runner)
        if fate.crashes_after is not None:
            self.at(self.world.now + fate.crashes_after, partial(self.crashes, runner))

    def crashes(self, runner: int) -> None:
        seen = self.world.runners.get(runner)
        if seen is not None and seen.state is RunnerState.READY:
            self.world.fails(runner)

    # What follows from the plan's actions

    def follow(self) -> None:
        world, case = self.world, self.case
        for number, runner in world.runners.items():
            fate = case.fates[number % len(case.fates)]
            if runner.state is RunnerState.STARTING:
                self.once("load", number, fate.load, partial(self.loaded, number, fate))
            elif runner.state is RunnerState.STOPPING:
                self.once("stop", number, fate.stop, partial(world.gone, number))
        for request, number in world.leases.items():
            visit = case.visits[request - 1]
            if request not in self.granted:
                self.granted[request] = world.now
                world.keep_alive[number] = visit.keep_alive
            self.once("hold", request, visit.hold, partial(world.leaves, request))
        for wish in world.estimating:
            self.once("estimate", wish, 1, partial(world.estimates, wish))
        if world.wake is not None and world.wake < math.inf:
            self.once("wake", world.wake, world.wake - world.now, world.replan)


def seconds(most: int) -> st.SearchStrategy[int]:
    return st.integers(0, most)


def fates(calm: bool) -> st.SearchStrategy[tuple[Fate, ...]]:
    fate = st.builds(
        Fate,
        load=seconds(4),
        fails=st.just(False) if calm else st.booleans(),
        crashes_after=st.none() if calm else st.none() | seconds(6),
        stop=seconds(2),
    )
    return st.lists(fate, min_size=1, max_size=6).map(tuple)


@st.composite
def cases(draw: st.DrawFn, calm: bool = False) -> Case:
    sizes = draw(st.lists(st.integers(8, 14), max_size=2))
    devices = (
        host(draw(st.integers(10, 24))),
        *(gpu(number, size) for number, size in enumerate(sizes)),
    )
    visit = st.builds(
        Visit,
        at=seconds(30),
        spec=st.sampled_from(sorted(SPECS)),
        hold=seconds(5),
        gives_up=st.none() if calm else st.none() | seconds(8),
        keep_alive=st.sampled_from([0, 0, 3, 50]),
    )
    return Case(
        devices=devices,
        limits=Limits(
            runners=draw(st.sampled_from([0, 0, 1, 2])),
            headroom=draw(st.sampled_from([0.0, 0.1])),
            overhead=draw(st.sampled_from([0, 2])),
            spread=draw(st.booleans()),
            patience=draw(st.sampled_from([0.0, 2.0])),
        ),
        needs={
            each: Estimate(draw(st.integers(1, 16)), draw(st.integers(0, 3)))
            for each in sorted(SPECS)
        },
        estimated=draw(st.booleans()),
        visits=tuple(draw(st.lists(visit, min_size=1, max_size=25))),
        fates=draw(fates(calm)),
        foreign=()
        if calm
        else tuple(draw(st.lists(st.tuples(seconds(30), seconds(2), seconds(9)), max_size=4))),
        unloads=tuple(draw(st.lists(st.tuples(seconds(30), st.sampled_from("abcde")), max_size=2))),
    )


def everybody_was_served_and_nothing_is_left(simulation: Simulation) -> None:
    world, case = simulation.world, simulation.case
    assert not world.pending
    assert not world.leases
    assert not world.estimating
    assert not world.runners, "every keep alive was finite"
    for request, visit in enumerate(case.visits, 1):
        ends = Counter({"granted": request in simulation.granted})
        ends["rejected"] = request in world.rejected
        if visit.gives_up is None:
            assert ends.total() == 1, (request, ends)
        assert ends.total() <= 1, (request, ends)


@settings(max_examples=200, deadline=None)
@given(cases())
def test_any_world_comes_to_rest_with_nothing_lost_and_nothing_held(case: Case) -> None:
    simulation = Simulation(case)
    simulation.run()
    everybody_was_served_and_nothing_is_left(simulation)


@settings(max_examples=200, deadline=None)
@given(cases(calm=True))
def test_without_failures_everybody_who_fits_is_served_in_bounded_time(case: Case) -> None:
    simulation = Simulation(case)
    simulation.run()
    everybody_was_served_and_nothing_is_left(simulation)
    machine = Machine.of(case.devices, case.limits)
    load, stop = max(f.load for f in case.fates), max(f.stop for f in case.fates)
    hold = max(visit.hold for visit in case.visits)
    # The oldest waits for its estimate, its patience, for who holds its room to load, to end
    # and to stop, and for its own load.
    turn = 1 + case.limits.patience + 2 * load + hold + 2 * stop
    for request, visit in enumerate(case.visits, 1):
        need = case.needs[visit.spec]
        if place(SPECS[visit.spec], need, machine, machine.capacity) is None:
            assert isinstance(simulation.world.rejected[request], TooLarge)
        else:
            waited = simulation.granted[request] - visit.at
            assert waited <= turn * (1 + simulation.queue[request])


def test_a_stream_of_requests_for_one_model_does_not_starve_another() -> None:
    """Overlapping requests keep a runner busy; one request is for another that has no room."""
    visits = [Visit(at, "c", hold=2, gives_up=None, keep_alive=50) for at in range(60)]
    visits.append(Visit(10, "b", hold=2, gives_up=None, keep_alive=50))
    case = Case(
        devices=(host(10),),
        limits=Limits(headroom=0.0, patience=2.0),
        needs={"b": Estimate(8, 0), "c": Estimate(8, 0)},
        estimated=True,
        visits=tuple(visits),
        fates=(Fate(load=1, fails=False, crashes_after=None, stop=1),),
        foreign=(),
        unloads=(),
    )
    simulation = Simulation(case)
    simulation.run()
    everybody_was_served_and_nothing_is_left(simulation)
    # Patience, the last request, a stop and a load.
    assert simulation.granted[61] <= 10 + 2 + 2 + 1 + 1
    patient = replace(case, limits=replace(case.limits, patience=1000.0))
    unfair = Simulation(patient)
    unfair.run()
    assert unfair.granted[61] > 60, "without draining it waits for the end of the stream"
