"""The options of build.py, its output and its exit codes; builds: tests/runners/build."""

import subprocess
import sys
from pathlib import Path

import pytest

import build
from runners.build.install import EngineRequest

ROOT = Path(build.__file__).parent


def test_options_become_a_request() -> None:
    argv = ["--flavour", "cuda", "--arch", "80;90", "-DGGML_RPC=ON", "-D", "X=1", "-j", "3"]
    assert build.engine_request(build.parse([*argv, "--rebuild"])) == EngineRequest(
        "cuda", ["80", "90"], defines=["GGML_RPC=ON", "X=1"], jobs=3, rebuild=True
    )
    assert build.engine_request(build.parse([])) == EngineRequest(defines=[])
    portable = build.engine_request(build.parse(["--portable", "--source", "/x"]))
    assert (portable.portable, portable.source) == (True, Path("/x"))


def test_a_bare_python_is_enough() -> None:
    """Without site-packages: this runs before anything is installed."""
    command = [sys.executable, "-S", "-E", "-s", "build.py", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: build.py")


def test_an_error_is_one_line_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build.main(["--flavour", "cpu", "--source", f"{tmp_path}/gone"]) == 1
    assert capsys.readouterr().err == f"build.py: there is no {tmp_path}/gone\n"


@pytest.mark.engine
def test_check_tries_the_engine_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["--check"]) == 0
    expected = "engine: Q4_0, Q8_0, Q4_K_M models answer as they should\n"
    assert capsys.readouterr().out == expected
