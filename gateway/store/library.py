"""The local store: names to manifests to blobs, in Ollama's own layout, read and written.

Nothing here waits or knows HTTP. Every method may run in any thread.
"""

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from cachetools import LRUCache

from gateway import digests
from gateway.errors import Broken, Invalid, NotFound
from gateway.names import Name
from gateway.store import capabilities, gguf, json_files
from gateway.store.blobs import Blobs
from gateway.store.gguf import Header, Metadata
from gateway.store.json_files import Config
from gateway.store.manifests import FileIdentity, Layer, Manifest, Manifests, StoredManifest
from gateway.store.model import Entry, Model
from gateway.store.tree_stamp import TreeStamp

log = logging.getLogger(__name__)

RenderList = Callable[[Sequence[Entry]], bytes]
"""Makes a reply of a list. Replies are cached by it, so it must be the same function each time."""

_HOUR = 3600.0
_OLD_BLOB = re.compile(r"sha256:(.+)")
_CACHED = 256
"""Models, headers and outlines that are kept. Each is some kilobytes, for arrays are not read."""


class Library:
    """The models below `root`. `prune` false keeps unused blobs, which OLLAMA_NOPRUNE asks for."""

    def __init__(
        self, root: Path, *, prune: bool = True, clock: Callable[[], float] = time.time
    ) -> None:
        self.root = root
        self.blobs = Blobs(root / "blobs")
        self.manifests = Manifests(root / "manifests", clock)
        # Taken by all that changes the store, so that no blob is removed between the check for it
        # and the manifest that names it. Reentrant, for `publish` is called by its holders.
        self.lock = threading.RLock()
        self._prune = prune
        self._clock = clock
        self._manifests_prefix = str(self.manifests.folder)
        # An LRUCache reorders itself when it is read, so two threads must not even read it at once.
        # This lock is not `lock`: that one is held while whole models are written, and `peek` runs
        # on the event loop.
        self._cache_lock = threading.Lock()
        self._models: LRUCache[str, tuple[FileIdentity, Model]] = LRUCache(_CACHED)
        """By the path of the manifest."""
        self._headers: LRUCache[str, Header] = LRUCache(_CACHED)
        self._outlines: LRUCache[str, Metadata] = LRUCache(_CACHED)
        self._entries: dict[Name, tuple[FileIdentity, Entry]] = {}
        self._listing: tuple[TreeStamp, list[Entry]] | None = None
        self._rendered: dict[RenderList, tuple[list[Entry], bytes]] = {}

    def peek(self, name: Name) -> Model | None:
        """The model if it was read before and has not changed: one stat, fit for the event loop."""
        # On the path of every request. The string is built by hand, for a Path costs more than the
        # stat; it is the key of the cache, for it is hashed once, and faster than a Name.
        path = f"{self._manifests_prefix}/{name.host}/{name.namespace}/{name.model}/{name.tag}"
        try:
            with self._cache_lock:
                identity, model = self._models[path]
            status = os.stat(path)
        except (KeyError, FileNotFoundError, NotADirectoryError):
            return None
        # `manifests.file_identity`, written out to save the call.
        same = identity == (status.st_mtime_ns, status.st_size, status.st_ino)
        return model if same else None

    def get(self, name: Name) -> Model:
        """The model of this name in any case. Raises NotFound, or Broken when a part is missing."""
        cached = self.peek(name)
        if cached is not None:
            return cached
        spelling = self.find(name)
        if spelling is None:
            raise NotFound(f"model '{name.short}' not found")
        # Cached under the stored spelling alone, so that every spelling shares one entry.
        if spelling != name:
            return self.get(spelling)
        stored = self.manifests.read(name)
        try:
            model = self._read(stored)
        except (OSError, ValueError) as error:
            reason = json_files.reason(error)
            raise Broken(f"model '{name.short}' is damaged: {reason}") from error
        with self._cache_lock:
            # Two threads may have read the same model: either result will do.
            self._models[str(self.manifests.path(name))] = stored.identity, model
        return model

    def find(self, name: Name) -> Name | None:
        """The stored spelling of `name`: exact, else in any case; None when there is none."""
        return self.manifests.find(name)

    def entries(self) -> list[Entry]:
        """Every model in short, newest first by whole seconds. What cannot be read is left out.

        While no manifest changes, whoever may change it, it is the same list.
        """
        cached = self._listing
        if cached is not None and cached[0].is_current():
            return cached[1]
        stamp = self.manifests.new_stamp()
        current: dict[Name, tuple[FileIdentity, Entry]] = {}
        complete = True
        for stored in self.manifests.scan(stamp):
            known = self._entries.get(stored.name)
            if known is None or known[0] != stored.identity:
                try:
                    known = stored.identity, self._summarize(stored)
                except (OSError, ValueError) as error:
                    log.warning("left %s out of the list: %s", stored.name.short, error)
                    complete = False
                    continue
            current[stored.name] = known
        self._entries = current
        # By whole seconds, as Ollama: models of one second are in the order of their names.
        entries = [entry for _, entry in current.values()]
        entries.sort(key=lambda entry: (-(entry.modified_ns // 10**9), entry.name.parts))
        # A blob that is missing today may be there tomorrow, and no manifest would change with it.
        self._listing = (stamp, entries) if complete else None
        return entries

    def rendered(self, render: RenderList) -> bytes:
        """`render(entries)`, from the cache as long as the entries stay the same."""
        entries = self.entries()
        cached = self._rendered.get(render)
        if cached is None or cached[0] is not entries:
            cached = self._rendered[render] = entries, render(entries)
        return cached[1]

    def copy(self, source: Name, destination: Name) -> None:
        """Let `destination` stand for the same layers. NotFound when there is no source."""
        with self.lock:
            stored = self.find(source)
            if stored is None:
                raise NotFound(f"model '{source.short}' not found")
            target = self.manifests.spelling(destination)
            # The bytes, not the manifest: a registry knows it by the digest of these very bytes.
            if target != stored:
                self.manifests.write(target, self.manifests.path(stored).read_bytes())

    def delete(self, name: Name) -> None:
        """Remove the name and every blob that only it used. NotFound when there is no such name."""
        with self.lock:
            stored = self.find(name)
            if stored is None:
                raise NotFound(f"model '{name.short}' not found")
            used: frozenset[str] = frozenset()
            # A damaged manifest can be deleted too; the blobs it named are left to the sweep.
            with suppress(Broken):
                used = self.manifests.read(stored).manifest.digests
            # The manifest goes first: without a blob it would be damaged, while a blob without a
            # manifest is merely swept.
            self.manifests.remove(stored)
            self._remove_unused(used)

    def publish(self, name: Name, data: bytes) -> Name:
        """Give `name` the manifest `data`, and remove the blobs that only its old one used.

        Returns the spelling it has now. Callers hold `lock` since they last checked the blobs.
        """
        # The last step of every create and pull: a name must never stand for blobs that are not
        # there yet, and until now it stands for what it was.
        with self.lock:
            target = self.manifests.spelling(name)
            old: frozenset[str] = frozenset()
            with suppress(NotFound, Broken):
                old = self.manifests.read(target).manifest.digests
            self.manifests.write(target, data)
            if self._prune:
                self._remove_unused(old)
            return target

    def prune(self) -> None:
        """Startup maintenance: old file names, blobs that no manifest names, empty folders."""
        with self.lock:
            # Very old versions wrote `sha256:…`, with a colon that no Windows file name can have.
            for entry in self.blobs.files():
                if old_name := _OLD_BLOB.fullmatch(entry.name):
                    Path(entry.path).rename(self.blobs.folder / f"sha256-{old_name[1]}")
            # Without that folder it is unknown which blobs are needed.
            if not self._prune or not self.manifests.folder.is_dir():
                return
            # Another process on the same store may be in the middle of a pull or a create: what is
            # younger than an hour may get its manifest yet.
            before = self._clock() - _HOUR
            needed = self._needed()
            for entry in () if needed is None else self.blobs.files():
                # Leftovers have names that are no digests, and go by their age alone.
                with suppress(Invalid):
                    if needed is not None and digests.parse(entry.name) in needed:
                        continue
                # Another process may do the same sweep at the same time.
                with suppress(FileNotFoundError):
                    if entry.stat().st_mtime <= before:
                        Path(entry.path).unlink()
            self.manifests.tidy(before)

    def header(self, digest: str) -> Header:
        """The header of a GGUF blob. Raises Invalid or OSError."""
        with self._cache_lock:
            cached = self._headers.get(digest)
        if cached is not None:
            return cached
        # By digest, and so never out of date: a blob does not change.
        header = gguf.read_header(self.blobs.path(digest))
        with self._cache_lock:
            self._headers[digest] = header
        return header

    def _read(self, stored: StoredManifest) -> Model:
        """Everything that a manifest names but the weights. Raises OSError or ValueError."""
        manifest = stored.manifest
        config = self._config(manifest)
        template = self._template(manifest)
        weights, draft = manifest.last("model"), manifest.last("draft")
        projectors = manifest.all("projector")
        header = self._readable_header(weights)
        chat_template = header.chat_template if header else None
        projector = self._readable_header(projectors[0] if projectors else None)
        parameters: dict[str, object] = {}
        for layer in manifest.all("params"):
            parameters |= json_files.decode_parameters(self.blobs.read(layer.digest))
        messages = manifest.last("messages")
        return Model(
            name=stored.name,
            digest=stored.digest,
            size=manifest.size,
            modified_ns=stored.modified_ns,
            config=config,
            parent=weights.origin if weights else "",
            capabilities=capabilities.for_show(
                config, header, template, projector, len(projectors)
            ),
            native=capabilities.native(config, template, chat_template),
            templated=capabilities.templated(config, template, chat_template),
            weights=self.blobs.path(weights.digest) if weights else Path(),
            weights_digest=weights.digest if weights else "",
            projectors=self._paths(projectors),
            adapters=self._paths(manifest.all("adapter")),
            draft=self.blobs.path(draft.digest) if draft else None,
            template=template,
            system=self._text(manifest.last("system")) or "",
            parameters=parameters,
            messages=json_files.decode_messages(self.blobs.read(messages.digest))
            if messages
            else (),
            licenses=tuple(self._text(layer) or "" for layer in manifest.all("license")),
            header=header,
            projector=projector,
            manifest=manifest,
        )

    def _summarize(self, stored: StoredManifest) -> Entry:
        """What a list shows of a model. Raises OSError or ValueError."""
        # Not `_read`: a list of a hundred models must not read a hundred whole headers.
        manifest = stored.manifest
        config = self._config(manifest)
        weights = manifest.last("model")
        outline: Metadata | None = None
        if weights is not None:
            with self._cache_lock:
                outline = self._outlines.get(weights.digest)
            if outline is None:
                # As in `_readable_header`: what cannot be read is listed all the same.
                try:
                    outline = gguf.read_outline(self.blobs.path(weights.digest))
                    with self._cache_lock:
                        self._outlines[weights.digest] = outline
                except (Invalid, OSError) as error:
                    log.warning("cannot read the header of %s: %s", weights.digest, error)
        return Entry(
            name=stored.name,
            digest=stored.digest,
            size=manifest.size,
            modified_ns=stored.modified_ns,
            config=config,
            parent=weights.origin if weights else "",
            capabilities=capabilities.for_tags(
                config, outline, self._template(manifest), len(manifest.all("projector"))
            ),
            outline=outline,
        )

    def _config(self, manifest: Manifest) -> Config:
        if manifest.config is None:
            return Config()
        return json_files.decode_config(self.blobs.read(manifest.config.digest))

    def _template(self, manifest: Manifest) -> str | None:
        # `prompt` is an older name of the same layer.
        return self._text(manifest.last("template", "prompt"))

    def _text(self, layer: Layer | None) -> str | None:
        return self.blobs.read(layer.digest).decode(errors="replace") if layer else None

    def _paths(self, layers: list[Layer]) -> tuple[Path, ...]:
        return tuple(self.blobs.path(layer.digest) for layer in layers)

    def _readable_header(self, layer: Layer | None) -> Header | None:
        # A model whose weights cannot be read can still be shown and deleted, so this is no error,
        # but a line in the log.
        if layer is None:
            return None
        try:
            return self.header(layer.digest)
        except (Invalid, OSError) as error:
            log.warning("cannot read the header of %s: %s", layer.digest, error)
            return None

    def _remove_unused(self, candidates: frozenset[str]) -> None:
        """Remove those of `candidates` that no manifest names any more."""
        needed = self._needed() if candidates else None
        if needed is not None:
            for digest in candidates - needed:
                self.blobs.remove(digest)

    def _needed(self) -> frozenset[str] | None:
        """Every blob that a manifest names; None when one cannot be read and nothing may go."""
        # A later layout of Ollama keeps manifests here that may name any blob; we do not read it.
        if (self.root / "manifests-v2").exists():
            return None
        try:
            stored = self.manifests.scan_strictly()
        except (OSError, ValueError) as error:
            log.warning("kept all blobs, for one manifest cannot be read: %s", error)
            return None
        return frozenset().union(*(one.manifest.digests for one in stored))
