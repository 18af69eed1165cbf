"""The door of the registries: pull and push by name, for as long as somebody waits."""

from pathlib import Path

from anyio.to_thread import run_sync

from gateway.names import Name
from gateway.registry.auth import KEY
from gateway.registry.client import open_registry
from gateway.registry.download import Downloads
from gateway.registry.pull import pull
from gateway.registry.push import push
from gateway.registry.references import Reference
from gateway.registry.reporting import ProgressSink
from gateway.registry.retry import RetryPolicy
from gateway.store.library import Library


class Transfers:
    """All transfers of one library. They live in the tasks of those who ask for them."""

    def __init__(
        self, library: Library, *, policy: RetryPolicy | None = None, key: Path | None = KEY
    ) -> None:
        self._library = library
        self._policy = policy or RetryPolicy()
        self._key = key
        self._downloads = Downloads(library.blobs, self._policy)

    async def pull(self, name: Name, scheme: str, report: ProgressSink) -> None:
        """Get a model, telling of progress; raises Broken, or OSError of the disk."""
        known = await run_sync(self._library.find, name)
        reference = Reference(known or name, scheme)
        async with open_registry(reference, self._policy, self._key) as registry:
            await pull(registry, self._library, self._downloads, report)

    async def push(self, name: Name, scheme: str, report: ProgressSink) -> None:
        """Send a model, by its stored spelling; raises NotFound, Broken, or OSError of the disk."""
        reference = Reference(name, scheme)
        async with open_registry(reference, self._policy, self._key) as registry:
            await push(registry, self._library, self._policy, report)
