"""create: read a Modelfile, send the files it names, and ask the server to make the model."""

import hashlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway import modelfile, names
from gateway.cli.client import Api, Reply
from gateway.cli.console import Console
from gateway.cli.flags import Arguments
from gateway.cli.progress import Display, display
from gateway.cli.sources import gguf_files, local, needed, travelling
from gateway.errors import GatewayError, Invalid
from gateway.modelfile import Modelfile

DEFAULT = b"FROM .\n"  # what a missing Modelfile means
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Sources:
    """What a Modelfile builds on: a model's name, or files by the name they travel under."""

    base: str
    files: Mapping[str, Path]
    adapters: Mapping[str, Path]
    drafts: Mapping[str, Path]

    def every(self) -> list[Path]:
        """Each file once."""
        groups = (self.files, self.adapters, self.drafts)
        return list(dict.fromkeys(path for group in groups for path in group.values()))


def create(arguments: Arguments, console: Console, api: Api) -> int:
    """Make a model; progress goes to standard error, nothing to standard output."""
    (model,) = arguments.words
    try:
        names.parse(model)
    except Invalid as exc:
        raise Invalid(f"invalid model name: {model}") from exc
    data, folder = read(arguments.text("file"), console)
    parsed = modelfile.parse(modelfile.decode(data))
    sources = resolve(parsed, folder)
    if arguments.text("draft-quantize") and not sources.drafts:
        raise Invalid("--draft-quantize requires a DRAFT model")
    wanted = request(model, parsed, arguments)
    for name in parsed.deprecated():
        console.note(f"warning: parameter {name} is deprecated")
    with display(console) as progress:
        progress.status("gathering model components")
        digests = send(sources.every(), api, progress)
        for reply in api.stream("/api/create", {**wanted, **located(sources, digests)}):
            report(reply, progress)
    return 0


def read(path: str, console: Console) -> tuple[bytes, Path]:
    """A Modelfile's bytes and the folder its paths are relative to."""
    if path == "-":
        return (console.stdin.buffer.read() if console.stdin else b""), Path()
    file = Path(path or "Modelfile")
    try:
        return file.read_bytes(), file.parent
    except FileNotFoundError as exc:
        if path:
            raise Invalid("specified Modelfile wasn't found") from exc
        return DEFAULT, Path()


def resolve(parsed: Modelfile, folder: Path) -> Sources:
    """Look for what FROM, ADAPTER and DRAFT name; raises Invalid for what is not there.

    FROM names a model when no file or folder of that name exists.
    """
    base, files = "", list[Path]()
    for text in parsed.every("from"):
        if path := local(text, folder):
            files += gguf_files(path)
        else:
            base = text
    drafts = [file for text in parsed.every("draft") for file in gguf_files(needed(text, folder))]
    own = {file.resolve() for file in files}
    for file in drafts:
        if file.resolve() in own:
            raise Invalid(f"DRAFT must not reference the same local path as FROM: {file}")
    adapter = parsed.last("adapter")
    adapters = gguf_files(needed(adapter, folder)) if adapter else []
    return Sources(base, travelling(files), travelling(adapters), travelling(drafts))


def request(model: str, parsed: Modelfile, arguments: Arguments) -> dict[str, Any]:
    """The members of the create request that need no file; empty ones are left out."""
    members = {
        "model": model,
        "template": parsed.last("template"),
        "system": parsed.last("system"),
        "license": list(parsed.every("license")),
        "parameters": parsed.parameters(),
        "messages": parsed.messages(),
        "renderer": parsed.last("renderer"),
        "parser": parsed.last("parser"),
        "requires": parsed.requires(),
        "quantize": arguments.text("quantize"),
        "draft_quantize": arguments.text("draft-quantize"),
    }
    return {key: value for key, value in members.items() if value}


def located(sources: Sources, digests: Mapping[Path, str]) -> dict[str, Any]:
    """The members that say what the model is built from."""

    def by_digest(files: Mapping[str, Path]) -> dict[str, str]:
        return {name: digests[path] for name, path in files.items()}

    members = {
        "from": sources.base,
        "files": by_digest(sources.files),
        "adapters": by_digest(sources.adapters),
        "draft_files": by_digest(sources.drafts),
    }
    return {key: value for key, value in members.items() if value}


def send(files: Sequence[Path], api: Api, progress: Display) -> dict[Path, str]:
    """Hash the files, upload those the server lacks, return their digests."""
    stop = threading.Event()

    def one(path: Path) -> str:
        size = path.stat().st_size
        found = hashlib.sha256()
        for chunk in chunks(path, stop):
            found.update(chunk)
        digest = f"sha256:{found.hexdigest()}"
        if not api.has_blob(digest):
            api.upload(digest, size, watched(path, stop, digest, size, progress))
        return digest

    with ThreadPoolExecutor(max(1, (os.cpu_count() or 2) - 1)) as pool:
        try:
            return dict(zip(files, pool.map(one, files), strict=True))
        except BaseException:
            stop.set()  # leaving the pool waits for its threads
            raise


def chunks(path: Path, stop: threading.Event) -> Iterator[bytes]:
    """A file's bytes; raises once `stop` is set."""
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            if stop.is_set():
                raise GatewayError("interrupted")
            yield chunk


def watched(
    path: Path, stop: threading.Event, digest: str, size: int, progress: Display
) -> Iterator[bytes]:
    """A file's bytes, counted on the display as they leave."""
    sent = 0
    for chunk in chunks(path, stop):
        yield chunk
        sent += len(chunk)
        progress.transfer(digest, f"copying file {digest[:19]}", sent, size)


def report(reply: Reply, progress: Display) -> None:
    """One object of the create stream on the display."""
    status, total = str(reply.get("status", "")), int(reply.get("total") or 0)
    if total:
        key = f"{status} {reply.get('digest', '')}"
        progress.transfer(key, status, int(reply.get("completed") or 0), total)
    else:
        progress.status(status)
