"""Which llama-server is used, and what it says of itself."""

import os
from pathlib import Path

import pytest

from runners.build.locations import in_cache, locations
from runners.build.pin import read_pin
from runners.engine import find
from runners.errors import Cause, StartFailed


def program(path: Path, script: str = "exit 0") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_named_engine_with_a_record_is_not_run(tmp_path: Path) -> None:
    server = program(tmp_path / "bin" / "llama-server", "exit 9")
    (tmp_path / "engine.json").write_text('{"version": "llama.cpp 1", "flavour": "cuda"}')
    engine = find(str(server))
    assert (engine.server, engine.version, engine.flavour) == (server, "llama.cpp 1", "cuda")
    assert engine.fit is None


def test_another_engine_is_run_for_its_version(tmp_path: Path) -> None:
    server = program(tmp_path / "llama-server", "echo 'version: 99 (abc)' >&2; echo built >&2")
    fit = program(tmp_path / "llama-fit-params")
    engine = find(str(tmp_path))
    assert (engine.server, engine.fit, engine.version) == (server, fit, "99 (abc)")
    assert engine.flavour == "unknown"


def test_an_engine_without_a_version(tmp_path: Path) -> None:
    (tmp_path / "engine.json").write_text("[]")
    assert find(str(program(tmp_path / "llama-server", "echo hm"))).version == "unknown"


def test_a_new_binary_is_another_engine(tmp_path: Path) -> None:
    server = program(tmp_path / "llama-server")
    before = find(str(server)).identity
    program(server, "exit 0 # longer")
    assert find(str(server)).identity != before


@pytest.mark.parametrize("name", ["absent", "plain"])
def test_what_cannot_be_run_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "plain").write_text("x")
    with pytest.raises(StartFailed, match=f"{name} is not an executable file") as caught:
        find(str(tmp_path / name))
    assert caught.value.cause is Cause.ENGINE


def test_a_program_of_another_machine_is_refused(tmp_path: Path) -> None:
    server = tmp_path / "llama-server"
    server.write_bytes(b"\x7fELF nonsense")
    server.chmod(0o755)
    with pytest.raises(StartFailed, match="cannot be run"):
        find(str(server))


def test_a_built_engine_comes_before_the_one_on_the_path(tmp_path: Path) -> None:
    environ = {"PADDOCK_CACHE": str(tmp_path / "cache"), "PATH": str(tmp_path / "bin")}
    on_path = program(tmp_path / "bin" / "llama-server")
    assert find("", environ, tmp_path).server == on_path
    built = program(tmp_path / "cache" / "engines" / "cpu-1" / "bin" / "llama-server")
    link = in_cache(tmp_path / "cache", read_pin()).link
    link.parent.mkdir()
    link.symlink_to(built.parent.parent)
    assert find("", environ, tmp_path).server == built


def test_without_any_engine_the_error_names_the_command(tmp_path: Path) -> None:
    environ = {"PADDOCK_CACHE": str(tmp_path), "PATH": str(tmp_path)}
    with pytest.raises(StartFailed, match="run 'paddock engine install'") as caught:
        find("", environ, tmp_path)
    assert caught.value.cause is Cause.ENGINE


@pytest.mark.engine
def test_the_built_engine_is_found_without_a_name() -> None:
    engine = find()
    assert engine.server == locations(os.environ).server.resolve()
    assert engine.flavour != "unknown"
    assert engine.fit is not None
