"""pull: a manifest, the blobs it names, and only then the manifest's place in the library."""

import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress

from anyio.to_thread import run_sync

from gateway.errors import Broken, NotFound
from gateway.names import Name
from gateway.registry.client import Registry
from gateway.registry.download import Downloads, Listener
from gateway.registry.reporting import ProgressSink, with_progress
from gateway.store import json_files as document
from gateway.store import manifests
from gateway.store.library import Library
from gateway.store.manifests import Layer, Manifest

log = logging.getLogger(__name__)

_MANIFEST = "pulling manifest"
# Clients match on `pull model manifest: file does not exist`.
_PREFIX = "pull model manifest: "
_ATTEMPTS = 3
_TENSORS = "this model requires MLX support, but the MLX runtime is not available"


async def pull(
    registry: Registry, library: Library, downloads: Downloads, report: ProgressSink
) -> None:
    """Make the library hold what the registry calls by this name.

    Raises Broken and leaves what was there as it was; finished chunks of blobs stay for next time.
    """
    name = registry.reference.name
    await report({"status": _MANIFEST})
    try:
        data = await registry.manifest()
    except Broken as error:
        raise Broken(_PREFIX + error.message) from error
    manifest = read(data, registry.reference.repository)
    # A blob that was here already may be deleted with another model while the rest is fetched; what
    # has gone is fetched again, but not for ever against someone who keeps deleting.
    for _ in range(_ATTEMPTS):
        async with AsyncExitStack() as stack:
            listeners: list[Listener] = []
            for layer in blobs_of(manifest):
                wanted = downloads.wanted(registry, layer.digest, layer.size)
                listener = await stack.enter_async_context(wanted)
                # One layer after another, as Ollama has them; the chunks of each are parallel.
                await with_progress(listener.complete, listener.look, report)
                listeners.append(listener)
            # At the end, as Ollama does: its clients expect one line for all of it.
            await report({"status": "verifying sha256 digest"})
            for listener in listeners:
                await listener.verify()
        await report({"status": "writing manifest"})
        dropped = await run_sync(_publish, library, name, data, manifest)
        if dropped is not None:
            break
    else:
        raise Broken(f"blobs of {name.short} are deleted while it is pulled")
    if dropped:
        await report({"status": "removing unused layers"})
    log.info("pulled %s", name.short)
    await report({"status": "success"})


def read(data: bytes, repository: str) -> Manifest:
    """A manifest that can be pulled; Broken in Ollama's words for any other."""
    try:
        manifest = manifests.decode(data)
    except ValueError as error:
        # Ollama has a text of its own for a layer without a digest.
        with suppress(ValueError):
            match document.decode(data):
                case {"layers": [*layers]} if any(
                    isinstance(layer, Mapping) and not layer.get("digest") for layer in layers
                ):
                    raise Broken(f"{repository}: digest is empty") from error
        raise Broken(_PREFIX + document.reason(error)) from error
    kinds = {layer.kind for layer in manifest.layers}
    # Registries hold container images too, by manifests of the same form: refused before gigabytes
    # of one are fetched.
    if not any(kinds):
        raise Broken(f"{_PREFIX}{repository} is not a model")
    if "tensor" in kinds:
        raise Broken(_TENSORS)
    return manifest


def blobs_of(manifest: Manifest) -> tuple[Layer, ...]:
    """Every blob once: layers in order, then the config."""
    every = (*manifest.layers, *((manifest.config,) if manifest.config else ()))
    return tuple({layer.digest: layer for layer in every}.values())


def _publish(library: Library, name: Name, data: bytes, manifest: Manifest) -> bool | None:
    """Put the manifest in place; whether blobs of the old one went. None when one is missing."""
    # Under one lock, for a deletion between the check and the publishing would leave a manifest
    # whose blobs are missing.
    with library.lock:
        if not all(library.blobs.exists(digest) for digest in manifest.digests):
            return None
        old: frozenset[str] = frozenset()
        # No old manifest, or one that cannot be read, has no blobs to count.
        with suppress(NotFound, Broken):
            old = library.manifests.read(library.manifests.spelling(name)).manifest.digests
        before = [digest for digest in old if library.blobs.exists(digest)]
        library.publish(name, data)
        return not all(library.blobs.exists(digest) for digest in before)
