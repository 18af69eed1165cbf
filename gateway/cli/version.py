"""version: the server's, and this client's where it differs."""

import gateway
from gateway.cli.client import Api, ApiError, base_url
from gateway.cli.console import Console
from gateway.cli.flags import Arguments


def version(arguments: Arguments, console: Console) -> int:
    """Print the versions; a server that does not answer is a warning, not a failure."""
    own = gateway.__version__
    try:
        with Api(base_url(console.environ)) as api:
            theirs = api.version()
    except ApiError:
        theirs = ""
    if theirs:
        console.out(f"paddock version is {theirs}\n")
    else:
        console.out("Warning: could not connect to a running Paddock server\n")
    if theirs != own:
        console.out(f"Warning: client version is {own}\n")
    return 0
