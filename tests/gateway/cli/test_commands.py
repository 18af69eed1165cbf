"""The tree of commands: what each accepts, how mistakes are explained, the help pages."""

import subprocess
from pathlib import Path

import click
import pytest

from gateway.cli.commands import root
from tests.gateway.cli.conftest import Cli, StartCommand

NO_SERVER = "127.0.0.1:1"


def fails(cli: Cli, argv: str) -> str:
    """The error of a command that needs no server to fail."""
    outcome = cli(*argv.split(), PADDOCK_HOST=NO_SERVER)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("Error: ")
    assert outcome.err.count("\n") == 1
    return outcome.err.removeprefix("Error: ").removesuffix("\n")


@pytest.mark.parametrize(
    ("typed", "near"), [("creat", "'create'"), ("lits", "'list'"), ("ver", "'version'")]
)
def test_an_unknown_command_is_met_with_a_similar_one(cli: Cli, typed: str, near: str) -> None:
    assert fails(cli, typed) == f"No such command '{typed}'. Did you mean {near}?"


def test_an_unknown_command_like_no_other_gets_no_suggestion(cli: Cli) -> None:
    assert fails(cli, "xyzzy") == "No such command 'xyzzy'."


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("serve x", "Got unexpected extra argument (x)"),
        ("create", "Missing argument 'MODEL'."),
        ("show a b", "Got unexpected extra argument (b)"),
        ("cp a", "Missing argument 'DESTINATION'."),
        ("run", "Missing argument 'MODEL'."),
        ("rm", "Missing argument 'MODEL...'."),
        ("version x", "Got unexpected extra argument (x)"),
        ("--foo", "No such option '--foo'."),
        ("list --foo", "No such option '--foo'."),
        ("--version list", "No such option '--version'."),
    ],
)
def test_misuse_is_an_error_without_a_server(cli: Cli, argv: str, message: str) -> None:
    assert fails(cli, argv).partition(" Did you")[0] == message


@pytest.mark.parametrize("argv", ["list", "list a b", "ps a b", "ls", "run a b c", "cp a b"])
def test_a_right_number_of_words_gets_as_far_as_the_server(cli: Cli, argv: str) -> None:
    assert fails(cli, argv).startswith("could not connect to the Paddock server")


FLAGS = {
    "create": "-f --file -q --quantize --draft-quantize",
    "show": "--license --modelfile --parameters --system --template -v --verbose",
    "run": "--dimensions --format --hidethinking --insecure --keepalive --nowordwrap --think "
    "--truncate --verbose",
    "pull": "--insecure",
    "push": "--insecure",
}


@pytest.mark.parametrize("name", root.commands)
def test_a_command_has_ollamas_flags_and_no_others(name: str) -> None:
    options = [item for item in root.commands[name].params if isinstance(item, click.Option)]
    names = [text for option in options for text in option.opts]
    assert names == FLAGS.get(name, "").split()


def test_the_root_page_lists_every_command_in_ollamas_order(cli: Cli) -> None:
    page = cli("--help").out
    names = [line.split()[0] for line in page.partition("Commands:\n")[2].splitlines()]
    assert names == [
        *("serve", "create", "show", "run", "stop", "pull", "push"),
        *("list", "ps", "cp", "rm", "version", "engine", "help"),
    ]
    assert page.startswith("Usage: paddock [OPTIONS] [COMMAND] [ARGS]...\n")


def test_a_command_page_names_flags_variables_and_aliases(cli: Cli) -> None:
    page = cli("run", "--help").out
    assert page.startswith("Usage: paddock run [OPTIONS] MODEL [PROMPT]...\n")
    assert "  --think [=LEVEL] " in page
    assert "  --verbose " in page
    assert "BOOLEAN" not in page
    assert "PADDOCK_HOST" in page
    assert "NO_COLOR" in page
    assert "Also: ls." in cli("list", "--help").out
    assert "Also: start." in cli("serve", "--help").out


def test_a_server_that_cannot_start_fails_with_its_reason(
    start_command: StartCommand, tmp_path: Path
) -> None:
    engine = tmp_path / "no-engine"
    environ = {"PADDOCK_ENGINE": str(engine), "PADDOCK_MODELS": str(tmp_path)}
    process = start_command(
        "serve", environ=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (1, b"")
    assert err.decode() == f"Error: engine {engine} is not an executable file\n"
