"""A name resolved: in full for one model, in short for a list. Both frozen."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.names import Name
from gateway.store.config import Config
from gateway.store.gguf import Header
from gateway.store.manifests import Manifest


@dataclass(frozen=True, slots=True)
class Entry:
    """A model as a list shows it: nothing behind the tokenizer's first key of its GGUF was read."""

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
    """In the list's own order and by its own, shorter tests."""
    outline: Mapping[str, Any] | None
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
    parameters: Mapping[str, Any]
    messages: tuple[Mapping[str, Any], ...]
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
