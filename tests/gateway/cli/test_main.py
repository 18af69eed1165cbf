"""The frame of the program: which command runs, what fails how, and the exit codes."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.gateway.cli.conftest import Cli, Exchange, ScriptedServer, StartCommand, finish


@pytest.mark.parametrize("argv", [(), ("--help",), ("-h",), ("help",), ("-hv",)])
def test_the_root_page_is_shown_without_a_server(cli: Cli, argv: tuple[str, ...]) -> None:
    outcome = cli(*argv, PADDOCK_HOST="127.0.0.1:1")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("Usage: paddock [OPTIONS] [COMMAND]")


@pytest.mark.parametrize(
    "argv", [("run", "--help"), ("help", "run"), ("run", "x", "-h"), ("-h", "run")]
)
def test_a_command_page_is_shown_without_a_server(cli: Cli, argv: tuple[str, ...]) -> None:
    outcome = cli(*argv, PADDOCK_HOST="127.0.0.1:1")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("Usage: paddock run [OPTIONS] MODEL [PROMPT]...")


def test_an_unknown_topic_gets_the_root_page(cli: Cli) -> None:
    outcome = cli("help", "nosuch")
    assert outcome.code == 0
    assert outcome.out == f"Unknown help topic [`nosuch`]\n{cli('help').out}"


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


def test_a_client_command_checks_the_server_first(cli: Cli, server: ScriptedServer) -> None:
    server.reply("GET", "/api/tags", {"models": []})
    assert cli("list").code == 0
    assert [request.method for request in server.requests] == ["HEAD", "GET"]


def test_a_file_that_cannot_be_read_is_an_error(cli: Cli, tmp_path: Path) -> None:
    outcome = cli("create", "m", "-f", str(tmp_path))
    assert (outcome.code, outcome.err) == (1, f"Error: {tmp_path}: Is a directory\n")


def test_a_reader_that_leaves_ends_the_command_quietly(
    start_command: StartCommand, server: ScriptedServer
) -> None:
    read = threading.Event()

    def late(exchange: Exchange) -> None:
        assert read.wait(20)
        finish(exchange, 200, b'{"models":[]}')

    server.on("GET", "/api/tags", late)
    process = start_command("list", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    read.set()
    assert process.stderr.read() == b""
    assert process.wait(20) == 141


def test_an_interrupt_ends_a_command_with_130(
    start_command: StartCommand, server: ScriptedServer
) -> None:
    received = threading.Event()

    def never(exchange: Exchange) -> None:
        received.set()
        exchange.wait_for_hang_up()

    server.on("GET", "/api/tags", never)
    process = start_command("list", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert received.wait(20)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == (b"", b"")
    assert process.returncode == 130


def test_the_module_is_the_command_line(server: ScriptedServer) -> None:
    server.reply("GET", "/api/tags", {"models": []})
    root = Path(__file__).parents[3]
    environ = {**os.environ, "PADDOCK_HOST": server.url}
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "ls"], cwd=root, env=environ, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"NAME    ID    SIZE    MODIFIED \n"


def imported(start_command: StartCommand, *argv: str, **environ: str) -> set[str]:
    """The modules that a run of the program has loaded at its end."""
    start = (
        "import sys; from gateway.cli import main; main(); sys.stderr.write(' '.join(sys.modules))"
    )
    process = start_command(
        *argv,
        start=start,
        environ=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    return set(process.communicate(timeout=20)[1].decode().split())


@pytest.mark.parametrize("argv", [("--version",), ("--help",), ("run", "--help")])
def test_version_and_help_import_little(start_command: StartCommand, argv: tuple[str, ...]) -> None:
    modules = imported(start_command, *argv)
    assert "click" in modules
    assert modules.isdisjoint(
        {"asyncio", "httpx", "prompt_toolkit", "pydantic", "rich", "gateway.cli.client"}
    )


def test_an_answer_to_a_pipe_imports_neither_bars_nor_editor(
    start_command: StartCommand, server: ScriptedServer
) -> None:
    server.reply("POST", "/api/show", {"capabilities": []})
    server.stream("/api/generate", {"response": "Hi"})
    modules = imported(start_command, "run", "m", "hi")
    assert "gateway.cli.run" in modules
    assert modules.isdisjoint({"rich", "prompt_toolkit"})


def test_the_server_imports_neither_bars_nor_editor(
    start_command: StartCommand, tmp_path: Path
) -> None:
    modules = imported(start_command, "serve", PADDOCK_ENGINE=str(tmp_path / "none"))
    assert "gateway.app" in modules
    assert modules.isdisjoint({"rich", "prompt_toolkit", "gateway.cli.client"})


def test_the_shell_can_ask_for_completions(start_command: StartCommand) -> None:
    process = start_command(
        environ={
            "_PADDOCK_COMPLETE": "bash_complete",
            "COMP_WORDS": "paddock pu",
            "COMP_CWORD": "1",
        },
        stdout=subprocess.PIPE,
    )
    assert process.communicate(timeout=20)[0] == b"plain,pull\nplain,push\n"
