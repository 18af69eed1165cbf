"""What the machine has: the engine's own list of GPUs, psutil for the host."""

import contextlib
import re
import subprocess
from pathlib import Path
from typing import Protocol

import anyio
import psutil

from runners.engine import Engine
from runners.spec import MIB, Device, Kind

HOST = "CPU"
_LINE = re.compile(r"^\s+(\w+): (.*) \((\d+) MiB, (\d+) MiB free\)$", re.MULTILINE)
_CGROUP = Path("/sys/fs/cgroup")


def host() -> Device:
    """The host's memory, within the limits of a container if there are any."""
    memory = psutil.virtual_memory()
    total, free = within(memory.total, memory.available, *_cgroup())
    return Device(HOST, Kind.CPU, total, free, "host memory")


def within(total: int, free: int, limit: int | None, used: int) -> tuple[int, int]:
    """Total and free bytes under a control group's `limit`, of which `used` cannot be had."""
    if limit is None or limit >= total:
        return total, free
    return limit, min(free, max(0, limit - used))


def parse(listing: str) -> tuple[Device, ...]:
    """The GPUs in what `llama-server --list-devices` prints; those without memory left out."""
    return tuple(
        Device(name, Kind.GPU, int(total) * MIB, int(free) * MIB, description)
        for name, description, total, free in _LINE.findall(listing)
        if int(total) > 0
    )


class Probe(Protocol):
    """The machine's devices: the host's memory at once, GPUs as of the last `refresh`."""

    def __call__(self) -> tuple[Device, ...]: ...
    async def refresh(self) -> None: ...


class Devices:
    """The machine as one engine sees it: call for a picture, `refresh` to ask about GPUs again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._gpus: tuple[Device, ...] = ()

    def __call__(self) -> tuple[Device, ...]:
        return (host(), *self._gpus)

    async def refresh(self) -> None:
        self._gpus = await gpus(self._engine)


async def gpus(engine: Engine) -> tuple[Device, ...]:
    """Ask the engine; a fraction of a second with drivers to initialise, 3 ms without."""
    try:
        with anyio.fail_after(30):
            done = await anyio.run_process(
                [str(engine.server), "--list-devices"], stderr=subprocess.STDOUT, check=False
            )
    except (OSError, TimeoutError):
        return ()
    return parse(done.stdout.decode("utf-8", "replace"))


def resident(pid: int) -> int:
    """Bytes of host memory a child holds now; 0 if it is gone."""
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def _cgroup() -> tuple[int | None, int]:
    """The control group's memory limit and what in use cannot be reclaimed (cgroup v2)."""
    with contextlib.suppress(OSError, ValueError):
        limit = (_CGROUP / "memory.max").read_text().strip()
        if limit != "max":
            current = int((_CGROUP / "memory.current").read_text())
            stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
            return int(limit), current - int(stat.get("file", 0))
    return None, 0
