"""Which devices a Spec gets. Pure: an estimate and what is free, in; a Placement or None, out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate

from runners.spec import Device, DeviceKind, Estimate, Limits, Placement, Spec

Room = Mapping[str, int]
"""Bytes that may still be given to runners, by device name."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The devices, and how many bytes of each runners may fill in all."""

    devices: tuple[Device, ...]
    capacity: Room
    spread: bool = False

    @classmethod
    def of(cls, devices: Iterable[Device], limits: Limits) -> "Machine":
        devices = tuple(devices)
        capacity = {device.name: usable(device, limits) for device in devices}
        return cls(devices, capacity, limits.spread)

    @property
    def host(self) -> str:
        return next(device.name for device in self.devices if device.kind is DeviceKind.CPU)

    @property
    def gpus(self) -> tuple[str, ...]:
        return tuple(device.name for device in self.devices if device.kind is DeviceKind.GPU)

    def only(self, gpu: str) -> "Machine":
        """As if there were no other GPU."""
        kept = (d for d in self.devices if d.kind is DeviceKind.CPU or d.name == gpu)
        return replace(self, devices=tuple(kept))


def usable(device: Device, limits: Limits) -> int:
    """Bytes of a device that runners may fill."""
    overhead = limits.overhead if device.kind is DeviceKind.GPU else 0
    return max(0, int(device.total * (1 - limits.headroom)) - overhead)


def place(spec: Spec, need: Estimate, machine: Machine, room: Room) -> Placement | None:
    """The first that fits: the host alone, one GPU, all GPUs, GPUs and host together; else None."""
    # Other programs may have taken what was already given: a room below zero is none.
    room = {name: max(0, size) for name, size in room.items()}
    host = machine.host
    if not machine.gpus or spec.gpu_layers == 0:
        return _fits({host: need.total}, room)
    if spec.main_gpu is not None and 0 <= spec.main_gpu < len(machine.gpus):
        machine = machine.only(machine.gpus[spec.main_gpu])
    if machine.spread and (everywhere := _on_all(need, machine, room)):
        return everywhere
    # One GPU before several, since tokens then need not cross from one to the next; the emptiest
    # first, so that two models do not meet on one GPU while another has nothing to do.
    for name in sorted(machine.gpus, key=lambda name: -room[name]):
        if one := _fits({name: need.gpu, host: need.host}, room, (name,)):
            return one
    return _on_all(need, machine, room) or _split(need, machine, room)


def _on_all(need: Estimate, machine: Machine, room: Room) -> Placement | None:
    """Spread in proportion to what is free, as the engine splits layers."""
    free = sum(room[name] for name in machine.gpus)
    if len(machine.gpus) < 2 or free < max(1, need.gpu):
        return None
    # Cut at running sums, so that what rounding takes from one share goes to the next.
    ends = [need.gpu * upto // free for upto in accumulate(room[name] for name in machine.gpus)]
    shares = {
        name: end - start
        for name, start, end in zip(machine.gpus, [0, *ends[:-1]], ends, strict=True)
    }
    return _fits({**shares, machine.host: need.host}, room, machine.gpus)


def _split(need: Estimate, machine: Machine, room: Room) -> Placement | None:
    """Fill the GPUs, the rest on the host."""
    # Layers on the host are many times slower. So what the GPUs could hold once they are empty
    # waits for them, and what they can never hold waits until they are nearly empty.
    most = sum(machine.capacity[name] for name in machine.gpus)
    free = sum(room[name] for name in machine.gpus)
    if need.gpu <= max(most, free) or free < 0.8 * most:
        return None
    shares = {name: room[name] for name in machine.gpus}
    shares[machine.host] = need.gpu - free + need.host
    return _fits(shares, room, machine.gpus, fitted=False)


def _fits(
    shares: dict[str, int], room: Room, devices: tuple[str, ...] = (), *, fitted: bool = True
) -> Placement | None:
    if any(size > room[name] for name, size in shares.items()):
        return None
    return Placement(tuple(shares.items()), devices, fitted)
