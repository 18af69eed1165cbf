"""The demo goes the whole way of a user, so its test is that way walked once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runners.build import scripted_model
from tests.fakes.engine import fake_engine
from tests.fakes.process import ROOT


def demo(**environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "bench.demo"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.engine
def test_the_demo_model_says_its_text_through_the_command_line() -> None:
    done = demo()
    assert done.returncode == 0, done.stderr
    assert "".join(scripted_model.DEMO) in done.stdout
    assert "$ paddock run demo Who are you?" in done.stdout


def test_a_server_that_cannot_start_is_quoted() -> None:
    done = demo(PADDOCK_ENGINE="/nowhere/llama-server")
    assert done.returncode == 1
    assert "the server did not start" in done.stderr
    assert "/nowhere/llama-server is not an executable file" in done.stderr


def test_a_command_that_fails_ends_the_demo_with_its_code(tmp_path: Path) -> None:
    engine = fake_engine(tmp_path, "--exit-on-load", "1", "--say", "error: it will not")
    done = demo(PADDOCK_ENGINE=str(engine))
    assert done.returncode == 1
    assert "it will not" in done.stderr
