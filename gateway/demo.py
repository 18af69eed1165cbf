"""`make run`: a server, a small scripted model, one question through the command line, and out.

It goes the way a user goes: the real engine, the real server, the real commands, with a library
and a port of its own so that nothing of the user's is touched.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from gateway import scripted

_PADDOCK = (sys.executable, "-m", "gateway")
_START_LIMIT = 30.0


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="paddock-demo-") as folder:
        place = f"127.0.0.1:{_free_port()}"
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("OLLAMA_")},
            "PADDOCK_HOST": place,
            "PADDOCK_MODELS": f"{folder}/models",
        }
        with _server(environment, Path(folder) / "server.log"):
            return _visit(environment, Path(folder), place)


def _visit(environment: dict[str, str], folder: Path, place: str) -> int:
    """Make the demo model and ask it something."""
    scripted.write(folder / "demo.gguf", scripted.DEMO, name="demo")
    modelfile = folder / "Modelfile"
    modelfile.write_text("FROM ./demo.gguf\n")
    for command in (
        ("create", "demo", "-f", str(modelfile)),
        ("list",),
        ("run", "demo", "Who are you?"),
    ):
        print(f"$ paddock {' '.join(command).replace(str(folder), '.')}", flush=True)
        code = subprocess.run([*_PADDOCK, *command], env=environment, check=False).returncode
        if code:
            return code
    print(f"The server ran on {place} and is stopping. 'make serve' starts one to keep.")
    return 0


@contextlib.contextmanager
def _server(environment: dict[str, str], log: Path) -> Iterator[None]:
    """`paddock serve`, answering when the block begins and gone when it has ended."""
    with log.open("wb") as out:
        server = subprocess.Popen(
            [*_PADDOCK, "serve"], env=environment, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        _wait(server, environment["PADDOCK_HOST"], log)
        yield
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(_START_LIMIT)


def _wait(server: "subprocess.Popen[bytes]", place: str, log: Path) -> None:
    host, port = place.split(":")
    due = time.monotonic() + _START_LIMIT
    while server.poll() is None and time.monotonic() < due:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
            return
        time.sleep(0.02)
    raise SystemExit(f"the server did not start:\n{log.read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
