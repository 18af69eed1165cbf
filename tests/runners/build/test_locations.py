"""Where an engine is looked for: in a checkout, and after an installation from a wheel."""

from pathlib import Path

import pytest

from runners.build.locations import Locations, built_server, in_cache, in_checkout, locations
from runners.build.pin import Pin, read_pin

PIN = read_pin()


def build_engine(places: Locations, name: str) -> Path:
    """Make a folder that looks like an engine, with the link to it; the server's path."""
    server = places.link.parent / name / "bin" / "llama-server"
    server.parent.mkdir(parents=True)
    server.touch()
    places.link.symlink_to(server.parent.parent)
    return server


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "build.py").touch()
    return root


def test_a_checkout_keeps_everything_below_vendor(checkout: Path) -> None:
    vendor = checkout / "vendor"
    expected = Locations(vendor / "llama.cpp", vendor / "engine")
    assert in_checkout(checkout) == expected
    assert locations({"PADDOCK_CACHE": "/cache"}, checkout) == expected


def test_an_installed_package_keeps_everything_in_the_cache(tmp_path: Path) -> None:
    assert in_checkout(tmp_path) is None
    assert locations({"PADDOCK_CACHE": "/cache"}, tmp_path) == Locations(
        Path("/cache/source"), Path(f"/cache/current/{PIN.name}-{PIN.version}")
    )


def test_each_pin_has_an_engine_of_its_own() -> None:
    older = Pin(PIN.name, "0.0.1", "", 0, ())
    assert in_cache(Path("/cache"), older).link != in_cache(Path("/cache"), PIN).link


def test_the_checkouts_engine_comes_before_the_caches(checkout: Path, tmp_path: Path) -> None:
    environ = {"PADDOCK_CACHE": str(tmp_path / "cache")}
    assert built_server(environ, checkout) is None
    cached = build_engine(in_cache(tmp_path / "cache", PIN), "cpu-1")
    assert built_server(environ, checkout) == cached
    own = build_engine(locations(environ, checkout), "cpu-2")
    assert built_server(environ, checkout) == own
    assert built_server(environ, tmp_path) == cached


def test_a_link_into_a_cache_that_was_deleted_is_no_engine(checkout: Path) -> None:
    places = locations({}, checkout)
    build_engine(places, "cpu-1").unlink()
    assert built_server({"PADDOCK_CACHE": str(checkout / "cache")}, checkout) is None
