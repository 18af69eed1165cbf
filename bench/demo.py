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

from runners.build import scripted_model

_PADDOCK = (sys.executable, "-m", "gateway")
_START_LIMIT = 30.0
"""Seconds. A start takes less than one; the first import on a cold disk may take ten."""


def main() -> int:
    """Exit code of the command that failed, or 0."""
    with tempfile.TemporaryDirectory(prefix="paddock-demo-") as name, socket.socket() as probe:
        folder = Path(name)
        # Freed again only when the block ends, which is after the server: SO_REUSEADDR lets both
        # have it, since this socket never listens, and nobody else is given it meanwhile.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        environment = {
            # A user's settings for Ollama would be read by this server and these commands, too.
            **{key: value for key, value in os.environ.items() if not key.startswith("OLLAMA_")},
            "PADDOCK_HOST": f"127.0.0.1:{port}",
            "PADDOCK_MODELS": f"{folder}/models",
        }
        scripted_model.write(folder / "demo.gguf", scripted_model.DEMO, name="demo")
        modelfile = folder / "Modelfile"
        modelfile.write_text("FROM ./demo.gguf\n")
        with _server(environment, port, folder / "server.log"):
            for command in (
                ("create", "demo", "-f", str(modelfile)),
                ("list",),
                ("run", "demo", "Who are you?"),
            ):
                print(f"$ paddock {' '.join(command).replace(name, '.')}", flush=True)
                code = subprocess.run([*_PADDOCK, *command], env=environment).returncode
                if code:
                    return code
            print(f"The server on port {port} is stopping now. 'make serve' starts one to keep.")
    return 0


@contextlib.contextmanager
def _server(environment: dict[str, str], port: int, log: Path) -> Iterator[None]:
    """`paddock serve`, which answers when the block begins and is gone when it has ended."""
    with log.open("wb") as out:
        server = subprocess.Popen(
            [*_PADDOCK, "serve"], env=environment, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + _START_LIMIT
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the server did not start:\n{log.read_text()}")
            time.sleep(0.02)
        yield
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(_START_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
