"""The command line: a client of the HTTP API, and `serve`, which starts the server.

Exit codes: 0 done, 1 failed, 130 interrupted, 141 when the reader of standard output went away.
"""

import sys
from collections.abc import Sequence

import click

from gateway.cli.commands import root
from gateway.cli.console import Console, discard_output, standard_console
from gateway.errors import GatewayError

INTERRUPTED = 130
PIPE_CLOSED = 141
COMPLETION = "_PADDOCK_COMPLETE"
"""Set by the shell to ask for completions: the variable click derives from the program's name."""


def main(argv: Sequence[str] | None = None, console: Console | None = None) -> int:
    """Run one command; returns the exit code. Defaults: this process's arguments and streams."""
    console = console or standard_console()
    try:
        if instruction := console.environ.get(COMPLETION):
            from click.shell_completion import shell_complete

            return shell_complete(root, {}, "paddock", COMPLETION, instruction)
        arguments = list(sys.argv[1:] if argv is None else argv)
        # Not `root.main()`: it answers a wrong flag with 2, an interrupt with 1 and "Aborted!",
        # and a closed pipe with 1, where scripts know Ollama's codes.
        with root.make_context("paddock", arguments, obj=console) as context:
            root.invoke(context)
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except click.ClickException as exc:
        message = exc.format_message()
    except GatewayError as exc:
        message = exc.message
    except BrokenPipeError:
        discard_output(console)
        return PIPE_CLOSED
    except OSError as exc:
        reason = exc.strerror or str(exc)
        message = f"{exc.filename}: {reason}" if exc.filename else reason
    except KeyboardInterrupt:
        return INTERRUPTED
    else:
        return 0
    console.note(f"Error: {message}")
    return 1
