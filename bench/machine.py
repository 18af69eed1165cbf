"""Where it was measured, and whether somebody else used the processors meanwhile."""

import os
import platform
from dataclasses import dataclass
from typing import Any

import psutil

from bench.gateway import busy
from runners import Engine


def facts(engine: Engine) -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "engine": engine.version,
    }


@dataclass(frozen=True, slots=True)
class Use:
    """Processor seconds so far."""

    all: float
    """Of everybody, idle time included."""
    idle: float
    ours: float
    """Of the bench and of every process it started."""

    @classmethod
    def now(cls, load: psutil.Process) -> "Use":
        """Only `load`, of all the bench's children, may be running: the others are in its sum."""
        times = psutil.cpu_times()
        # Linux counts a guest's time as its host's time as well.
        counted = {k: v for k, v in times._asdict().items() if not k.startswith("guest")}
        idle = counted["idle"] + counted.get("iowait", 0.0)
        return cls(sum(counted.values()), idle, sum(os.times()[:4]) + busy(load))

    def others(self, before: "Use") -> float:
        """The part of the machine that others have used since `before`: 0 to 1."""
        spent = self.all - before.all
        if spent <= 0:
            return 0.0
        used = spent - (self.idle - before.idle) - (self.ours - before.ours)
        return min(1.0, max(0.0, used / spent))
