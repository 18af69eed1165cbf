"""version: the server's, and this client's where it differs."""

import gateway
from gateway.cli.client import Api, ServerError, base_url
from gateway.cli.console import Console


def show_versions(console: Console) -> None:
    """Print the versions; a server that does not answer is a warning, not a failure."""
    own = gateway.__version__
    try:
        with Api(base_url(console.environ)) as api:
            server = api.version()
    except ServerError:
        # No failure: the question which version is installed has an answer without a server.
        server = ""
    if server:
        console.out(f"paddock version is {server}\n")
    else:
        console.out("Warning: could not connect to a running Paddock server\n")
    if server != own:
        console.out(f"Warning: client version is {own}\n")
