"""The config blob of a manifest: what a model is, in the keys and the order Ollama writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.golang.json_encode import dumps
from gateway.store import json_files as document


@dataclass(frozen=True, slots=True)
class Config:
    """Empty values mean "not said"; `families` None is Ollama's `null`."""

    format: str = ""
    family: str = ""
    families: tuple[str, ...] | None = None
    size: str = ""
    file_type: str = ""
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    remote_host: str = ""
    remote_model: str = ""
    capabilities: tuple[str, ...] = ()
    context_length: int = 0
    embedding_length: int = 0
    base_name: str = ""
    draft: Mapping[str, Any] = field(default_factory=dict)


def encode(config: Config) -> bytes:
    """The blob's bytes, equal to those of Ollama for an equal config."""
    optional = {
        "renderer": config.renderer,
        "parser": config.parser,
        "requires": config.requires,
        "remote_host": config.remote_host,
        "remote_model": config.remote_model,
        "capabilities": config.capabilities,
        "context_length": config.context_length,
        "embedding_length": config.embedding_length,
        "base_name": config.base_name,
        "draft": config.draft,
    }
    described = {
        "model_format": config.format,
        "model_family": config.family,
        "model_families": config.families,
        "model_type": config.size,
        "file_type": config.file_type,
        **{key: value for key, value in optional.items() if value},
        "architecture": "amd64",
        "os": "linux",
    }
    return dumps(described) + b"\n"


def decode(data: bytes) -> Config:
    """Read a config blob; a value of the wrong kind counts as absent. ValueError if no JSON."""
    said = document.decode(data)
    if not isinstance(said, dict):
        raise ValueError("a config must be a JSON object")
    families = said.get("model_families")
    draft = said.get("draft")
    return Config(
        format=_text(said.get("model_format")),
        family=_text(said.get("model_family")),
        families=_texts(families) if isinstance(families, list) else None,
        size=_text(said.get("model_type")),
        file_type=_text(said.get("file_type")),
        renderer=_text(said.get("renderer")),
        parser=_text(said.get("parser")),
        requires=_text(said.get("requires")),
        remote_host=_text(said.get("remote_host")),
        remote_model=_text(said.get("remote_model")),
        capabilities=_texts(said.get("capabilities")),
        context_length=_count(said.get("context_length")),
        embedding_length=_count(said.get("embedding_length")),
        base_name=_text(said.get("base_name")),
        draft=draft if isinstance(draft, dict) else {},
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
