"""The gateway as a process of its own, started, watched and ended by a test."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[2]
_LISTENING = re.compile(r"listening on (\S+)")
_OURS = ("PADDOCK_", "OLLAMA_", "LLAMA_", "XDG_")
T = TypeVar("T")


def eventually(look: Callable[[], T], within: float = 10.0) -> T:
    """The first true value that `look` gives; AssertionError if there is none within s."""
    end = time.monotonic() + within
    while not (value := look()):
        assert time.monotonic() < end, f"still {value!r} after {within} s"
        # Another process is waited for, and has no event to wait on.
        time.sleep(0.002)
    return value


@contextlib.contextmanager
def runtime_folder() -> Iterator[Path]:
    """A private folder with a path short enough for sockets in it."""
    folder = Path(tempfile.mkdtemp(prefix="pd-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def environment(folder: Path, runtime: Path, **settings: object) -> dict[str, str]:
    """This process's environment, with `settings` (PADDOCK_ left out) for the only ones.

    Everything a gateway keeps lies in `folder`, but for its sockets, which are in `runtime`.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    usual = {
        "HOST": "127.0.0.1:0",
        "MODELS": folder / "models",
        "CACHE": folder / "cache",
        "CONTEXT_LENGTH": 512,
    }
    ours = {f"PADDOCK_{name.upper()}": str(value) for name, value in {**usual, **settings}.items()}
    return {**kept, "XDG_RUNTIME_DIR": str(runtime), "HOME": str(folder), **ours}


@dataclass(slots=True)
class Gateway:
    """A running gateway. `url` has its port; `runtime` is the folder of its sockets."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    runtime: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def children(self) -> list[psutil.Process]:
        """The processes of its runners."""
        return psutil.Process(self.pid).children()

    def sockets(self) -> list[Path]:
        """Where its runners listen, the oldest first."""
        sockets = self.runtime.glob(f"*/{self.pid}-*/*.sock")
        return sorted(sockets, key=lambda path: int(path.stem))

    def client(self, timeout: float = 20.0) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=timeout, trust_env=False)

    def wait(self, within: float = 20.0) -> int:
        """The exit code."""
        return self.process.wait(within)


@contextlib.contextmanager
def gateway(folder: Path, runtime: Path | None = None, **settings: object) -> Iterator[Gateway]:
    """`paddock serve` on a free port; ended with its children when the block is left."""
    with contextlib.ExitStack() as stack:
        place = runtime or stack.enter_context(runtime_folder())
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / f"{time.monotonic_ns()}.log"
        process = serve(environment(folder, place, **settings), log)
        stack.callback(_end, process)
        address = eventually(lambda: _address(process, log))
        yield Gateway(process, f"http://{address}", log, place)


def serve(environ: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start it, with `log` for its standard error."""
    with log.open("wb") as err:
        return subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve"],
            env=environ,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=err,
        )


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    text = log.read_text(errors="replace")
    assert process.poll() is None, text
    listening = _LISTENING.search(text)
    return listening[1] if listening else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL; nothing that it started may stay."""
    with contextlib.suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    process.wait(10)
