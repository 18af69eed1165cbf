"""create: read a Modelfile, send the files it names, and ask the server to make the model."""

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gateway import modelfile, names
from gateway.cli.client import Api
from gateway.cli.console import Console
from gateway.cli.json_fields import JsonMapping, integer_field, text_field
from gateway.cli.progress import ProgressDisplay, progress_display
from gateway.errors import GatewayError, Invalid
from gateway.modelfile import Modelfile

# A folder of GGUF files is a model without any Modelfile.
DEFAULT_MODELFILE = b"FROM .\n"
CHUNK = 1 << 20
GGUF_MAGIC = b"GGUF"


@dataclass(frozen=True, slots=True)
class ModelSources:
    """What a Modelfile builds on: a model's name, or files by the name the server gets."""

    base: str
    files: Mapping[str, Path]
    adapters: Mapping[str, Path]
    drafts: Mapping[str, Path]

    def paths(self) -> list[Path]:
        """Each file once."""
        groups = (self.files, self.adapters, self.drafts)
        return list(dict.fromkeys(path for group in groups for path in group.values()))


def create_model(
    model: str, file: str, quantize: str, draft_quantize: str, console: Console, api: Api
) -> None:
    """Make a model; progress goes to standard error, nothing to standard output."""
    # All that can be wrong here is checked before anything is sent: uploads may take minutes.
    try:
        names.parse(model)
    except Invalid as exc:
        raise Invalid(f"invalid model name: {model}") from exc
    data, folder = read_modelfile(file, console)
    parsed = modelfile.parse(modelfile.decode(data))
    sources = find_sources(parsed, folder)
    if draft_quantize and not sources.drafts:
        raise Invalid("--draft-quantize requires a DRAFT model")
    request = create_request(model, parsed, quantize, draft_quantize)
    for name in parsed.deprecated():
        console.note(f"warning: parameter {name} is deprecated")
    with progress_display(console) as progress:
        progress.status("gathering model components")
        digests = send_files(sources.paths(), api, progress)
        for event in api.stream("/api/create", {**request, **source_fields(sources, digests)}):
            report(event, progress)


def read_modelfile(path: str, console: Console) -> tuple[bytes, Path]:
    """A Modelfile's bytes and the folder its paths are relative to; "" is the usual file."""
    if path == "-":
        return (console.stdin.buffer.read() if console.stdin else b""), Path()
    file = Path(path or "Modelfile")
    try:
        return file.read_bytes(), file.parent
    except FileNotFoundError as exc:
        # Ollama falls back to the default even for a file that was named, and so makes another
        # model than the one described there: a typing error should not do that.
        if path:
            raise Invalid("specified Modelfile wasn't found") from exc
        return DEFAULT_MODELFILE, Path()


def find_sources(parsed: Modelfile, folder: Path) -> ModelSources:
    """Look for what FROM, ADAPTER and DRAFT name; raises Invalid for what is not there.

    FROM names a model when no file or folder of that name exists.
    """
    base, files = "", list[Path]()
    for text in parsed.every("from"):
        if path := local_path(text, folder):
            files += gguf_files(path)
        else:
            base = text
    drafts = [path for text in parsed.every("draft") for path in required_files(text, folder)]
    own = {file.resolve() for file in files}
    for file in drafts:
        if file.resolve() in own:
            raise Invalid(f"DRAFT must not reference the same local path as FROM: {file}")
    adapter = parsed.last("adapter")
    adapters = required_files(adapter, folder) if adapter else []
    return ModelSources(base, upload_names(files), upload_names(adapters), upload_names(drafts))


def local_path(text: str, folder: Path) -> Path | None:
    """The file or folder `text` names as seen from `folder`; None when nothing is there."""
    path = folder / os.path.expanduser(text)
    return path if path.exists() else None


def required_files(text: str, folder: Path) -> list[Path]:
    """The GGUF files `text` names; raises Invalid if nothing is there."""
    path = local_path(text, folder)
    if path is None:
        raise Invalid(f"{text}: no such file or directory")
    return gguf_files(path)


def gguf_files(path: Path) -> list[Path]:
    """`path` itself, or the GGUF files in it when it is a folder; raises Invalid."""
    if not path.is_dir():
        if not is_gguf(path):
            raise Invalid(f"{path}: not a GGUF file, and only those are supported for now")
        return [path]
    files = []
    for file in sorted(path.glob("*.gguf")):
        # A folder from elsewhere must not send files of ours by way of a link.
        if not file.resolve().is_relative_to(path.resolve()):
            raise Invalid(f"insecure path: {file.name}")
        # Git LFS leaves small text files of the same name where it did not fetch the large ones.
        if is_gguf(file):
            files.append(file)
    if not files:
        raise Invalid(f"no Modelfile or GGUF files found in {path}")
    return files


def is_gguf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(GGUF_MAGIC)) == GGUF_MAGIC


def upload_names(files: Iterable[Path]) -> dict[str, Path]:
    """Files by the name the server gets: relative to their deepest common folder."""
    absolute = {file: Path(os.path.abspath(file)) for file in files}
    if not absolute:
        return {}
    root = Path(os.path.commonpath([path.parent for path in absolute.values()]))
    return {path.relative_to(root).as_posix(): file for file, path in absolute.items()}


def create_request(
    model: str, parsed: Modelfile, quantize: str, draft_quantize: str
) -> dict[str, object]:
    """The fields of the request that need no file; empty ones are left out.

    Raises Invalid for parameters and versions that are none.
    """
    fields: dict[str, object] = {
        "model": model,
        "template": parsed.last("template"),
        "system": parsed.last("system"),
        "license": list(parsed.every("license")),
        "parameters": parsed.parameters(),
        "messages": parsed.messages(),
        "renderer": parsed.last("renderer"),
        "parser": parsed.last("parser"),
        "requires": parsed.requires(),
        "quantize": quantize,
        "draft_quantize": draft_quantize,
    }
    return {name: value for name, value in fields.items() if value}


def source_fields(sources: ModelSources, digests: Mapping[Path, str]) -> dict[str, object]:
    """The fields for what the model is built from; empty ones are left out."""

    def by_digest(files: Mapping[str, Path]) -> dict[str, str]:
        return {name: digests[path] for name, path in files.items()}

    fields: dict[str, object] = {
        "from": sources.base,
        "files": by_digest(sources.files),
        "adapters": by_digest(sources.adapters),
        "draft_files": by_digest(sources.drafts),
    }
    return {name: value for name, value in fields.items() if value}


def send_files(files: Sequence[Path], api: Api, progress: ProgressDisplay) -> dict[Path, str]:
    """Hash the files, upload those the server lacks, return their digests."""
    stop = threading.Event()

    def send(path: Path) -> str:
        size = path.stat().st_size
        sha256 = hashlib.sha256()
        for chunk in read_chunks(path, stop):
            sha256.update(chunk)
        digest = f"sha256:{sha256.hexdigest()}"
        # The server may have it from another model; asking costs less than sending gigabytes.
        if not api.has_blob(digest):
            api.upload(digest, size, counted_chunks(path, stop, digest, size, progress))
        return digest

    # In threads, since hashing and sending release the GIL; one CPU stays free for the server.
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 2) - 1)) as pool:
        try:
            return dict(zip(files, pool.map(send, files), strict=True))
        except BaseException:
            # Leaving the pool waits for its threads, which would hash and send to the end.
            stop.set()
            raise


def read_chunks(path: Path, stop: threading.Event) -> Iterator[bytes]:
    """A file's bytes; raises GatewayError once `stop` is set."""
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            if stop.is_set():
                raise GatewayError("interrupted")
            yield chunk


def counted_chunks(
    path: Path, stop: threading.Event, digest: str, size: int, progress: ProgressDisplay
) -> Iterator[bytes]:
    """A file's bytes, counted on the display once they have left."""
    sent = 0
    for chunk in read_chunks(path, stop):
        yield chunk
        sent += len(chunk)
        progress.transfer(digest, f"copying file {digest[:19]}", sent, size)


def report(event: JsonMapping, progress: ProgressDisplay) -> None:
    """Show one object of the create stream."""
    status, total = text_field(event, "status"), integer_field(event, "total")
    if total:
        key = f"{status} {text_field(event, 'digest')}"
        # By digest as well: two files may be worked on under one status.
        progress.transfer(key, status, integer_field(event, "completed"), total)
    else:
        progress.status(status)
