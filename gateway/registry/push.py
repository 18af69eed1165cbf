"""push: the blobs that the registry lacks, then the manifest as it lies in the library."""

import logging

from anyio.to_thread import run_sync

from gateway import names
from gateway.errors import Invalid
from gateway.registry.client import Registry, accept
from gateway.registry.pull import blobs_of
from gateway.registry.reporting import ProgressSink, with_progress
from gateway.registry.retry import RetryPolicy
from gateway.registry.upload import Upload
from gateway.store import json_files as document
from gateway.store.gguf_files import require
from gateway.store.library import Library
from gateway.store.manifests import MANIFEST_TYPE

log = logging.getLogger(__name__)


async def push(
    registry: Registry, library: Library, policy: RetryPolicy, report: ProgressSink
) -> None:
    """Make the registry hold what the library calls by this name, which must be there.

    Raises Broken; NotFound when the model or a blob has gone.
    """
    await report({"status": "retrieving manifest"})
    name = registry.reference.name
    stored = await run_sync(library.manifests.read, name)
    # The file's bytes, not an encoding of what was read from it: fields that we do not know stay,
    # and so does the digest of the manifest after a pull elsewhere.
    data = await run_sync(library.manifests.path(name).read_bytes)
    await run_sync(require, library.blobs, stored.manifest.digests)
    # The manifest is last: a registry refuses one whose blobs it lacks.
    for layer in blobs_of(stored.manifest):
        mount = mountable(layer.origin, name)
        upload = await run_sync(Upload, registry, library.blobs, layer, mount, policy)
        await with_progress(upload.send, upload.look, report)
    await report({"status": "pushing manifest"})
    headers = {"Content-Type": media_type(data)}
    async with registry.request(
        "PUT", registry.reference.manifest, headers=headers, body=data
    ) as response:
        await accept(response)
    log.info("pushed %s", name.short)
    await report({"status": "success"})


def mountable(origin: str, goal: names.Name) -> str:
    """The repository of the model a layer came from, if the same registry may have it, else ""."""
    try:
        source = names.parse(origin)
    except Invalid:
        return ""  # a file's name, or nothing
    if source.host.lower() != goal.host.lower():
        return ""
    repository = f"{source.namespace}/{source.model}"
    return "" if repository == f"{goal.namespace}/{goal.model}" else repository


def media_type(data: bytes) -> str:
    """What a manifest says it is; what is pulled from elsewhere need not be Docker's."""
    manifest: object = document.decode(data)
    kind = manifest.get("mediaType") if isinstance(manifest, dict) else ""
    return kind if isinstance(kind, str) and kind else MANIFEST_TYPE
