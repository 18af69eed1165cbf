"""list, ps, stop, cp, rm: one or two calls and a line or a table each."""

import time

from gateway.cli import formats
from gateway.cli.client import Api, ApiError, Reply
from gateway.cli.console import Console
from gateway.cli.flags import Arguments
from gateway.cli.tables import table
from gateway.errors import NotFound

LIST = ("name", "id", "size", "modified")
RUNNING = ("name", "id", "size", "processor", "context", "until")


def list_models(arguments: Arguments, console: Console, api: Api) -> int:
    """Print the library; a word keeps only names that start with it, in any case."""
    prefix = (arguments.words or ("",))[0].lower()
    now = time.time()
    models = [item for item in api.models() if _name(item).lower().startswith(prefix)]
    console.out(table(LIST, [list_row(item, now) for item in models]))
    return 0


def list_row(item: Reply, now: float) -> list[str]:
    """One model of /api/tags as cells."""
    modified = formats.moment(str(item.get("modified_at", "")))
    remote = bool(item.get("remote_model"))
    return [
        _name(item),
        _short_digest(item),
        "-" if remote else formats.size(int(item.get("size", 0))),
        formats.relative(modified, now, "Never"),
    ]


def list_running(arguments: Arguments, console: Console, api: Api) -> int:
    """Print what is loaded; a word keeps only names that start with it."""
    prefix = (arguments.words or ("",))[0]
    now = time.time()
    models = [item for item in api.running() if _name(item).startswith(prefix)]
    console.out(table(RUNNING, [running_row(item, now) for item in models]))
    return 0


def running_row(item: Reply, now: float) -> list[str]:
    """One model of /api/ps as cells."""
    size = int(item.get("size", 0))
    expires = formats.moment(str(item.get("expires_at", "")))
    past = expires is not None and expires < now
    return [
        _name(item),
        _short_digest(item),
        formats.size(size),
        formats.processor(size, int(item.get("size_vram", 0))),
        str(item.get("context_length", 0)),
        "Stopping..." if past else formats.relative(expires, now, "Never"),
    ]


def stop(arguments: Arguments, console: Console, api: Api) -> int:
    """Unload a model. One that exists but is not loaded is fine."""
    (model,) = arguments.words
    try:
        api.unload(model)
    except ApiError as exc:
        if exc.status != 404:
            raise
        raise NotFound(f'couldn\'t find model "{model}" to stop') from exc
    return 0


def copy(arguments: Arguments, console: Console, api: Api) -> int:
    source, destination = arguments.words
    api.copy(source, destination)
    console.out(f"copied '{source}' to '{destination}'\n")
    return 0


def remove(arguments: Arguments, console: Console, api: Api) -> int:
    """Unload and delete models in order; the first failure ends it."""
    for model in arguments.words:
        try:
            api.unload(model)
        except ApiError as exc:
            if exc.status != 404:
                console.note(f"Warning: unable to stop model '{model}'")
        api.delete(model)
        console.out(f"deleted '{model}'\n")
    return 0


def _name(item: Reply) -> str:
    return str(item.get("name", ""))


def _short_digest(item: Reply) -> str:
    return str(item.get("digest", ""))[:12]
