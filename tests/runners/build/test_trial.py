"""The trial of an engine, against stand-ins named for how they fail, and the real one."""

import os
import sys
from pathlib import Path

import pytest

from runners.build import trial
from runners.build.locations import locations
from runners.build.source import BuildError

COPIES = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])"
CRASHES = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
REFUSES = "print('unknown option'); raise SystemExit(3)"

# A server that becomes ready at its second health check. `{reply}` is an expression; `argv` are
# its arguments.
SERVER = """
import json, os, signal, sys
from http.server import BaseHTTPRequestHandler
from socketserver import UnixStreamServer

argv, checks = sys.argv, []

class Handler(BaseHTTPRequestHandler):
    def address_string(self):
        return "socket"
    def do_GET(self):
        checks.append(1)
        self.send_response(200 if len(checks) > 1 else 503)
        self.end_headers()
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({{"content": {reply}}}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

UnixStreamServer(argv[argv.index("--host") + 1], Handler).serve_forever()
"""
RIGHT = SERVER.format(reply=repr("".join(trial.SCRIPT)))
WRONG = SERVER.format(reply="'word 0, nonsense'")
DIES_IN_PRODUCT = SERVER.format(reply="os.kill(os.getpid(), signal.SIGSEGV)")
DIES_IN_Q8 = SERVER.format(
    reply="os.kill(os.getpid(), signal.SIGILL) if 'Q8_0' in ' '.join(argv) else "
    + repr("".join(trial.SCRIPT))
)
DIES_ON_GPU = SERVER.format(
    reply="os.kill(os.getpid(), signal.SIGSEGV) if 'none' not in argv else "
    + repr("".join(trial.SCRIPT))
)


def engine(folder: Path, server: str, quantize: str = COPIES) -> Path:
    """A folder of programs made of Python text."""
    for name, text in (("llama-server", server), ("llama-quantize", quantize)):
        (folder / name).write_text(f"#!{sys.executable}\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize("gpu", [False, True])
def test_an_engine_that_answers_right_passes(tmp_path: Path, gpu: bool) -> None:
    trial.check(engine(tmp_path, RIGHT), gpu=gpu)


@pytest.mark.parametrize(
    ("server", "quantize", "text"),
    [
        (DIES_IN_PRODUCT, COPIES, "llama-server died of SIGSEGV on a Q4_0 model"),
        (DIES_IN_Q8, COPIES, "llama-server died of SIGILL on a Q8_0 model"),
        (CRASHES, COPIES, "llama-server died of SIGSEGV on a Q4_0 model"),
        (RIGHT, CRASHES, "llama-quantize died of SIGSEGV on a Q4_0 model"),
    ],
)
def test_a_crash_is_distinguished_from_other_failures(
    tmp_path: Path, server: str, quantize: str, text: str
) -> None:
    with pytest.raises(trial.TrialCrashed) as caught:
        trial.check(engine(tmp_path, server, quantize), gpu=False)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("server", "quantize", "text"),
    [
        (WRONG, COPIES, "computes wrong results (Q4_0): it answered 'word 0, nonsense'"),
        (REFUSES, COPIES, "llama-server ended with status 3 on a Q4_0 model: unknown option"),
        (RIGHT, REFUSES, "llama-quantize ended with status 3 on a Q4_0 model: unknown option"),
    ],
)
def test_other_failures_say_what_happened(
    tmp_path: Path, server: str, quantize: str, text: str
) -> None:
    with pytest.raises(BuildError) as caught:
        trial.check(engine(tmp_path, server, quantize), gpu=False)
    assert text in str(caught.value)


def test_a_crash_on_the_gpu_alone_is_not_the_processors(tmp_path: Path) -> None:
    programs = engine(tmp_path, DIES_ON_GPU)
    trial.check(programs, gpu=False)
    with pytest.raises(BuildError, match="with the GPU in use: check its driver"):
        trial.check(programs, gpu=True)


@pytest.mark.engine
def test_the_real_engine_passes() -> None:
    trial.check(locations(os.environ).link / "bin", gpu=False)
