"""A create that takes long: told as it goes on, and ended when its client leaves."""

import json
import sys
from pathlib import Path

import psutil
import pytest

from tests.fakes.server import Gateway, running_gateway

pytestmark = pytest.mark.anyio

# Leaves a note with its process id, says that a tensor is done, and does not end.
TOOL = """#!{python}
import os, sys, time
open(sys.argv[-2], "wb").write(b"half")
sys.stderr.write("[   1/   9] output.weight - [ 1 ], type = f16, size = 0.1 MiB\\n")
sys.stderr.flush()
open({note!r}, "w").write(str(os.getpid()))
time.sleep(600)
"""


def hanging(gateway: Gateway) -> Path:
    """Put a program that hangs beside the engine; returns where its note will be."""
    note = gateway.folder / "note"
    path = gateway.services.engine.server.with_name("llama-quantize")
    path.write_text(TOOL.format(python=sys.executable, note=str(note)))
    path.chmod(0o755)
    return note


def halves(gateway: Gateway) -> list[str]:
    """Files in the blobs' folder that are no blobs."""
    return [f.name for f in gateway.services.library.blobs.files() if f.name.endswith(".new")]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_the_quantizer(stream: bool) -> None:
    async with running_gateway() as gateway:
        gateway.add("base")
        note = hanging(gateway)
        body = {"model": "made", "from": "base", "quantize": "q8_0", "stream": stream}
        async with gateway.connect() as client:
            await client.post("/api/create", body)
            if stream:
                output = await client.until(b'"completed"')
                line = output.partition(b"\r\n\r\n")[2].splitlines()[1]
                reported = json.loads(line)
                assert reported["status"] == "quantizing F16 model to Q8_0"
                assert "completed" not in reported
            await gateway.until(lambda: note.exists() and note.read_text() != "")
            pid = int(note.read_text())
            assert psutil.pid_exists(pid)
            assert len(halves(gateway)) == 1
        await gateway.until(lambda: not psutil.pid_exists(pid) and not halves(gateway))
        models = (await gateway.client.get("/api/tags")).json()["models"]
        assert [model["name"] for model in models] == ["base:latest"]


async def test_an_engine_without_a_quantizer_is_told_before_anything() -> None:
    async with running_gateway() as gateway:
        gateway.add("base")
        body = {"model": "made", "from": "base", "quantize": "q8_0"}
        response = await gateway.client.post("/api/create", json=body)
        assert response.status_code == 500
        assert response.json()["error"].startswith("llama-quantize unavailable: ")
