"""A create request, checked: everything that can be refused without looking at the store."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from gateway import digests, names
from gateway.errors import Invalid
from gateway.golang.template import TemplateError
from gateway.names import Name
from gateway.store.json_files import StoredMessage, check_parameters, stored_message
from gateway.store.quantize import target_type
from gateway.templates.render import compiled

# The prompt renderers that Ollama has. A name outside this list would fail every chat.
RENDERERS = frozenset(
    {
        "cogito",
        "cohere",
        "deepseek3.1",
        "functiongemma",
        "gemma4",
        "gemma4-large",
        "gemma4-small",
        "glimmer",
        "glm-4.7",
        "glm-ocr",
        "laguna",
        "lfm2",
        "lfm2-thinking",
        "nemotron-3-nano",
        "nemotron-3.5-nano",
        "olmo3",
        "olmo3-32b-think",
        "olmo3-think",
        "olmo3.1",
        "ornith",
        "poolside-v1",
        "qwen3-coder",
        "qwen3-vl-instruct",
        "qwen3-vl-thinking",
        "qwen3.5",
        "qwen3.8",
    }
)

_TEXT_OVERRIDES: Mapping[str, Literal["family", "base_name", "file_type", "size"]] = {
    "model_family": "family",
    "base_name": "base_name",
    "quantization_level": "file_type",
    "parameter_size": "size",
}
"""Fields of a request's `info`, and of `Config`."""
_COUNT_OVERRIDES: Mapping[str, Literal["context_length", "embedding_length"]] = {
    "context_length": "context_length",
    "embedding_length": "embedding_length",
}


class ConfigOverrides(TypedDict, total=False):
    """Fields of `Config` that a request may set."""

    renderer: str
    parser: str
    requires: str
    family: str
    base_name: str
    file_type: str
    size: str
    context_length: int
    embedding_length: int
    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to make a model of. Empty means "not given"; files map a name to a canonical digest."""

    base: Name | None
    files: Mapping[str, str]
    adapters: Mapping[str, str]
    drafts: Mapping[str, str]
    template: str
    system: str
    licenses: tuple[str, ...]
    parameters: Mapping[str, object]
    messages: tuple[StoredMessage, ...]
    quantize: str
    """The type to convert the weights to, "" for none; `draft_quantize` is that of drafts."""
    draft_quantize: str
    config: ConfigOverrides
    """Its `capabilities` are added to those of the base; the rest replaces."""


def parse_recipe(body: Mapping[str, Any]) -> Recipe:
    """The recipe in a create request whose fields have their types (`fields.CREATE`).

    Raises Invalid, or Forbidden for a cloud base.
    """
    files = {kind: _files(body.get(kind, {})) for kind in ("files", "adapters", "draft_files")}
    if body.get("draft_quantize") and not body.get("draft_files"):
        raise Invalid("--draft-quantize requires a DRAFT model")
    if body.get("remote_host"):
        raise Invalid("remote models are not supported")
    base = body.get("from", "")
    if not base and "files" not in body:
        raise Invalid("neither 'from' or 'files' was specified")
    if base and not base.strip():
        raise Invalid("invalid model name")
    if len(files["adapters"]) > 1:
        raise Invalid("only one adapter is currently supported")
    # Before the other fields are checked: of several errors a client sees that of the name.
    base_name = names.resolve(base) if base else None
    template = body.get("template", "")
    # Compiled once here, so that a mistake fails the create and not every chat afterwards.
    try:
        compiled(template)
    except TemplateError as error:
        raise Invalid(f"template error: {error}") from error
    licenses = body.get("license") or []
    if isinstance(licenses, str):
        licenses = [licenses]
    if not isinstance(licenses, list) or not all(isinstance(text, str) for text in licenses):
        raise Invalid("license must be a string or a list of strings")
    return Recipe(
        base=base_name,
        # As in Ollama, a base wins over files of its own; adapters and drafts go with either.
        files={} if base else files["files"],
        adapters=files["adapters"],
        drafts=files["draft_files"],
        template=template,
        system=body.get("system", ""),
        licenses=tuple(text for text in licenses if text),
        parameters=check_parameters(body.get("parameters", {})),
        messages=tuple(stored_message(message or {}) for message in body.get("messages", ())),
        # `quantization` is the older name of the field, which clients still send.
        quantize=target_type(body.get("quantize") or body.get("quantization") or ""),
        draft_quantize=target_type(body.get("draft_quantize", "")),
        config=_overrides(body),
    )


def _files(files: Mapping[str, str]) -> dict[str, str]:
    """Names to canonical digests, in order of the names."""
    # Sorted, for Go's maps have no order, and the same request must make the same manifest.
    for name in files:
        if not all(part not in ("", ".", "..") for part in name.split("/")):
            raise Invalid("file path must be relative")
    return {name: digests.parse(digest) for name, digest in sorted(files.items())}


def _overrides(body: Mapping[str, Any]) -> ConfigOverrides:
    """What the fields of a request and of its `info` set in the config."""
    config = ConfigOverrides()
    if renderer := body.get("renderer"):
        if renderer not in RENDERERS:
            raise Invalid(f'unknown renderer "{renderer}"')
        config["renderer"] = renderer
    if parser := body.get("parser"):
        config["parser"] = parser
    if requires := body.get("requires"):
        config["requires"] = requires
    info: Mapping[str, object] = body.get("info", {})
    for key, value in info.items():
        # What the client has left empty, and fields that only other versions know, change nothing.
        if value is None:
            continue
        if key in _TEXT_OVERRIDES:
            if not isinstance(value, str):
                raise Invalid(f'info field "{key}" must be a string')
            config[_TEXT_OVERRIDES[key]] = value
        elif key in _COUNT_OVERRIDES:
            # The client's JSON library may write whole numbers as floats.
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise Invalid(f'info field "{key}" must be a number')
            if value < 0 or value != int(value):
                raise Invalid(f'info field "{key}" must be a non-negative integer')
            config[_COUNT_OVERRIDES[key]] = int(value)
        elif key == "capabilities":
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise Invalid('info field "capabilities" must be an array of strings')
            config["capabilities"] = tuple(value)
    return config
