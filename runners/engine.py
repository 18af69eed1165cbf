"""Which llama-server to run, and what it is.

build.py leaves its result in `vendor/engine`: a folder with `bin/` and an `engine.json` that says
version, flavour, flags and notes. Any other llama-server can be named instead.
"""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from runners.errors import Cause, StartFailed

BUILT = Path(__file__).resolve().parent.parent / "vendor" / "engine" / "bin" / "llama-server"


@dataclass(frozen=True, slots=True)
class Engine:
    """A llama-server, the tools beside it, and what it says of itself."""

    server: Path
    fit: Path | None
    version: str
    flavour: str
    identity: str
    """Changes whenever the binary does: what measurements are kept under."""


def find(named: str = "") -> Engine:
    """The engine `named`, else the one build.py made, else llama-server on the PATH.

    Raises StartFailed, with what to do, if there is none.
    """
    if named:
        server = Path(named).expanduser()
        if server.is_dir():
            server = server / "llama-server"
        if not os.access(server, os.X_OK):
            raise StartFailed(f"engine {server} is not an executable file", Cause.ENGINE)
        return _describe(server)
    if os.access(BUILT, os.X_OK):
        return _describe(BUILT.resolve())
    if found := shutil.which("llama-server"):
        return _describe(Path(found))
    raise StartFailed("no engine: run 'make setup', or set PADDOCK_ENGINE", Cause.ENGINE)


def _describe(server: Path) -> Engine:
    fit = server.with_name("llama-fit-params")
    stat = server.stat()
    note = _note(server)
    return Engine(
        server=server,
        fit=fit if os.access(fit, os.X_OK) else None,
        version=note.get("version") or _ask_version(server),
        flavour=note.get("flavour") or "unknown",
        identity=f"{server.resolve()}:{stat.st_size}:{stat.st_mtime_ns}",
    )


def _note(server: Path) -> dict[str, str]:
    for folder in (server.parent.parent, server.parent):
        try:
            note = json.loads((folder / "engine.json").read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(note, dict):
            return {key: value for key, value in note.items() if isinstance(value, str)}
    return {}


def _ask_version(server: Path) -> str:
    """The first line of `llama-server --version`, which it prints on standard error."""
    try:
        done = subprocess.run(
            [server, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise StartFailed(f"engine {server} cannot be run: {exc}", Cause.ENGINE) from exc
    lines = [line for line in (done.stderr + done.stdout).splitlines() if "version" in line]
    return lines[0].removeprefix("version:").strip() if lines else "unknown"
