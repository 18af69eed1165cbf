"""Try an engine: a forward pass of quantised models whose replies are known.

A compiler believes what the processor announces. Some virtual machines announce AMX and fault on
it, and the engine then loads and dies at its first quantised matrix product; only running one
tells. Standard library only.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from gateway import scripted
from vendor.source import BuildError

# One type of each family that has kernels of its own.
KINDS = ("Q4_0", "Q8_0", "Q4_K_M")
# 29 pieces make 384 tokens: some kernels want the rows of a matrix in thirty-twos.
SCRIPT = tuple(f"word {chr(0x391 + n)}{n}, " for n in range(29))


class Crashed(Exception):
    """The engine died of a signal; the text says which program, signal and type."""


class _Connection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def check(programs: Path, *, gpu: bool) -> None:
    """Quantise a scripted model and ask it, on all threads; with `gpu`, with and without it.

    `programs` is the folder of llama-server and llama-quantize. Raises Crashed when the processor
    cannot run them, BuildError for every other failure.
    """
    with tempfile.TemporaryDirectory(prefix="paddock-") as folder:
        model = scripted.write(Path(folder, "trial.gguf"), SCRIPT, dim=256)
        for kind in KINDS:
            quantised = Path(folder, f"{kind}.gguf")
            _run([str(programs / "llama-quantize"), str(model), str(quantised), kind], kind)
            _expect(programs, quantised, kind, ["--device", "none"])
            if gpu:
                try:
                    _expect(programs, quantised, kind, [])
                except Crashed as crash:
                    raise BuildError(f"{crash}, with the GPU in use: check its driver") from crash


def _expect(programs: Path, model: Path, kind: str, extra: list[str]) -> None:
    reply = answer(programs / "llama-server", model, extra, kind)
    if reply != "".join(SCRIPT):
        raise BuildError(f"llama-server computes wrong results ({kind}): it answered {reply!r}")


def answer(server: Path, model: Path, extra: list[str], what: str) -> str:
    """Start `server` on `model`, on all threads, and return its reply to one prompt."""
    # A folder of its own, since the path of a socket is limited to about 100 bytes.
    with tempfile.TemporaryDirectory(prefix="paddock-") as folder:
        address, log = Path(folder, "s.sock"), Path(folder, "log")
        command = [str(server), "--model", str(model), "--host", str(address)]
        command += ["--threads", str(os.cpu_count() or 1), "--ctx-size", "512", *extra]
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
            return _ask(process, address)
        except (OSError, http.client.HTTPException) as gone:
            code = _ended(process)
            raise _failure(server.name, code, what, log.read_text(errors="replace")) from gone
        finally:
            process.kill()
            process.wait()


def _ask(process: subprocess.Popen[bytes], address: Path, patience: float = 120.0) -> str:
    """Wait until the server is ready, then ask; OSError or HTTPException when it dies."""
    deadline = time.monotonic() + patience
    while _request(address, "GET", "/health")[0] != 200:
        if process.poll() is not None:
            raise ConnectionError("ended before it was ready")
        if time.monotonic() > deadline:
            raise TimeoutError("not ready in time")
        time.sleep(0.01)
    body = {"prompt": "Hello", "n_predict": 2 * len(SCRIPT), "temperature": 0}
    status, data = _request(address, "POST", "/completion", json.dumps(body), must=True)
    if status != 200:
        raise ConnectionError(f"answered {status}: {data!r}")
    return str(json.loads(data)["content"])


def _request(
    address: Path, method: str, path: str, body: str | None = None, must: bool = False
) -> tuple[int, bytes]:
    """Status and body of one exchange; status 0 when nobody listens, unless somebody must."""
    connection = _Connection(address)
    try:
        connection.request(method, path, body)
        reply = connection.getresponse()
        return reply.status, reply.read()
    except (OSError, http.client.HTTPException):
        if must:
            raise
        return 0, b""
    finally:
        connection.close()


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise _failure(Path(command[0]).name, done.returncode, what, done.stdout + done.stderr)


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    """The exit code of a server that stopped talking; None when it still runs."""
    try:
        return process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        return None


def _failure(program: str, code: int | None, what: str, output: str) -> Exception:
    """Crashed for a signal, BuildError for the rest."""
    if code is not None and code < 0:
        return Crashed(f"{program} died of {signal.Signals(-code).name} on a {what} model")
    tail = " / ".join(output.strip().splitlines()[-3:]) or "no output"
    how = "does not answer" if code is None else f"ended with status {code}"
    return BuildError(f"{program} {how} on a {what} model: {tail}")
