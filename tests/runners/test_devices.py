"""What the machine has, read from what the engine and the system print."""

import os
from pathlib import Path

import psutil
import pytest

from runners import devices
from runners.engine import find
from runners.spec import GIB, MIB, Device, DeviceKind
from tests.fakes.engine import fake_engine

pytestmark = pytest.mark.anyio


def test_the_engines_list_names_gpus_and_their_memory() -> None:
    listing = (
        "Available devices:\n"
        "  CUDA0: NVIDIA H100 80GB HBM3 (81079 MiB, 80500 MiB free)\n"
        "  Vulkan1: Intel(R) Graphics (ADL GT2) (11800 MiB, 1 MiB free)\n"
        "  BLAS: OpenBLAS (0 MiB, 0 MiB free)\n"
    )
    assert devices.parse(listing) == (
        Device("CUDA0", DeviceKind.GPU, 81079 * MIB, 80500 * MIB, "NVIDIA H100 80GB HBM3"),
        Device("Vulkan1", DeviceKind.GPU, 11800 * MIB, 1 * MIB, "Intel(R) Graphics (ADL GT2)"),
    )


def test_no_devices_are_none() -> None:
    assert devices.parse("Available devices:\n  (none)\n") == ()


@pytest.mark.parametrize(
    ("limit", "used", "expected"),
    [
        (None, 0, (16 * GIB, 10 * GIB)),
        (32 * GIB, 0, (16 * GIB, 10 * GIB)),
        (8 * GIB, 3 * GIB, (8 * GIB, 5 * GIB)),
        (12 * GIB, 1 * GIB, (12 * GIB, 10 * GIB)),
        (8 * GIB, 9 * GIB, (8 * GIB, 0)),
    ],
)
def test_a_containers_limit_bounds_the_host(
    limit: int | None, used: int, expected: tuple[int, int]
) -> None:
    assert devices.within(16 * GIB, 10 * GIB, limit, used) == expected


def test_the_host_is_this_machine() -> None:
    host = devices.host()
    assert host.kind is DeviceKind.CPU
    assert 0 < host.free <= host.total <= psutil.virtual_memory().total


async def test_gpus_are_listed_by_the_engine_and_remembered(tmp_path: Path) -> None:
    engine = find(str(fake_engine(tmp_path, "--devices", "CUDA0:Card:1000:900")))
    probe = devices.Devices(engine)
    assert [device.name for device in probe()] == ["CPU"]
    await probe.refresh()
    assert probe()[1:] == (Device("CUDA0", DeviceKind.GPU, 1000 * MIB, 900 * MIB, "Card"),)


async def test_an_engine_that_cannot_run_has_no_gpus(tmp_path: Path) -> None:
    engine = find(str(fake_engine(tmp_path)))
    engine.server.write_text("#!/nowhere\n")
    assert await devices.gpus(engine) == ()


def test_resident_memory_is_that_of_the_process() -> None:
    assert devices.resident(os.getpid()) > 10 * MIB
    assert devices.resident(2**22 + 1) == 0
