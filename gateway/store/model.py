"""A name resolved: in full for one model, in short for a list. Both frozen."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.names import Name
from gateway.store.gguf import Header, Metadata
from gateway.store.json_files import Config, StoredMessage
from gateway.store.manifests import Manifest


@dataclass(frozen=True, slots=True)
class Entry:
    """A model as a list shows it; of its GGUF, no more was read than comes before the tokenizer."""

    name: Name
    digest: str
    """SHA-256 of the manifest, 64 hex digits."""
    size: int
    """Bytes of all layers and the config, as recorded."""
    modified_ns: int
    """When the manifest was written, unix nanoseconds."""
    config: Config
    parent: str
    """What the weights were made from: a model's short name, a file name, or empty."""
    capabilities: tuple[str, ...]
    """As `capabilities.for_tags` has them, which may differ from a `Model`'s."""
    outline: Metadata | None
    """GGUF metadata before the tokenizer; None when there is no readable GGUF."""

    @property
    def modified(self) -> float:
        """When the manifest was written, unix seconds."""
        return self.modified_ns / 1e9


@dataclass(frozen=True, slots=True)
class Model:
    """Everything about one model but its weights."""

    name: Name
    digest: str
    """SHA-256 of the manifest, 64 hex digits."""
    size: int
    """Bytes of all layers and the config, as recorded."""
    modified_ns: int
    """When the manifest was written, unix nanoseconds."""
    config: Config
    parent: str
    """What the weights were made from: a model's short name, a file name, or empty."""
    capabilities: tuple[str, ...]
    native: bool
    """Whether the GGUF's own chat template formats a chat (else TEMPLATE, renderer or parser)."""
    templated: bool
    """Whether the TEMPLATE layer makes the prompts that are run."""
    weights: Path
    """The GGUF; meaningless when `weights_digest` is empty."""
    weights_digest: str
    """`sha256:…`; empty for a model without GGUF weights, which can be listed but not run."""
    projectors: tuple[Path, ...]
    adapters: tuple[Path, ...]
    draft: Path | None
    template: str | None
    """The TEMPLATE layer's text; None when there is no such layer."""
    system: str
    parameters: Mapping[str, object]
    """As stored: known options have been checked only if the model was created here."""
    messages: tuple[StoredMessage, ...]
    """Every conversation begins with these."""
    licenses: tuple[str, ...]
    header: Header | None
    """Of `weights`; None when it cannot be read."""
    projector: Header | None
    """Of the first projector; None when there is none, or it cannot be read."""
    manifest: Manifest

    @property
    def modified(self) -> float:
        """When the manifest was written, unix seconds."""
        return self.modified_ns / 1e9
