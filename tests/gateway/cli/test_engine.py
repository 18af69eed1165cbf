"""engine: what it prints, and what it answers when there is no engine or none can be built."""

from pathlib import Path

from gateway.cli.commands import FLAVOURS
from runners.build import install
from tests.fakes.engine import fake_engine
from tests.gateway.cli.conftest import Cli, ScriptedServer


def test_the_engine_in_use_is_shown_without_a_server(
    cli: Cli, server: ScriptedServer, tmp_path: Path
) -> None:
    engine = fake_engine(tmp_path)
    outcome = cli("engine", PADDOCK_ENGINE=str(engine))
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"version  fake\nflavour  cpu\npath     {engine}\n"
    assert server.requests == []


def test_an_engine_that_cannot_be_run_is_an_error(cli: Cli, tmp_path: Path) -> None:
    outcome = cli("engine", PADDOCK_ENGINE=str(tmp_path / "gone"))
    assert outcome.code == 1
    assert outcome.err == f"Error: engine {tmp_path}/gone is not an executable file\n"


def test_a_build_that_fails_is_an_error_with_its_reason(cli: Cli, tmp_path: Path) -> None:
    outcome = cli("engine", "install", "--flavour", "cpu", "--source", str(tmp_path / "gone"))
    assert outcome.code == 1
    assert outcome.err == f"Error: there is no {tmp_path}/gone\n"


def test_the_flavours_are_those_of_the_build(cli: Cli) -> None:
    assert FLAVOURS == install.FLAVOURS
    outcome = cli("engine", "install", "--flavour", "steam")
    assert outcome.code == 1
    assert "'steam' is not one of 'auto', 'cpu'" in outcome.err
