"""Where this installation of Paddock has its engine, and the source it was built from.

The server reads this at each start, so nothing that is slow to import belongs here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runners.build.cache import cache_folder
from runners.build.pin import Pin, read_pin

ROOT = Path(__file__).resolve().parents[2]
"""The checkout, or the site-packages folder of an installed package."""


@dataclass(frozen=True, slots=True)
class Locations:
    """`tree` is the folder of the source, `link` the symbolic link to the engine in use."""

    tree: Path
    link: Path

    @property
    def server(self) -> Path:
        return self.link / "bin" / "llama-server"


def in_checkout(root: Path = ROOT) -> Locations | None:
    """The places in a checkout; None for a package that was installed from a wheel."""
    # The wheel has no build.py: this is what tells a checkout from an installed package.
    if not (root / "build.py").is_file():
        return None
    return Locations(root / "vendor" / "llama.cpp", root / "vendor" / "engine")


def in_cache(cache: Path, pin: Pin) -> Locations:
    """The places of an installed package."""
    # The link is named after the pin: installations of several versions share the cache, and each
    # needs the engine whose flags it knows. So an upgrade that moves the pin has no engine until a
    # new one is built, rather than starting the old.
    return Locations(cache / "source", cache / "current" / f"{pin.name}-{pin.version}")


def locations(environ: Mapping[str, str], root: Path = ROOT) -> Locations:
    """Where a build puts its results."""
    return in_checkout(root) or in_cache(cache_folder(environ), read_pin())


def built_server(environ: Mapping[str, str], root: Path = ROOT) -> Path | None:
    """The llama-server that a build left, the checkout's first; None if there is none."""
    cached = in_cache(cache_folder(environ), read_pin())
    for place in (in_checkout(root), cached):
        if place and place.server.exists():
            return place.server.resolve()
    return None
