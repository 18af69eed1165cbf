"""A llama-server without a gateway, with the flags and the environment of a gateway's own child.

They are read off the running child, so they are the same by construction.
"""

import os
import select
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import psutil

from bench.load import BenchError

_STATE = b"cmd_child_to_router:state:"
_READY = b'"state":"ready"'
_EXIT = b"cmd_router_to_child:exit\n"
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Flags:
    """A command line and an environment."""

    command: tuple[str, ...]
    environment: Mapping[str, str]

    @classmethod
    def of(cls, process: psutil.Process) -> "Flags":
        return cls(tuple(process.cmdline()), process.environ())

    def option(self, name: str) -> str:
        """What follows `name`; BenchError if it is not there."""
        try:
            return self.command[self.command.index(name) + 1]
        except (ValueError, IndexError):
            raise BenchError(f"the child of the gateway has no {name}") from None

    def with_option(self, name: str, value: str) -> "Flags":
        """The same with another value, or with one more option."""
        if name not in self.command:
            return replace(self, command=(*self.command, name, value))
        at = self.command.index(name) + 1
        return replace(self, command=(*self.command[:at], value, *self.command[at + 1 :]))

    def with_environment(self, changes: Mapping[str, str | None]) -> "Flags":
        """The same with these variables; None removes one."""
        merged = {**self.environment, **changes}
        kept = {name: value for name, value in merged.items() if value is not None}
        return replace(self, environment=kept)


class Direct:
    """A child while the block lasts; it is ready when the block begins."""

    def __init__(self, flags: Flags) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        socket = Path(self._folder.name, "s.sock")
        self._flags = flags.with_option("--host", str(socket))
        self._log = Path(self._folder.name, "log")
        self.address = f"unix:{socket}"
        self.began = 0.0
        """When it was spawned, by time.perf_counter."""

    def __enter__(self) -> "Direct":
        with self._log.open("wb") as log:
            self.began = time.perf_counter()
            # Its input stays open: it ends itself when that closes, should the bench be killed.
            self._process = subprocess.Popen(
                self._flags.command,
                env=dict(self._flags.environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                start_new_session=True,
            )
        try:
            self._wait_ready()
        except BaseException:
            self._process.kill()
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _wait_ready(self) -> None:
        assert self._process.stdout is not None
        output = b""
        deadline = time.monotonic() + _PATIENCE
        while not any(_STATE in line and _READY in line for line in output.split(b"\n")):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise BenchError("llama-server does not become ready")
            data = os.read(self._process.stdout.fileno(), 65536)
            if not data:
                words = self._log.read_text(errors="replace")[-500:]
                raise BenchError(f"llama-server ended: {words}")
            output += data

    def _stop(self) -> None:
        """End it as the gateway does; kill it if that has no effect."""
        with self._process, self._folder:
            try:
                self._process.communicate(_EXIT, timeout=5.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
