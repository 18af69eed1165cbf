"""pull and push: models from registries and to them, with a bar for each layer."""

from gateway import names
from gateway.cli.client import Api, ServerError
from gateway.cli.console import Console
from gateway.cli.json_fields import JsonMapping, integer_field, text_field
from gateway.cli.progress import ProgressDisplay, progress_display
from gateway.errors import Invalid

# The registries whose models have a page for people.
_OLLAMA = (".ollama.ai", ".ollama.com")
_UNAUTHORIZED = ("401:", "403:", "unauthorized")
_NOT_YOURS = (
    "you are not authorized to push to this namespace, create the model under a namespace you own"
)


def pull_model(model: str, insecure: bool, console: Console, api: Api) -> None:
    """Have the server get a model; progress goes to standard error, nothing to standard output."""
    with progress_display(console) as progress:
        for event in api.stream("/api/pull", transfer_request(model, insecure)):
            report(event, progress)


def push_model(model: str, insecure: bool, console: Console, api: Api) -> None:
    """Have the server send a model, and print its address there."""
    try:
        with progress_display(console) as progress:
            for event in api.stream("/api/push", transfer_request(model, insecure)):
                report(event, progress)
    except ServerError as exc:
        if exc.message.startswith(_UNAUTHORIZED):
            raise ServerError(f"{exc.message}\n{_NOT_YOURS}", exc.status) from exc
        raise
    console.out(f"\nYou can find your model at:\n\n\t{public_address(model)}\n")


def transfer_request(model: str, insecure: bool) -> dict[str, object]:
    return {"model": model, **({"insecure": True} if insecure else {})}


def report(event: JsonMapping, progress: ProgressDisplay) -> None:
    """Show one object of the stream."""
    status, digest = text_field(event, "status"), text_field(event, "digest")
    if not digest:
        progress.status(status)
    # Every layer is announced at once, with nothing completed: a bar is for one that moves.
    elif completed := integer_field(event, "completed"):
        progress.transfer(digest, f"{status}:", completed, integer_field(event, "total"))


def public_address(model: str) -> str:
    """Where others find a model that was pushed: Ollama's own have a page, the rest a name."""
    try:
        name = names.parse(model)
    except Invalid:
        return model
    # The leading dot lets one suffix match both the host itself and its subdomains.
    if not f".{name.host}".endswith(_OLLAMA):
        return name.full
    page = f"https://ollama.com/{name.namespace}/{name.model}"
    return page if name.tag == names.DEFAULT_TAG else f"{page}:{name.tag}"
