"""The devices of the machine: GPUs as the engine lists them, host memory from psutil.

The engine's own list is right for CUDA, ROCm, Metal and Vulkan alike, and leaves out what its build
cannot use.
"""

import contextlib
import re
import subprocess
from pathlib import Path
from typing import Protocol

import anyio
import psutil

from runners.engine import Engine
from runners.spec import MIB, Device, DeviceKind

HOST = "CPU"
_LINE = re.compile(r"^\s+(\w+): (.*) \((\d+) MiB, (\d+) MiB free\)$", re.MULTILINE)
_CGROUP = Path("/sys/fs/cgroup")


def host() -> Device:
    """The host's memory, within the limits of a container if there are any (cgroup v2)."""
    memory = psutil.virtual_memory()
    limit: int | None = None
    used = 0
    with contextlib.suppress(OSError, ValueError):
        # "max", where there is no limit, is no number.
        most = int((_CGROUP / "memory.max").read_text())
        stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        # Pages of files are counted as in use, and are given back as soon as somebody needs memory;
        # without this a container that has read its models once would seem full.
        current = int((_CGROUP / "memory.current").read_text())
        limit, used = most, current - int(stat.get("file", 0))
    total, free = within(memory.total, memory.available, limit, used)
    return Device(HOST, DeviceKind.CPU, total, free, "host memory")


def within(total: int, free: int, limit: int | None, used: int) -> tuple[int, int]:
    """Total and free bytes under a control group's `limit`, of which `used` cannot be had."""
    if limit is None or limit >= total:
        return total, free
    return limit, min(free, max(0, limit - used))


def parse(listing: str) -> tuple[Device, ...]:
    """The GPUs in what `llama-server --list-devices` prints; those without memory left out."""
    return tuple(
        Device(name, DeviceKind.GPU, int(total) * MIB, int(free) * MIB, description)
        for name, description, total, free in _LINE.findall(listing)
        if int(total) > 0
    )


class Probe(Protocol):
    """The machine's devices: the host's memory at once, GPUs as of the last `refresh`."""

    def __call__(self) -> tuple[Device, ...]: ...
    async def refresh(self) -> None: ...


class Devices:
    """The machine as one engine sees it. Calling it returns the devices."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._gpus: tuple[Device, ...] = ()

    def __call__(self) -> tuple[Device, ...]:
        return (host(), *self._gpus)

    async def refresh(self) -> None:
        self._gpus = await gpus(self._engine)


async def gpus(engine: Engine) -> tuple[Device, ...]:
    """The engine's list of GPUs; none if it cannot be run."""
    # A fraction of a second with drivers to initialise, 3 ms without: too long for every plan.
    try:
        with anyio.fail_after(30):
            done = await anyio.run_process(
                [str(engine.server), "--list-devices"], stderr=subprocess.STDOUT, check=False
            )
    except (OSError, TimeoutError):
        return ()
    return parse(done.stdout.decode("utf-8", "replace"))


def resident(pid: int) -> int:
    """Bytes of host memory that a process holds now; 0 if it is gone."""
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0
