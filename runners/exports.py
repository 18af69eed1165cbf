"""What `from runners import ...` offers: the names that the gateway may use."""

from runners.build.cache import cache_folder
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

# Written out, and not collected from the imports: a type checker reads only a literal list.
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
    "cache_folder",
    "cache_size",
    "find",
    "open_rundir",
    "resident",
]
