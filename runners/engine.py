"""Which llama-server to run, and what it is.

A build leaves a folder with `bin/` and an `engine.json`, which holds version, flavour, flags and
notes. Any other llama-server can be named instead.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runners.build.locations import ROOT, built_server
from runners.errors import Cause, StartFailed


@dataclass(frozen=True, slots=True)
class Engine:
    """A llama-server, the tools beside it, its version and its flavour."""

    server: Path
    fit: Path | None
    version: str
    flavour: str
    identity: str
    """Changes whenever the binary does: measurements are kept under it."""


def find(named: str = "", environ: Mapping[str, str] = os.environ, root: Path = ROOT) -> Engine:
    """The engine `named`, else the one that was built, else llama-server on the PATH.

    `root` is where Paddock lies. Raises StartFailed, with what to do, if there is none.
    """
    if named:
        server = Path(named).expanduser()
        if server.is_dir():
            server = server / "llama-server"
        if not os.access(server, os.X_OK):
            raise StartFailed(f"engine {server} is not an executable file", Cause.ENGINE)
        return _describe(server)
    # Before the PATH: another llama-server may not know the flags of the pinned one.
    if built := built_server(environ, root):
        return _describe(built)
    if on_path := shutil.which("llama-server", path=environ.get("PATH", os.defpath)):
        return _describe(Path(on_path))
    raise StartFailed(
        "there is no engine yet: run 'paddock engine install' to build one, "
        "or set PADDOCK_ENGINE to a llama-server",
        Cause.ENGINE,
    )


def _describe(server: Path) -> Engine:
    fit = server.with_name("llama-fit-params")
    stat = server.stat()
    record: dict[str, str] = {}
    # Beside the server or, which counts more, beside its folder. A folder without one, or with one
    # that is damaged, is no reason to refuse an engine.
    for folder in (server.parent, server.parent.parent):
        with suppress(OSError, ValueError):
            content: object = json.loads((folder / "engine.json").read_bytes())
            if isinstance(content, dict):
                record = {key: text for key, text in content.items() if isinstance(text, str)}
    return Engine(
        server=server,
        fit=fit if os.access(fit, os.X_OK) else None,
        # The record comes first since it says more, and saves a start of the engine.
        version=record.get("version") or _run_for_version(server),
        flavour=record.get("flavour") or "unknown",
        # Size and time tell as much as a hash of the file, without reading all of it.
        identity=f"{server.resolve()}:{stat.st_size}:{stat.st_mtime_ns}",
    )


def _run_for_version(server: Path) -> str:
    """The first line of `llama-server --version`, which it prints on standard error."""
    try:
        done = subprocess.run(
            [server, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise StartFailed(f"engine {server} cannot be run: {exc}", Cause.ENGINE) from exc
    # Before it come lines about the devices that a GPU's library has seen.
    lines = [line for line in (done.stderr + done.stdout).splitlines() if "version" in line]
    return lines[0].removeprefix("version:").strip() if lines else "unknown"
