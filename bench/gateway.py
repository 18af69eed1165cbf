"""A gateway of the bench's own: started, called, measured, and stopped with all its children."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from bench.load import BenchError

_PATIENCE = 30.0
"""Seconds for anything that takes a fraction of one."""


class Gateway:
    """`python -m gateway serve` on a free port, while the block lasts.

    `settings` are those of the server, without their prefix. None of the caller's own reach it.
    """

    def __init__(self, folder: Path, library: Path, engine: str, **settings: object) -> None:
        self.address = f"127.0.0.1:{_free_port()}"
        self.log = folder / "gateway.log"
        self.command: tuple[str, ...] = ("-m", "gateway", "serve")
        """What Python runs."""
        self.seconds = 0.0
        """From its start to its first answer."""
        self._environ = {
            **{name: value for name, value in os.environ.items() if not _ours(name)},
            "PADDOCK_HOST": self.address,
            "PADDOCK_MODELS": str(library),
            "PADDOCK_ENGINE": engine,
            "PADDOCK_CACHE": str(folder),
            "PADDOCK_KEEP_ALIVE": "-1",
            **{f"PADDOCK_{name}": str(value) for name, value in settings.items()},
        }

    def __enter__(self) -> Self:
        began = time.perf_counter()
        with self.log.open("ab") as log:
            # A session of its own: Ctrl+C is for the bench, which then ends it in order.
            self._process = subprocess.Popen(
                [sys.executable, *self.command],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.process = psutil.Process(self._process.pid)
        try:
            while not self._answers():
                self._alive(began)
                time.sleep(0.001)
        except BaseException:
            self._stop()
            raise
        self.seconds = time.perf_counter() - began
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        """The body of the reply. BenchError for a status other than 200."""
        connection = http.client.HTTPConnection(self.address, timeout=_PATIENCE)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            reply = connection.getresponse()
            data = reply.read()
        finally:
            connection.close()
        if reply.status != 200:
            raise BenchError(f"{method} {path}: status {reply.status}: {data[:200]!r}")
        return data

    def runners(self) -> list[psutil.Process]:
        """Its llama-servers."""
        return [child for child in self.process.children() if "--model" in _arguments(child)]

    def unload(self, model: str) -> None:
        """Returns when no runner is left."""
        self.call("POST", "/api/generate", {"model": model, "keep_alive": 0})
        deadline = time.monotonic() + _PATIENCE
        while self.process.children():
            if time.monotonic() > deadline:
                raise BenchError(f"{model} does not go")
            time.sleep(0.002)

    def cpu(self) -> float:
        """Seconds of processor time so far, its children's left out."""
        return busy(self.process)

    def _answers(self) -> bool:
        with suppress(OSError, http.client.HTTPException):
            self.call("GET", "/")
            return True
        return False

    def _alive(self, began: float) -> None:
        late = time.perf_counter() - began > _PATIENCE
        if self._process.poll() is not None or late:
            words = self.log.read_text(errors="replace")[-500:]
            raise BenchError(f"the gateway {'is late' if late else 'ended'}: {words}")

    def _stop(self) -> None:
        children = []
        with suppress(psutil.NoSuchProcess):
            children = self.process.children(recursive=True)
        self._process.send_signal(signal.SIGTERM)
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(15.0)
        finally:
            # Not even a second Ctrl+C leaves it behind.
            self._process.kill()
            self._process.wait()
        for child in psutil.wait_procs(children, timeout=5.0)[1]:
            with suppress(psutil.NoSuchProcess):
                child.kill()


def busy(process: psutil.Process) -> float:
    """Seconds of processor time that `process` has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _ours(name: str) -> bool:
    return name.startswith(("PADDOCK_", "OLLAMA_"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
