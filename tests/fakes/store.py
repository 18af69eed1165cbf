"""A models folder as Ollama leaves it, written file by file without the code under test."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.fakes import gguf

PREFIX = "application/vnd.ollama.image."
CONFIG: Mapping[str, Any] = {
    "model_format": "gguf",
    "model_family": "llama",
    "model_families": ["llama"],
    "model_type": "256",
    "file_type": "F16",
    "architecture": "amd64",
    "os": "linux",
}


class Store:
    """One folder; `put` adds a model, `blob` a file; `weights` is a small GGUF that is in it."""

    def __init__(self, root: Path, metadata: Mapping[str, Any] = gguf.LLAMA) -> None:
        self.root = root
        (root / "blobs").mkdir(parents=True)
        (root / "manifests").mkdir()
        path = gguf.write(root / "new.gguf", metadata)
        self.weights = self.blob(path.read_bytes())
        path.unlink()

    def blob(self, data: bytes) -> str:
        """Put `data` under its digest, which is returned."""
        digest = hashlib.sha256(data).hexdigest()
        (self.root / "blobs" / f"sha256-{digest}").write_bytes(data)
        return f"sha256:{digest}"

    def blob_path(self, digest: str) -> Path:
        return self.root / "blobs" / digest.replace(":", "-")

    def manifest_path(self, name: str) -> Path:
        """`name` is `host/namespace/model/tag`."""
        return self.root / "manifests" / name

    def layer(self, kind: str, digest: str, **extra: Any) -> dict[str, Any]:
        size = self.blob_path(digest).stat().st_size
        return {"mediaType": f"{PREFIX}{kind}", "digest": digest, "size": size, **extra}

    def text(self, kind: str, text: str) -> dict[str, Any]:
        """A layer that holds `text`."""
        return self.layer(kind, self.blob(text.encode()))

    def put(
        self,
        name: str,
        *more: Mapping[str, Any],
        config: Mapping[str, Any] | None = CONFIG,
        weights: bool = True,
    ) -> Path:
        """A manifest for `host/namespace/model/tag` with the weights and `more` layers."""
        layers = [self.layer("model", self.weights)] if weights else []
        described: dict[str, Any] = {"mediaType": "", "digest": "", "size": 0}
        if config is not None:
            data = json.dumps(config).encode()
            described = {"mediaType": "", "digest": self.blob(data), "size": len(data)}
        document = {"schemaVersion": 2, "config": described, "layers": [*layers, *more]}
        path = self.manifest_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document))
        return path
