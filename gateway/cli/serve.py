"""serve: the one command that is not a client."""

from gateway.cli.console import Console
from gateway.cli.flags import Arguments


def serve(arguments: Arguments, console: Console) -> int:
    """Run the server until it is told to stop. Its modules load here, not with the client's."""
    from gateway.serve import main

    return main()
