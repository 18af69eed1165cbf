"""list, ps, stop, cp, rm: one or two calls and a line or a table each."""

import time
from collections.abc import Iterable

from gateway.cli import formats
from gateway.cli.client import Api, ServerError
from gateway.cli.console import Console
from gateway.cli.json_fields import JsonMapping, integer_field, text_field
from gateway.cli.tables import table
from gateway.errors import NotFound

LIST = ("name", "id", "size", "modified")
RUNNING = ("name", "id", "size", "processor", "context", "until")
SHORT_DIGEST = 12


def list_models(prefix: str, console: Console, api: Api) -> None:
    """Print the library: the names that start with `prefix`, in any case."""
    now = time.time()
    rows = [list_row(item, now) for item in api.models()]
    console.out(table(LIST, [row for row in rows if row[0].lower().startswith(prefix.lower())]))


def list_row(item: JsonMapping, now: float) -> list[str]:
    """One model of /api/tags as cells; `now` in Unix seconds."""
    modified = formats.moment(text_field(item, "modified_at"))
    # Nothing of a model that runs elsewhere takes room here.
    size = "-" if item.get("remote_model") else formats.size(integer_field(item, "size"))
    return [
        text_field(item, "name"),
        text_field(item, "digest")[:SHORT_DIGEST],
        size,
        formats.relative(modified, now, "Never"),
    ]


def list_running(prefix: str, console: Console, api: Api) -> None:
    """Print the loaded models whose names start with `prefix`."""
    now = time.time()
    rows = [running_row(item, now) for item in api.running()]
    # Unlike list, ps minds the case, because Ollama's does.
    console.out(table(RUNNING, [row for row in rows if row[0].startswith(prefix)]))


def running_row(item: JsonMapping, now: float) -> list[str]:
    """One model of /api/ps as cells; `now` in Unix seconds."""
    size = integer_field(item, "size")
    expires = formats.moment(text_field(item, "expires_at"))
    past = expires is not None and expires < now
    return [
        text_field(item, "name"),
        text_field(item, "digest")[:SHORT_DIGEST],
        formats.size(size),
        formats.processor(size, integer_field(item, "size_vram")),
        str(integer_field(item, "context_length")),
        "Stopping..." if past else formats.relative(expires, now, "Never"),
    ]


def stop_model(model: str, api: Api) -> None:
    """Unload a model. One that exists but is not loaded is fine."""
    try:
        api.unload(model)
    except ServerError as exc:
        if exc.status != 404:
            raise
        raise NotFound(f'couldn\'t find model "{model}" to stop') from exc


def copy_model(source: str, destination: str, console: Console, api: Api) -> None:
    api.copy(source, destination)
    console.out(f"copied '{source}' to '{destination}'\n")


def remove_models(models: Iterable[str], console: Console, api: Api) -> None:
    """Unload and delete models in order; the first failure ends it."""
    for model in models:
        # Unloaded first, or its runner keeps the memory of a model that is gone.
        try:
            api.unload(model)
        except ServerError as exc:
            # For a missing model the delete below has the better message.
            if exc.status != 404:
                console.note(f"Warning: unable to stop model '{model}'")
        api.delete(model)
        console.out(f"deleted '{model}'\n")
