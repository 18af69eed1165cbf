"""The frame of the program: which command runs, what fails how, and the exit codes."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gateway.cli.commands import find
from gateway.cli.help import command_page, root_page
from tests.gateway.cli.conftest import Child, Cli, Exchange, Server, finish


@pytest.mark.parametrize("argv", [(), ("--help",), ("-h",), ("help",), ("-hv",)])
def test_the_root_page_is_shown_without_a_server(cli: Cli, argv: tuple[str, ...]) -> None:
    outcome = cli(*argv, PADDOCK_HOST="127.0.0.1:1")
    assert (outcome.code, outcome.out, outcome.err) == (0, root_page(), "")


@pytest.mark.parametrize(
    "argv", [("run", "--help"), ("help", "run"), ("run", "x", "-h"), ("-h", "run")]
)
def test_a_command_page_is_shown_without_a_server(cli: Cli, argv: tuple[str, ...]) -> None:
    outcome = cli(*argv, PADDOCK_HOST="127.0.0.1:1")
    assert (outcome.code, outcome.out, outcome.err) == (0, command_page(find("run")), "")


def test_an_unknown_topic_gets_the_root_page(cli: Cli) -> None:
    outcome = cli("help", "nosuch")
    assert outcome.code == 0
    assert outcome.out == f"Unknown help topic [`nosuch`]\n{root_page()}"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("lits",), 'unknown command "lits" for "paddock"\n\nDid you mean this?\n\tlist'),
        (("--foo",), "unknown flag: --foo"),
        (("list", "--foo"), "unknown flag: --foo"),
        (("cp", "a"), "accepts 2 arg(s), received 1"),
        (("rm",), "requires at least 1 arg(s), only received 0"),
        (("show", "a", "b"), "accepts 1 arg(s), received 2"),
    ],
)
def test_misuse_is_an_error_without_a_server(cli: Cli, argv: tuple[str, ...], message: str) -> None:
    outcome = cli(*argv, PADDOCK_HOST="127.0.0.1:1")
    assert (outcome.code, outcome.out, outcome.err) == (1, "", f"Error: {message}\n")


@pytest.mark.parametrize(
    "argv", [("list",), ("ps",), ("show", "m"), ("run", "m"), ("rm", "m"), ("create", "m")]
)
def test_without_a_server_a_client_command_fails(cli: Cli, argv: tuple[str, ...]) -> None:
    outcome = cli(*argv, PADDOCK_HOST="127.0.0.1:1")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        "Error: could not connect to the Paddock server at http://127.0.0.1:1; "
        "run 'paddock serve' to start it\n"
    )


def test_a_client_command_checks_the_server_first(cli: Cli, server: Server) -> None:
    server.reply("GET", "/api/tags", {"models": []})
    assert cli("list").code == 0
    assert [request.method for request in server.requests] == ["HEAD", "GET"]


def test_a_file_that_cannot_be_read_is_an_error(cli: Cli, tmp_path: Path) -> None:
    outcome = cli("create", "m", "-f", str(tmp_path))
    assert (outcome.code, outcome.err) == (1, f"Error: {tmp_path}: Is a directory\n")


def test_a_reader_that_leaves_ends_the_command_quietly(child: Child, server: Server) -> None:
    read = threading.Event()

    def late(exchange: Exchange) -> None:
        assert read.wait(20)
        finish(exchange, 200, b'{"models":[]}')

    server.on("GET", "/api/tags", late)
    process = child("list", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    read.set()
    assert process.stderr.read() == b""
    assert process.wait(20) == 141


def test_an_interrupt_ends_a_command_with_130(child: Child, server: Server) -> None:
    asked = threading.Event()

    def never(exchange: Exchange) -> None:
        asked.set()
        exchange.wait_for_hang_up()

    server.on("GET", "/api/tags", never)
    process = child("list", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert asked.wait(20)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == (b"", b"")
    assert process.returncode == 130


def test_the_module_is_the_command_line(server: Server) -> None:
    server.reply("GET", "/api/tags", {"models": []})
    root = Path(__file__).parents[3]
    environ = {**os.environ, "PADDOCK_HOST": server.url}
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "ls"], cwd=root, env=environ, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"NAME    ID    SIZE    MODIFIED \n"


def test_help_imports_no_client() -> None:
    code = (
        "import sys; from gateway.cli import main; main(['--help']); main(['run', '--help']);"
        "sys.exit('httpx' in sys.modules or 'gateway.cli.run' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, stdout=subprocess.DEVNULL)
    assert done.returncode == 0
