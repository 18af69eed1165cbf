"""The inward half of Paddock: runners and devices. `Scheduler.lease` is the only door.

A runner is one llama-server process under our care.
"""

from runners.devices import Devices, resident
from runners.engine import Engine, find
from runners.errors import (
    BackingOff,
    Busy,
    Cause,
    Crashed,
    Disconnected,
    Refused,
    RunnerError,
    StartFailed,
    Stopped,
    TooLarge,
)
from runners.estimate import EngineEstimator
from runners.flags import ALIAS
from runners.lease import Lease
from runners.memory import cache_size
from runners.rundir import open_rundir
from runners.runner import RunnerInfo, Snapshot
from runners.scheduler import Scheduler
from runners.spec import GIB, MIB, Device, DeviceKind, Limits, Shape, Spec
from runners.states import RunnerState
from runners.supervise import Supervisor
from runners.upstream import Upstream

__all__ = [
    "ALIAS",
    "GIB",
    "MIB",
    "BackingOff",
    "Busy",
    "Cause",
    "Crashed",
    "Device",
    "DeviceKind",
    "Devices",
    "Disconnected",
    "Engine",
    "EngineEstimator",
    "Lease",
    "Limits",
    "Refused",
    "RunnerError",
    "RunnerInfo",
    "RunnerState",
    "Scheduler",
    "Shape",
    "Snapshot",
    "Spec",
    "StartFailed",
    "Stopped",
    "Supervisor",
    "TooLarge",
    "Upstream",
    "cache_size",
    "find",
    "open_rundir",
    "resident",
]
