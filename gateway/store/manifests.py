"""Manifests: which layers a name stands for, one JSON file per name below `manifests/`.

A file written by Ollama or received from a registry is kept byte for byte.
"""

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway import digests, names
from gateway.errors import Broken, Invalid, NotFound
from gateway.golang.json_encode import dumps
from gateway.names import Name
from gateway.store import json_files as document
from gateway.store.blobs import settle
from gateway.store.tree_stamp import Look

log = logging.getLogger(__name__)

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.ollama.image."
TEMPORARY = ".new-"
_LARGEST = 1 << 50
"""Bytes of a layer. The sum of any number of them that fits a manifest is still a JSON number."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A blob and its role. `origin` is where it came from: a model's short name, or a file name."""

    media_type: str
    digest: str
    size: int
    origin: str = ""
    name: str = ""

    @property
    def kind(self) -> str:
        """The role: `model`, `template`, …; empty for a media type that is not Ollama's."""
        head, prefix, kind = self.media_type.partition(LAYER_TYPE)
        return kind if prefix and not head else ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The layers of a model in order, and its config (None when the manifest names none)."""

    layers: tuple[Layer, ...]
    config: Layer | None

    @property
    def size(self) -> int:
        """Bytes of all layers and the config as recorded; never read from disk."""
        return sum(layer.size for layer in self.layers) + (self.config.size if self.config else 0)

    @property
    def digests(self) -> frozenset[str]:
        """Every blob this manifest needs."""
        parts = (*self.layers, self.config) if self.config else self.layers
        return frozenset(layer.digest for layer in parts)


Identity = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Stored:
    """A manifest as it lies on disk. `digest` is the SHA-256 of the file, 64 hex digits."""

    name: Name
    manifest: Manifest
    digest: str
    modified_ns: int
    identity: Identity


def encode(manifest: Manifest) -> bytes:
    """The bytes of a manifest made here, equal to what Ollama writes for the same layers."""
    described = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _describe(manifest.config or Layer("", "", 0)),
        "layers": [_describe(layer) for layer in manifest.layers],
    }
    return dumps(described) + b"\n"


def decode(data: bytes) -> Manifest:
    """Read a manifest; bytes after the JSON value are ignored. Raises ValueError."""
    found = document.decode(data)
    if not isinstance(found, dict):
        raise ValueError("a manifest must be a JSON object")
    listed = found.get("layers") or []
    if not isinstance(listed, list):
        raise ValueError("the layers of a manifest must be a list")
    layers = tuple(_layer(item) for item in listed)
    config = found.get("config")
    named = isinstance(config, dict) and config.get("digest")
    return Manifest(layers, _layer(config) if named else None)


def _describe(layer: Layer) -> dict[str, Any]:
    described = {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}
    extra = {"from": layer.origin, "name": layer.name}
    return described | {key: value for key, value in extra.items() if value}


def _layer(item: Any) -> Layer:
    try:
        return Layer(
            media_type=str(item.get("mediaType", "")),
            digest=digests.parse(item["digest"]),
            size=_size(item.get("size", 0)),
            origin=str(item.get("from") or ""),
            name=str(item.get("name") or ""),
        )
    except (AttributeError, KeyError, TypeError, Invalid) as error:
        raise ValueError(f"not a layer: {item!r:.80}") from error


def _size(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise TypeError("a size must be a number of bytes")
    return value


def identify(status: os.stat_result) -> Identity:
    """What changes whenever a file is rewritten or replaced."""
    return status.st_mtime_ns, status.st_size, status.st_ino


class Manifests:
    """The manifests of one folder. What is read once is remembered until its file changes."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._clock = clock
        self._prefix = str(folder)
        self._known: dict[str, Stored] = {}
        self._bad: dict[str, Identity | None] = {}

    def path(self, name: Name) -> Path:
        """Where the manifest of exactly this spelling is, or would be."""
        return self.folder / name.path

    def identity(self, name: Name) -> Identity | None:
        """What the file is now, in one stat; None when there is none."""
        # On the path of every request, so built by hand: a Path costs ten times the stat.
        path = "/".join((self._prefix, *name.parts))
        try:
            return identify(os.stat(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read(self, name: Name) -> Stored:
        """The manifest of exactly this spelling. Raises NotFound, or Broken when it is damaged."""
        path = self.path(name)
        try:
            return self._load(name, str(path))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise NotFound(f"model '{name.short}' not found") from error
        except (OSError, ValueError) as error:
            told = document.reason(error)
            raise Broken(f"the manifest of '{name.short}' cannot be read: {told}") from error

    def look(self) -> Look:
        """A look that begins now, for `scan`."""
        return Look(self.folder, self._clock())

    def scan(self, look: Look | None = None) -> Iterator[Stored]:
        """Every readable manifest, in no order. What is damaged is skipped with one log line.

        `look` is complete when all is yielded.
        """
        look = look or self.look()
        seen: set[str] = set()
        for path, parts in self._files(look):
            seen.add(path)
            try:
                yield self._visit(path, parts, look)
            except (OSError, ValueError) as error:
                self._complain(path, error)
        for path in self._known.keys() - seen:
            self._known.pop(path, None)
        look.complete()

    def scan_strictly(self) -> list[Stored]:
        """Every manifest, or OSError or ValueError for the first that cannot be read."""
        look = self.look()
        return [self._visit(path, parts, look) for path, parts in self._files(look)]

    def find(self, name: Name) -> Name | None:
        """The stored spelling of `name`: exact first, then any case."""
        if self.identity(name) is not None:
            return name
        return next(iter(_spellings(self.folder, name.parts, ())), None)

    def settle(self, name: Name) -> Name:
        """The spelling a new manifest of this name gets: stored host, namespace and model win."""
        found = self.find(name)
        if found is not None:
            return found
        parts = name.parts
        for depth in (3, 2, 1):
            prefix = next(_folders(self.folder, parts[:depth], ()), None)
            if prefix is not None:
                return Name(*prefix, *parts[depth:])
        return name

    def write(self, name: Name, data: bytes) -> None:
        """Put `data` in place at once, replacing what was there."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        # At this depth no scan looks for manifests, and it is the file system of the goal.
        descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=self.folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                settle(file.fileno(), Path(temporary), path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            raise

    def remove(self, name: Name) -> None:
        """Delete the manifest and the folders it leaves empty; NotFound when there is none."""
        path = self.path(name)
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(f"model '{name.short}' not found") from error
        for folder in path.parents:
            if folder == self.folder:
                break
            try:
                folder.rmdir()
            except OSError:
                break

    def tidy(self, before: float) -> None:
        """Remove empty folders, and temporary files last changed before `before` (unix seconds)."""
        for folder, _, _ in os.walk(self.folder, topdown=False):
            if Path(folder) != self.folder and not os.path.islink(folder):
                with suppress(OSError):
                    os.rmdir(folder)
        for file in self.folder.glob(f"{TEMPORARY}*"):
            if file.stat().st_mtime < before:
                file.unlink(missing_ok=True)

    def _files(self, look: Look) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Path and the four name parts of everything at tag level that is no folder."""
        folders: list[tuple[str, tuple[str, ...]]] = [(self._prefix, ())]
        while folders:
            folder, parts = folders.pop()
            with suppress(FileNotFoundError, NotADirectoryError):
                look.at(folder)
                for entry in _entries(folder):
                    inner = (*parts, entry.name)
                    if entry.is_dir():
                        if len(inner) < 4:
                            folders.append((entry.path, inner))
                    elif len(inner) == 4:
                        yield entry.path, inner

    def _visit(self, path: str, parts: tuple[str, ...], look: Look) -> Stored:
        status = look.at(path)
        known = self._known.get(path)
        if known is not None and identify(status) == known.identity:
            return known
        host, namespace, model, tag = parts
        name = names.from_parts(host, namespace, model, tag)
        if name is None:
            raise ValueError("its path is not a model name")
        return self._load(name, path)

    def _load(self, name: Name, path: str) -> Stored:
        with open(path, "rb") as file:
            # Of the open file, before its bytes: a change meanwhile shows at the next look.
            status = os.fstat(file.fileno())
            data = file.read()
        stored = Stored(
            name=name,
            manifest=decode(data),
            digest=hashlib.sha256(data).hexdigest(),
            modified_ns=status.st_mtime_ns,
            identity=identify(status),
        )
        self._known[path] = stored
        return stored

    def _complain(self, path: str, error: Exception) -> None:
        """Log a damaged manifest, once for each state its file is in."""
        try:
            identity = identify(os.stat(path))
        except OSError:
            if not os.path.islink(path):
                return  # deleted since it was seen, which is no damage
            identity = None
        if self._bad.get(path, ()) != identity:
            self._bad[path] = identity
            log.warning("skipped manifest %s: %s", path, error)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(entries)


def _spellings(folder: Path, parts: tuple[str, ...], above: tuple[str, ...]) -> Iterator[Name]:
    """Stored names equal to `parts` but for case."""
    for found in _folders(folder, parts[:-1], above):
        inside = folder.joinpath(*found)
        for entry in _matching(inside, parts[-1]):
            host, namespace, model = found
            name = names.from_parts(host, namespace, model, entry)
            if name is not None and not (inside / entry).is_dir():
                yield name


def _folders(
    folder: Path, parts: tuple[str, ...], above: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    """Chains of folders below `folder` equal to `parts` but for case, exact spellings first."""
    if not parts:
        yield above
        return
    inside = folder.joinpath(*above)
    for entry in _matching(inside, parts[0]):
        if (inside / entry).is_dir():
            yield from _folders(folder, parts[1:], (*above, entry))


def _matching(folder: Path, part: str) -> list[str]:
    """Entries of `folder` equal to `part` but for case: the exact one first, then in order."""
    wanted = part.lower()
    try:
        entries = [entry for entry in os.listdir(folder) if entry.lower() == wanted]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(entries, key=lambda entry: (entry != part, entry))
