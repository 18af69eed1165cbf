"""The command line: a client of the HTTP API, and `serve`, which starts the server.

Exit codes: 0 done, 1 failed, 130 interrupted, 141 when the reader of standard output went away.
"""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from gateway.cli import commands, help
from gateway.cli.console import Console, discard_output, standard
from gateway.cli.flags import parse
from gateway.errors import GatewayError, Invalid

INTERRUPTED = 130
PIPE_CLOSED = 141


def main(argv: Sequence[str] | None = None, console: Console | None = None) -> int:
    """Run one command; returns the exit code. Defaults: this process's arguments and streams."""
    argv = sys.argv[1:] if argv is None else argv
    console = console or standard()
    try:
        return dispatch(argv, console)
    except GatewayError as exc:
        console.note(f"Error: {exc.message}")
        return 1
    except BrokenPipeError:
        discard_output(console)
        return PIPE_CLOSED
    except OSError as exc:
        console.note(f"Error: {_reason(exc)}")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def dispatch(argv: Sequence[str], console: Console) -> int:
    """Find the command in `argv` and run it; raises what it raises."""
    at = next((i for i, word in enumerate(argv) if not word.startswith("-")), None)
    if at is None:
        return _root(argv, console)
    name, rest = argv[at], [*argv[:at], *argv[at + 1 :]]
    if name == "help":
        return _help(rest, console)
    command = commands.find(name)
    arguments = parse(rest, command.flags)
    if arguments.on("help"):
        console.out(help.command_page(command))
        return 0
    command.check(arguments.words)
    module, _, function = command.run.partition(":")
    action: Callable[..., int] = getattr(import_module(f"gateway.cli.{module}"), function)
    if not command.client:
        return action(arguments, console)
    from gateway.cli.client import Api, base_url

    with Api(base_url(console.environ)) as api:
        api.check()
        return action(arguments, console, api)


def _reason(error: OSError) -> str:
    """What the system said, and about which file."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def _root(argv: Sequence[str], console: Console) -> int:
    """`paddock` with flags only."""
    arguments = parse(argv, help.ROOT_FLAGS)
    if arguments.on("version") and not arguments.on("help"):
        from gateway.cli.version import version

        return version(arguments, console)
    console.out(help.root_page())
    return 0


def _help(words: Sequence[str], console: Console) -> int:
    """`paddock help [command]`."""
    topic = next((word for word in words if not word.startswith("-")), None)
    if topic is None:
        console.out(help.root_page())
        return 0
    try:
        page = help.command_page(commands.find(topic))
    except Invalid:
        page = f"Unknown help topic [`{topic}`]\n{help.root_page()}"
    console.out(page)
    return 0
