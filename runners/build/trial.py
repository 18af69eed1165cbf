"""Try an engine: a forward pass of quantised models whose replies are known.

A compiler believes what the processor announces. Some virtual machines announce AMX and fault on
it, and the engine then loads and dies at its first quantised matrix product; only running one
tells.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from runners.build import scripted_model
from runners.build.source import BuildError

# One type of each family that has kernels of its own.
KINDS = ("Q4_0", "Q8_0", "Q4_K_M")
# 29 pieces make 384 tokens: some kernels want the rows of a matrix in thirty-twos.
SCRIPT = tuple(f"word {chr(0x391 + n)}{n}, " for n in range(29))

_READY_LIMIT = 120.0
"""Seconds. Loading takes less than one, on a machine that is not compiling something else."""


class TrialCrashed(Exception):
    """The engine died of a signal; the text says which program, signal and type."""


class _Connection(http.client.HTTPConnection):
    """HTTP over a UNIX socket, so that no port has to be free."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def check(programs: Path, gpu: bool) -> None:
    """Quantise a scripted model and run it on the CPU's threads; with `gpu` on the GPU as well.

    `programs` is the folder of llama-server and llama-quantize. Raises TrialCrashed when the
    processor cannot run them, BuildError for every other failure.
    """
    with tempfile.TemporaryDirectory(prefix="paddock-") as folder:
        model = scripted_model.write(Path(folder, "trial.gguf"), SCRIPT, dim=256)
        for kind in KINDS:
            quantised = Path(folder, f"{kind}.gguf")
            command = [str(programs / "llama-quantize"), str(model), str(quantised), kind]
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", check=False
            )
            if done.returncode:
                output = done.stdout + done.stderr
                raise _failure("llama-quantize", done.returncode, kind, output)
            _compare_reply(programs, quantised, kind, ["--device", "none"])
            if gpu:
                # Once the CPU has passed, a crash is no reason to build without its instructions.
                try:
                    _compare_reply(programs, quantised, kind, [])
                except TrialCrashed as crash:
                    raise BuildError(f"{crash}, with the GPU in use: check its driver") from crash


def _compare_reply(programs: Path, model: Path, kind: str, flags: list[str]) -> None:
    reply = answer(programs / "llama-server", model, flags, kind)
    if reply != "".join(SCRIPT):
        raise BuildError(f"llama-server computes wrong results ({kind}): it answered {reply!r}")


def answer(server: Path, model: Path, flags: list[str], kind: str) -> str:
    """Start `server` on `model`, on all threads, and return its reply to one prompt.

    `kind` is the type of the weights, for the message of an error.
    """
    # A folder of its own, since the path of a socket is limited to about 100 bytes.
    with tempfile.TemporaryDirectory(prefix="paddock-") as folder:
        address, log = Path(folder, "s.sock"), Path(folder, "log")
        command = [str(server), "--model", str(model), "--host", str(address)]
        command += ["--threads", str(os.cpu_count() or 1), "--ctx-size", "512", *flags]
        # Threads that spin while they wait take seconds a reply on a machine that is busy.
        environ = {**os.environ, "OMP_WAIT_POLICY": "passive"}
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environ,
            )
        try:
            return _complete(process, address)
        except (OSError, http.client.HTTPException) as error:
            # The connection breaks a moment before the process is gone, and the exit code decides
            # what is built next.
            try:
                code = process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                code = None
            raise _failure(server.name, code, kind, log.read_text(errors="replace")) from error
        finally:
            # At once: it holds nothing, and a trial has several servers to start.
            process.kill()
            process.wait()


def _complete(process: subprocess.Popen[bytes], address: Path) -> str:
    """Wait until the server is ready, then have a prompt completed.

    Raises OSError or HTTPException when the server dies.
    """
    deadline = time.monotonic() + _READY_LIMIT
    while True:
        # It does not listen yet, or it is gone: the process tells which.
        with suppress(OSError, http.client.HTTPException):
            if _request(address, "GET", "/health")[0] == 200:
                break
        if process.poll() is not None:
            raise ConnectionError("ended before it was ready")
        if time.monotonic() > deadline:
            raise TimeoutError("not ready in time")
        time.sleep(0.01)
    # Twice the script's length: an engine that does not stop at its end is wrong as well.
    body = {"prompt": "Hello", "n_predict": 2 * len(SCRIPT), "temperature": 0}
    status, data = _request(address, "POST", "/completion", json.dumps(body))
    if status != 200:
        raise ConnectionError(f"answered {status}: {data!r}")
    return str(json.loads(data)["content"])


def _request(address: Path, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
    """Status and body of one exchange."""
    connection = _Connection(address)
    try:
        connection.request(method, path, body)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def _failure(program: str, code: int | None, kind: str, output: str) -> Exception:
    """TrialCrashed for a signal, BuildError for the rest; `code` None for one that still runs."""
    if code is not None and code < 0:
        return TrialCrashed(f"{program} died of {signal.Signals(-code).name} on a {kind} model")
    tail = " / ".join(output.strip().splitlines()[-3:]) or "no output"
    how = "does not answer" if code is None else f"ended with status {code}"
    return BuildError(f"{program} {how} on a {kind} model: {tail}")
