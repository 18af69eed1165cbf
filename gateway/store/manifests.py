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

from gateway import digests, names
from gateway.errors import Broken, Invalid, NotFound
from gateway.golang.json_encode import dumps
from gateway.names import Name
from gateway.store import json_files
from gateway.store.blobs import sync_and_rename
from gateway.store.tree_stamp import TreeStamp

log = logging.getLogger(__name__)

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.ollama.image."
TEMPORARY = ".new-"
_LARGEST = 1 << 50
"""Bytes of a layer. The sum of as many as fit a manifest is still an exact number in JSON."""


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

    def all(self, *kinds: str) -> list[Layer]:
        """Every layer of these kinds, in order."""
        return [layer for layer in self.layers if layer.kind in kinds]

    def last(self, *kinds: str) -> Layer | None:
        """The layer of these kinds that counts where a model has one: as in Ollama, the last."""
        layers = self.all(*kinds)
        return layers[-1] if layers else None

    @property
    def size(self) -> int:
        """Bytes of all layers and the config as recorded; never read from disk."""
        return sum(layer.size for layer in self.layers) + (self.config.size if self.config else 0)

    @property
    def digests(self) -> frozenset[str]:
        """Every blob this manifest needs."""
        parts = (*self.layers, self.config) if self.config else self.layers
        return frozenset(layer.digest for layer in parts)


FileIdentity = tuple[int, int, int]
"""Of a file as it was read: mtime in nanoseconds, size, inode. Any rewrite changes one of them."""


def file_identity(status: os.stat_result) -> FileIdentity:
    return status.st_mtime_ns, status.st_size, status.st_ino


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest as it lies on disk. `digest` is the SHA-256 of the file, 64 hex digits."""

    name: Name
    manifest: Manifest
    digest: str
    modified_ns: int
    identity: FileIdentity


def encode(manifest: Manifest) -> bytes:
    """The bytes of a manifest made here, equal to what Ollama writes for the same layers."""
    body = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        # A config without a digest stands for none, here and in Ollama.
        "config": _encode_layer(manifest.config or Layer("", "", 0)),
        "layers": [_encode_layer(layer) for layer in manifest.layers],
    }
    return dumps(body) + b"\n"


def decode(data: bytes) -> Manifest:
    """Read a manifest; bytes after the JSON value are ignored. Raises ValueError."""
    body = json_files.decode(data)
    if not isinstance(body, dict):
        raise ValueError("a manifest must be a JSON object")
    layers = body.get("layers") or []
    if not isinstance(layers, list):
        raise ValueError("the layers of a manifest must be a list")
    config = body.get("config")
    has_config = isinstance(config, dict) and config.get("digest")
    return Manifest(
        tuple(_decode_layer(layer) for layer in layers),
        _decode_layer(config) if has_config else None,
    )


def _encode_layer(layer: Layer) -> dict[str, object]:
    body = {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}
    optional = {"from": layer.origin, "name": layer.name}
    return body | {key: value for key, value in optional.items() if value}


def _decode_layer(item: object) -> Layer:
    try:
        if not isinstance(item, dict):
            raise TypeError("a layer must be a JSON object")
        size = item.get("size", 0)
        if type(size) is not int or not 0 <= size <= _LARGEST:
            raise TypeError("a size must be a number of bytes")
        return Layer(
            media_type=str(item.get("mediaType", "")),
            # Canonical from here on: the digest becomes a path, so nothing else may pass.
            digest=digests.parse(item["digest"]),
            size=size,
            origin=str(item.get("from") or ""),
            name=str(item.get("name") or ""),
        )
    except (KeyError, TypeError, Invalid) as error:
        raise ValueError(f"not a layer: {item!r:.80}") from error


class Manifests:
    """The manifests of one folder. What is read once is remembered until its file changes."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._clock = clock
        self._known: dict[str, StoredManifest] = {}
        self._logged: dict[str, FileIdentity | None] = {}
        """Damaged files that the log has a line of, each in the state it had then."""

    def path(self, name: Name) -> Path:
        """Where the manifest of exactly this spelling is, or would be."""
        return self.folder / name.path

    def read(self, name: Name) -> StoredManifest:
        """The manifest of exactly this spelling. Raises NotFound, or Broken when it is damaged."""
        path = self.path(name)
        try:
            return self._load(name, str(path))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise NotFound(f"model '{name.short}' not found") from error
        except (OSError, ValueError) as error:
            reason = json_files.reason(error)
            raise Broken(f"the manifest of '{name.short}' cannot be read: {reason}") from error

    def new_stamp(self) -> TreeStamp:
        """An empty stamp that begins now, for `scan` to fill."""
        return TreeStamp(self.folder, self._clock())

    def scan(self, stamp: TreeStamp | None = None) -> Iterator[StoredManifest]:
        """Every readable manifest, in no order. What is damaged is skipped with one log line.

        `stamp` is sealed when all is yielded.
        """
        stamp = stamp or self.new_stamp()
        seen: set[str] = set()
        for path, parts in self._files(stamp):
            seen.add(path)
            try:
                yield self._visit(path, parts, stamp)
            except (OSError, ValueError) as error:
                try:
                    identity = file_identity(os.stat(path))
                except OSError:
                    if not os.path.islink(path):
                        continue  # deleted since the folder was listed, which is no damage
                    identity = None
                # Once for each state of the file, or every list of models would log it again.
                if self._logged.get(path, ()) != identity:
                    self._logged[path] = identity
                    log.warning("skipped manifest %s: %s", path, error)
        # `pop`, for another thread may do the same scan at the same time.
        for path in self._known.keys() - seen:
            self._known.pop(path, None)
        stamp.seal()

    def scan_strictly(self) -> list[StoredManifest]:
        """Every manifest, or OSError or ValueError for the first that cannot be read."""
        stamp = self.new_stamp()
        return [self._visit(path, parts, stamp) for path, parts in self._files(stamp)]

    def find(self, name: Name) -> Name | None:
        """The stored spelling of `name`: exact first, then any case."""
        if self.path(name).exists():
            return name
        # A tag may be in any of several folders that differ in case, so all of them are searched.
        for host, namespace, model in _folders(self.folder, name.parts[:-1], ()):
            inside = self.folder / host / namespace / model
            for tag in _matching(inside, name.tag):
                spelling = names.from_parts(host, namespace, model, tag)
                if spelling is not None and not (inside / tag).is_dir():
                    return spelling
        return None

    def spelling(self, name: Name) -> Name:
        """The spelling a new manifest of this name gets: stored host, namespace and model win."""
        # Two spellings of one name would be two files here and one on a disk that folds case, so
        # the folders that exist are used again.
        stored = self.find(name)
        if stored is not None:
            return stored
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
        # In the top folder: no scan takes what lies at this depth for a manifest, and it is the
        # file system of `path`, without which a rename is no single step.
        descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=self.folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                sync_and_rename(file.fileno(), Path(temporary), path)
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
            # rmdir refuses a folder with anything in it, so another process that just now writes a
            # manifest there loses nothing.
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

    def _files(self, stamp: TreeStamp) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Path and the four name parts of everything at tag level that is no folder."""
        folders: list[tuple[str, tuple[str, ...]]] = [(str(self.folder), ())]
        while folders:
            folder, parts = folders.pop()
            # Not by `os.walk`, since the stamp of a folder must be taken before it is read. A
            # folder may go while others are read: Ollama removes what it leaves empty.
            with suppress(FileNotFoundError, NotADirectoryError):
                stamp.stat(folder)
                with os.scandir(folder) as entries:
                    listed = list(entries)
                for entry in listed:
                    inner = (*parts, entry.name)
                    if entry.is_dir():
                        if len(inner) < 4:
                            folders.append((entry.path, inner))
                    elif len(inner) == 4:
                        yield entry.path, inner

    def _visit(self, path: str, parts: tuple[str, ...], stamp: TreeStamp) -> StoredManifest:
        status = stamp.stat(path)
        known = self._known.get(path)
        if known is not None and file_identity(status) == known.identity:
            return known
        # Files that are no manifests lie at this depth as well: .DS_Store is one.
        host, namespace, model, tag = parts
        name = names.from_parts(host, namespace, model, tag)
        if name is None:
            raise ValueError("its path is not a model name")
        return self._load(name, path)

    def _load(self, name: Name, path: str) -> StoredManifest:
        with open(path, "rb") as file:
            # Of the open file, and before its bytes: if it changes in between, the identity is
            # older than the bytes and the next comparison fails, never the other way round.
            status = os.fstat(file.fileno())
            data = file.read()
        stored = StoredManifest(
            name=name,
            manifest=decode(data),
            digest=hashlib.sha256(data).hexdigest(),
            modified_ns=status.st_mtime_ns,
            identity=file_identity(status),
        )
        self._known[path] = stored
        return stored


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
