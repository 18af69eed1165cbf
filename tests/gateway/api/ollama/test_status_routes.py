"""Whether we are there, and what is loaded."""

import time
from datetime import datetime
from typing import Any

import pytest

from gateway import __version__
from runners import GIB, MIB, Device, DeviceKind
from tests.fakes.server import Gateway, open_gateway, running_gateway

pytestmark = pytest.mark.anyio

SAY = {"messages": [{"role": "user", "content": "hi"}], "stream": False}


async def loaded(gateway: Gateway) -> list[dict[str, Any]]:
    response = await gateway.client.get("/api/ps")
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    return list(response.json()["models"])


async def load(gateway: Gateway, name: str, **more: Any) -> None:
    reply = await gateway.client.post("/api/chat", json={"model": name, **SAY, **more})
    assert reply.status_code == 200


def left(row: dict[str, Any]) -> float:
    """Seconds until a model goes."""
    return datetime.fromisoformat(row["expires_at"]).timestamp() - time.time()


async def test_clients_find_the_words_they_look_for() -> None:
    async with open_gateway() as gateway:
        get, head = await gateway.client.get("/"), await gateway.client.head("/")
        assert get.text == "Ollama is running"
        assert get.headers["content-type"] == "text/plain; charset=utf-8"
        assert (head.status_code, head.content) == (200, b"")


async def test_the_version_is_ollamas_with_ours_and_the_engines_beside_it() -> None:
    async with open_gateway() as gateway:
        response = await gateway.client.get("/api/version")
        assert response.json() == {
            "version": "0.33.0",
            "paddock": __version__,
            "engine": {"version": "fake", "flavour": "cpu"},
        }
        head = await gateway.client.head("/api/version")
        assert head.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(("off", "source"), [(False, "none"), (True, "env")])
async def test_there_is_no_cloud(off: bool, source: str) -> None:
    async with open_gateway(no_cloud=off) as gateway:
        response = await gateway.client.get("/api/status")
        assert response.json() == {"cloud": {"disabled": True, "source": source}}


async def test_nothing_is_loaded_at_first() -> None:
    async with open_gateway() as gateway:
        gateway.add()
        assert (await gateway.client.get("/api/ps")).content == b'{"models":[]}'


async def test_a_loaded_model_is_shown_with_its_size_and_its_time() -> None:
    async with open_gateway() as gateway:
        model = gateway.add("Ns/Mod:Tag")
        await load(gateway, "ns/mod:tag", keep_alive="10m")
        [row] = await loaded(gateway)
        assert 590 < left(row) <= 600
        assert row.pop("size") > MIB
        del row["expires_at"]
        assert row == {
            "name": "Ns/Mod:Tag",
            "model": "Ns/Mod:Tag",
            "digest": model.digest,
            "details": {
                "parent_model": "",
                "format": "gguf",
                "family": "llama",
                "families": ["llama"],
                "parameter_size": model.config.size,
                "quantization_level": "F16",
            },
            "size_vram": 0,
            "context_length": 1024,
        }


async def test_the_memory_of_gpus_is_counted_apart() -> None:
    gpus = tuple(Device(f"GPU{n}", DeviceKind.GPU, 8 * GIB, 8 * GIB) for n in range(2))
    async with open_gateway(gpus=gpus) as gateway:
        gateway.add()
        await load(gateway, "m")
        [row] = await loaded(gateway)
        assert row["size_vram"] == MIB
        assert row["size"] > 2 * MIB


async def test_a_model_that_stays_for_ever_goes_in_292_years() -> None:
    async with open_gateway() as gateway:
        gateway.add()
        await load(gateway, "m", keep_alive=-1)
        [row] = await loaded(gateway)
        assert 292 * 365 < left(row) / 86400 < 293 * 365


async def test_the_longest_lived_comes_first() -> None:
    async with open_gateway() as gateway:
        for number, seconds in enumerate((60, 6000, 600)):
            gateway.add(f"m{number}", pieces=(f"piece{number}",))
            await load(gateway, f"m{number}", keep_alive=seconds)
        assert [row["name"] for row in await loaded(gateway)] == [
            "m1:latest",
            "m2:latest",
            "m0:latest",
        ]


async def test_a_busy_model_has_its_whole_time_before_it() -> None:
    async with running_gateway("--stall-after", "1") as gateway:
        gateway.add()
        async with gateway.connect() as client:
            await client.post("/api/chat", {"model": "m", **SAY, "stream": True, "keep_alive": 50})
            await client.until(b"Hello ")
            [row] = await loaded(gateway)
            assert 40 < left(row) <= 50


async def test_a_runner_that_nobody_remembers_asking_for_is_not_shown() -> None:
    async with open_gateway() as gateway:
        gateway.add()
        await load(gateway, "m")
        gateway.services.models.loaded.clear()
        assert await loaded(gateway) == []


async def test_a_model_that_is_not_ready_is_not_shown() -> None:
    async with running_gateway("--load", "60") as gateway:
        gateway.add()
        async with gateway.connect() as client:
            await client.post("/api/chat", {"model": "m", **SAY})
            await gateway.until(lambda: len(gateway.scheduler.snapshot().runners) == 1)
            assert await loaded(gateway) == []
