"""The local store: names to manifests to blobs, in Ollama's own layout, read and written.

Nothing here waits or knows HTTP. Every method may run in any thread; those that change the store
take `lock`, so that no blob goes between the look that finds it and the manifest that names it.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gateway import digests
from gateway.errors import Broken, Invalid, NotFound
from gateway.names import Name
from gateway.store import capabilities, config, gguf, parameters
from gateway.store import json_files as document
from gateway.store.blobs import Blobs
from gateway.store.config import Config
from gateway.store.gguf import Header
from gateway.store.manifests import Identity, Layer, Manifest, Manifests, Stored
from gateway.store.model import Entry, Model
from gateway.store.recent import Recent
from gateway.store.tree_stamp import Look

log = logging.getLogger(__name__)

Write = Callable[[Sequence[Entry]], bytes]
"""What makes a text of a list; a function that is always the same one."""

_HOUR = 3600.0
_OLD_BLOB = re.compile(r"sha256:(.+)")


class Library:
    """The models below `root`. `prune` false keeps what nothing names, as OLLAMA_NOPRUNE asks."""

    def __init__(
        self, root: Path, *, prune: bool = True, clock: Callable[[], float] = time.time
    ) -> None:
        self.root = root
        self.blobs = Blobs(root / "blobs")
        self.manifests = Manifests(root / "manifests", clock)
        self.lock = threading.RLock()
        self._prune = prune
        self._clock = clock
        self._models: Recent[Name, tuple[Identity, Model]] = Recent(256)
        self._headers: Recent[str, Header] = Recent(256)
        self._outlines: Recent[str, Mapping[str, Any]] = Recent(256)
        self._entries: dict[Name, tuple[Identity, Entry]] = {}
        self._listing: tuple[Look, list[Entry]] | None = None
        self._written: dict[Write, tuple[list[Entry], bytes]] = {}

    def peek(self, name: Name) -> Model | None:
        """The model if it was read before and has not changed: one stat, fit for the event loop."""
        identity = self.manifests.identity(name)
        kept = self._models.get(name)
        return kept[1] if kept and kept[0] == identity else None

    def get(self, name: Name) -> Model:
        """The model of this name in any case. Raises NotFound, or Broken when a part is missing."""
        known = self.peek(name)
        if known is not None:
            return known
        found = self.find(name)
        if found is None:
            raise NotFound(f"model '{name.short}' not found")
        if found != name:
            return self.get(found)
        stored = self.manifests.read(name)
        model = self._resolve(stored)
        self._models.put(name, (stored.identity, model))
        return model

    def find(self, name: Name) -> Name | None:
        """The stored spelling of `name`: exact, else in any case; None when there is none."""
        return self.manifests.find(name)

    def entries(self) -> list[Entry]:
        """Every model in short, newest first by whole seconds. What cannot be read is left out.

        While no manifest changes, whoever may change it, it is the same list.
        """
        kept = self._listing
        if kept is not None and kept[0].holds():
            return kept[1]
        look = self.manifests.look()
        found: dict[Name, tuple[Identity, Entry]] = {}
        whole = True
        for stored in self.manifests.scan(look):
            one = self._entries.get(stored.name)
            if one is None or one[0] != stored.identity:
                try:
                    one = stored.identity, self._summarize(stored)
                except (OSError, ValueError) as error:
                    log.warning("left %s out of the list: %s", stored.name.short, error)
                    whole = False
                    continue
            found[stored.name] = one
        self._entries = found
        entries = sorted((entry for _, entry in found.values()), key=_newest_first)
        # What is missing today may be there tomorrow, and no manifest would tell.
        self._listing = (look, entries) if whole else None
        return entries

    def written(self, write: Write) -> bytes:
        """The entries as `write` puts them; its last text is kept as long as they stay the same."""
        entries = self.entries()
        kept = self._written.get(write)
        if kept is None or kept[0] is not entries:
            kept = self._written[write] = entries, write(entries)
        return kept[1]

    def copy(self, source: Name, destination: Name) -> None:
        """Let `destination` stand for the same layers. NotFound when there is no source."""
        with self.lock:
            found = self.find(source)
            if found is None:
                raise NotFound(f"model '{source.short}' not found")
            goal = self.manifests.settle(destination)
            if goal != found:
                self.manifests.write(goal, self.manifests.path(found).read_bytes())

    def delete(self, name: Name) -> None:
        """Remove the name and every blob that only it used. NotFound when there is no such name."""
        with self.lock:
            found = self.find(name)
            if found is None:
                raise NotFound(f"model '{name.short}' not found")
            needed: frozenset[str] = frozenset()
            # A damaged manifest can be deleted too; what it named is left to the sweep.
            with suppress(Broken):
                needed = self.manifests.read(found).manifest.digests
            self.manifests.remove(found)
            self._drop(needed)

    def publish(self, name: Name, data: bytes) -> Name:
        """Give `name` the manifest `data`, and drop what only its old one used; the last step.

        Returns the spelling it has now. Callers hold `lock` since they last looked at the blobs.
        """
        with self.lock:
            goal = self.manifests.settle(name)
            old: frozenset[str] = frozenset()
            with suppress(NotFound, Broken):
                old = self.manifests.read(goal).manifest.digests
            self.manifests.write(goal, data)
            if self._prune:
                self._drop(old)
            return goal

    def prune(self) -> None:
        """Startup maintenance: old file names, blobs nobody needs, empty folders."""
        with self.lock:
            self._rename_old_blobs()
            if self._prune and self.manifests.folder.is_dir():
                self._sweep()
                self.manifests.tidy(self._clock() - _HOUR)

    def header(self, digest: str) -> Header:
        """The header of a GGUF blob. Raises Invalid or OSError."""
        known = self._headers.get(digest)
        if known is None:
            known = gguf.read_header(self.blobs.path(digest))
            self._headers.put(digest, known)
        return known

    def _resolve(self, stored: Stored) -> Model:
        """Read everything a manifest names but the weights."""
        try:
            return self._read(stored)
        except (OSError, ValueError) as error:
            told = document.reason(error)
            raise Broken(f"model '{stored.name.short}' is damaged: {told}") from error

    def _read(self, stored: Stored) -> Model:
        layers = _Layers(stored.manifest)
        settings = self._config(stored.manifest)
        template = self._template(layers)
        weights, draft = layers.last("model"), layers.last("draft")
        projectors = layers.all("projector")
        header = self._known_header(weights)
        projector = self._known_header(projectors[0] if projectors else None)
        return Model(
            name=stored.name,
            digest=stored.digest,
            size=stored.manifest.size,
            modified_ns=stored.modified_ns,
            config=settings,
            parent=weights.origin if weights else "",
            capabilities=capabilities.shown(settings, header, template, projector, len(projectors)),
            native=capabilities.native(
                settings, template, header.chat_template if header else None
            ),
            templated=capabilities.templated(
                settings, template, header.chat_template if header else None
            ),
            weights=self.blobs.path(weights.digest) if weights else Path(),
            weights_digest=weights.digest if weights else "",
            projectors=self._paths(projectors),
            adapters=self._paths(layers.all("adapter")),
            draft=self.blobs.path(draft.digest) if draft else None,
            template=template,
            system=self._text(layers.last("system")) or "",
            parameters=self._parameters(layers),
            messages=self._messages(layers),
            licenses=tuple(self._text(layer) or "" for layer in layers.all("license")),
            header=header,
            projector=projector,
            manifest=stored.manifest,
        )

    def _summarize(self, stored: Stored) -> Entry:
        layers = _Layers(stored.manifest)
        settings = self._config(stored.manifest)
        weights = layers.last("model")
        outline = self._outline(weights)
        abilities = capabilities.listed(
            settings, outline, self._template(layers), len(layers.all("projector"))
        )
        return Entry(
            name=stored.name,
            digest=stored.digest,
            size=stored.manifest.size,
            modified_ns=stored.modified_ns,
            config=settings,
            parent=weights.origin if weights else "",
            capabilities=abilities,
            outline=outline,
        )

    def _config(self, manifest: Manifest) -> Config:
        if manifest.config is None:
            return Config()
        return config.decode(self.blobs.read(manifest.config.digest))

    def _template(self, layers: "_Layers") -> str | None:
        return self._text(layers.last("template", "prompt"))

    def _text(self, layer: Layer | None) -> str | None:
        return self.blobs.read(layer.digest).decode(errors="replace") if layer else None

    def _parameters(self, layers: "_Layers") -> Mapping[str, Any]:
        merged: dict[str, Any] = {}
        for layer in layers.all("params"):
            merged |= parameters.decode(self.blobs.read(layer.digest))
        return merged

    def _messages(self, layers: "_Layers") -> tuple[Mapping[str, Any], ...]:
        layer = layers.last("messages")
        return _messages(document.decode(self.blobs.read(layer.digest))) if layer else ()

    def _paths(self, layers: list[Layer]) -> tuple[Path, ...]:
        return tuple(self.blobs.path(layer.digest) for layer in layers)

    def _known_header(self, layer: Layer | None) -> Header | None:
        """A header if it can be read: what it would tell is missing otherwise, and nothing else."""
        if layer is None:
            return None
        try:
            return self.header(layer.digest)
        except (Invalid, OSError) as error:
            log.warning("cannot read the header of %s: %s", layer.digest, error)
            return None

    def _outline(self, layer: Layer | None) -> Mapping[str, Any] | None:
        if layer is None:
            return None
        known = self._outlines.get(layer.digest)
        if known is not None:
            return known
        try:
            outline = gguf.read_outline(self.blobs.path(layer.digest))
        except (Invalid, OSError) as error:
            log.warning("cannot read the header of %s: %s", layer.digest, error)
            return None
        self._outlines.put(layer.digest, outline)
        return outline

    def _drop(self, candidates: frozenset[str]) -> None:
        """Remove those of `candidates` that no manifest names any more."""
        needed = self._needed() if candidates else None
        if needed is not None:
            for digest in candidates - needed:
                self.blobs.remove(digest)

    def _needed(self) -> frozenset[str] | None:
        """Every blob some manifest names, or None when that cannot be told and nothing may go."""
        # A later layout of Ollama keeps manifests here that may name any blob; we do not read it.
        if (self.root / "manifests-v2").exists():
            return None
        try:
            stored = self.manifests.scan_strictly()
        except (OSError, ValueError) as error:
            log.warning("kept all blobs, for one manifest cannot be read: %s", error)
            return None
        return frozenset().union(*(one.manifest.digests for one in stored))

    def _sweep(self) -> None:
        """Remove blobs without a manifest, and leftovers. Under an hour old, they may be in use."""
        needed = self._needed()
        if needed is None:
            return
        for entry in self.blobs.files():
            with suppress(FileNotFoundError):
                young = self._clock() - entry.stat().st_mtime < _HOUR
                if not young and _digest_of(entry.name) not in needed:
                    Path(entry.path).unlink()

    def _rename_old_blobs(self) -> None:
        """Very old versions wrote `sha256:…`, a colon no Windows file name can have."""
        for entry in self.blobs.files():
            found = _OLD_BLOB.fullmatch(entry.name)
            if found:
                Path(entry.path).rename(self.blobs.folder / f"sha256-{found[1]}")


class _Layers:
    """The layers of a manifest by kind."""

    def __init__(self, manifest: Manifest) -> None:
        self._layers = manifest.layers

    def all(self, *kinds: str) -> list[Layer]:
        return [layer for layer in self._layers if layer.kind in kinds]

    def last(self, *kinds: str) -> Layer | None:
        found = self.all(*kinds)
        return found[-1] if found else None


def _messages(found: Any) -> tuple[Mapping[str, Any], ...]:
    """The conversation that a model starts with; ValueError when it is none."""
    if not isinstance(found, list | None):
        raise ValueError("messages must be a JSON list")
    for message in found or ():
        if not isinstance(message, dict) or any(
            not isinstance(message.get(key, ""), str) for key in ("role", "content")
        ):
            raise ValueError("a message must have a role and a content that are texts")
    return tuple(found or ())


def _newest_first(entry: Entry) -> tuple[int, tuple[str, str, str, str]]:
    return -(entry.modified_ns // 10**9), entry.name.parts


def _digest_of(file_name: str) -> str | None:
    try:
        return digests.parse(file_name)
    except Invalid:
        return None
