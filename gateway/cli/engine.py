"""engine: which llama-server is used, and building one.

The only command beside `serve` that is no client: a server needs an engine before it can start.
"""

import signal
from pathlib import Path

from gateway.cli.console import Console, is_terminal
from gateway.errors import GatewayError
from runners import RunnerError, find
from runners.build.install import EngineRequest, install
from runners.build.progress import TextProgress
from runners.build.source import BuildError


def show_engine(console: Console) -> None:
    """Print version, flavour and path of the engine that `paddock serve` would use."""
    try:
        engine = find(console.environ.get("PADDOCK_ENGINE", ""), console.environ)
    except RunnerError as exc:
        raise GatewayError(str(exc)) from exc
    console.out(f"version  {engine.version}\nflavour  {engine.flavour}\npath     {engine.server}\n")


def install_engine(flavour: str, source: Path | None, rebuild: bool, console: Console) -> None:
    """Build the engine of this version of Paddock, unless the cache has it, and put it to use."""
    # A build that is ended stops its compilers, as an interrupt does, and goes on the next time.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    progress = TextProgress(console.out, is_terminal(console.stdout))
    request = EngineRequest(flavour, source=source, rebuild=rebuild)
    try:
        install(request, progress, console.environ)
    except BuildError as exc:
        raise GatewayError(str(exc)) from exc
