"""pull and push: models from registries and to them, with a bar for each layer."""

from gateway import names
from gateway.cli.client import Api, ApiError, Reply
from gateway.cli.console import Console
from gateway.cli.flags import Arguments
from gateway.cli.progress import Display, display
from gateway.errors import Invalid

_OLLAMA = (".ollama.ai", ".ollama.com")
_REFUSED = ("401:", "403:", "unauthorized")
_NOT_YOURS = (
    "you are not authorized to push to this namespace, create the model under a namespace you own"
)


def pull(arguments: Arguments, console: Console, api: Api) -> int:
    """Get a model; progress goes to standard error, nothing to standard output."""
    (model,) = arguments.words
    fetch(model, arguments, console, api)
    return 0


def push(arguments: Arguments, console: Console, api: Api) -> int:
    """Send a model, and say where it can be found."""
    (model,) = arguments.words
    try:
        with display(console) as progress:
            for reply in api.stream("/api/push", request(model, arguments)):
                report(reply, progress)
    except ApiError as exc:
        if exc.message.startswith(_REFUSED):
            raise ApiError(f"{exc.message}\n{_NOT_YOURS}", exc.status) from exc
        raise
    console.out(f"\nYou can find your model at:\n\n\t{address(model)}\n")
    return 0


def fetch(model: str, arguments: Arguments, console: Console, api: Api) -> None:
    """Have the server pull a model, and show how far it is."""
    with display(console) as progress:
        for reply in api.stream("/api/pull", request(model, arguments)):
            report(reply, progress)


def request(model: str, arguments: Arguments) -> dict[str, object]:
    """The body of a pull or a push."""
    return {"model": model, **({"insecure": True} if arguments.on("insecure") else {})}


def report(reply: Reply, progress: Display) -> None:
    """One object of the stream on the display; a layer shows once bytes of it have moved."""
    status, digest = str(reply.get("status", "")), str(reply.get("digest", ""))
    if not digest:
        progress.status(status)
    elif completed := int(reply.get("completed") or 0):
        progress.transfer(digest, f"{status}:", completed, int(reply.get("total") or 0))


def address(model: str) -> str:
    """Where others find a model that was pushed: Ollama's own have a page, the rest a name."""
    try:
        name = names.parse(model)
    except Invalid:
        return model
    if not f".{name.host}".endswith(_OLLAMA):
        return name.full
    page = f"https://ollama.com/{name.namespace}/{name.model}"
    return page if name.tag == names.DEFAULT_TAG else f"{page}:{name.tag}"
