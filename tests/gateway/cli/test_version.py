"""--version: the client's own; version: the server's and the client's."""

import pytest

import gateway
from tests.gateway.cli.conftest import Cli, ScriptedServer


@pytest.mark.parametrize("flag", ["--version", "-v"])
def test_the_flag_prints_our_own_version_without_a_request(
    cli: Cli, server: ScriptedServer, flag: str
) -> None:
    outcome = cli(flag)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"paddock version {gateway.__version__}\n"
    assert server.requests == []


@pytest.mark.parametrize(
    ("theirs", "warning"), [("same", ""), ("8.8", "Warning: client version is same\n")]
)
def test_the_command_compares_server_and_client(
    cli: Cli, server: ScriptedServer, theirs: str, warning: str
) -> None:
    own = gateway.__version__
    theirs = own if theirs == "same" else theirs
    server.reply("GET", "/api/version", {"version": "0.33.0", "paddock": theirs})
    outcome = cli("version")
    assert outcome.code == 0
    assert outcome.out == f"paddock version is {theirs}\n{warning.replace('same', own)}"


def test_version_without_a_server_is_a_warning(cli: Cli) -> None:
    outcome = cli("version", PADDOCK_HOST="127.0.0.1:1")
    assert outcome.code == 0
    assert outcome.out == (
        "Warning: could not connect to a running Paddock server\n"
        f"Warning: client version is {gateway.__version__}\n"
    )


def test_another_server_reports_the_only_version_it_has(cli: Cli, server: ScriptedServer) -> None:
    server.reply("GET", "/api/version", {"version": "0.30.1"})
    assert cli("version").out.startswith("paddock version is 0.30.1\n")
