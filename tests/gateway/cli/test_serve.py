"""serve: hands over to the server and returns its exit code."""

import subprocess
from pathlib import Path

from tests.gateway.cli.conftest import Child


def test_a_server_that_cannot_start_fails_with_its_reason(child: Child, tmp_path: Path) -> None:
    engine = tmp_path / "no-engine"
    environ = {"PADDOCK_ENGINE": str(engine), "PADDOCK_MODELS": str(tmp_path)}
    process = child("serve", environ=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (1, b"")
    assert err.decode() == f"Error: engine {engine} is not an executable file\n"
