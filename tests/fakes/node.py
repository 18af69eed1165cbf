"""Packages for node, fetched once, into the cache."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from runners import cache_folder


def installed(name: str, *packages: str) -> Path:
    """The folder with `packages` (each with its version) in its node_modules.

    Skips the test without node, or without a way to fetch them.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("there is no node with npm")
    home = cache_folder(os.environ) / "tests" / name
    if not home.is_dir():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent) as place:
            _fetch(npm, Path(place, name), packages)
            # Whoever was faster has fetched the same.
            with contextlib.suppress(OSError):
                Path(place, name).rename(home)
    return home


def _fetch(npm: str, folder: Path, packages: tuple[str, ...]) -> None:
    reported = ["install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts"]
    folder.mkdir()
    done = subprocess.run([npm, *reported, *packages], capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"npm cannot fetch {' '.join(packages)}: {done.stderr.strip()[-200:]}")
