"""What `from runners import ...` offers: the names that the gateway may use."""

from runners.build.cache import cache_folder
from runners.devices import Devices, resident
from runners.engine import Engine, find
from runners.errors import (
    Busy,
    Cause,
    CoolingDown,
    Crashed,
    Refused,
    RunnerError,
    StartFailed,
    Stopped,
    TooLarge,
)
from runners.flags import ALIAS
from runners.measure import Measurer
from runners.memory import cache_size
from runners.records import Lease, RunnerInfo, Snapshot
from runners.rundir import open_rundir
from runners.scheduler import Scheduler
from runners.spec import GIB, MIB, Device, Kind, Limits, Shape, Spec
from runners.states import State
from runners.supervise import Supervisor
from runners.upstream import Upstream

__all__ = [
    "ALIAS",
    "GIB",
    "MIB",
    "Busy",
    "Cause",
    "CoolingDown",
    "Crashed",
    "Device",
    "Devices",
    "Engine",
    "Kind",
    "Lease",
    "Limits",
    "Measurer",
    "Refused",
    "RunnerError",
    "RunnerInfo",
    "Scheduler",
    "Shape",
    "Snapshot",
    "Spec",
    "StartFailed",
    "State",
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
