"""A create request, checked: everything that can be refused without looking at the store."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway import digests, names
from gateway.errors import Invalid
from gateway.golang.json_encode import dumps
from gateway.golang.template import TemplateError
from gateway.names import Name
from gateway.store import conversion, parameters
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

_TEXT_FACTS = {
    "model_family": "family",
    "base_name": "base_name",
    "quantization_level": "file_type",
    "parameter_size": "size",
}
_COUNT_FACTS = ("context_length", "embedding_length")
_MESSAGE_MEMBERS = ("thinking", "images", "tool_calls", "tool_name", "tool_call_id")


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
    parameters: Mapping[str, Any]
    messages: tuple[Mapping[str, Any], ...]
    quantize: str
    """What to turn the weights into, "" for nothing; `draft_quantize` says it of drafts."""
    draft_quantize: str
    config: Mapping[str, Any]
    """Fields of `Config` that the request sets; its `capabilities` are added, the rest replaces."""


def checked(body: Mapping[str, Any]) -> Recipe:
    """The recipe in a decoded create request. Raises Invalid, or Forbidden for a cloud base."""
    files = {kind: _files(body.get(kind, {})) for kind in ("files", "adapters", "draft_files")}
    _refuse_unsupported(body)
    base = body.get("from", "")
    if not base and "files" not in body:
        raise Invalid("neither 'from' or 'files' was specified")
    if base and not base.strip():
        raise Invalid("invalid model name")
    if len(files["adapters"]) > 1:
        raise Invalid("only one adapter is currently supported")
    return Recipe(
        base=names.resolve(base) if base else None,
        files={} if base else files["files"],
        adapters=files["adapters"],
        drafts=files["draft_files"],
        template=_template(body.get("template", "")),
        system=body.get("system", ""),
        licenses=_licenses(body.get("license")),
        parameters=parameters.checked(body.get("parameters", {})),
        messages=tuple(message or {} for message in body.get("messages", ())),
        quantize=conversion.target(body.get("quantize") or body.get("quantization") or ""),
        draft_quantize=conversion.target(body.get("draft_quantize", "")),
        config=_config(body),
    )


def encode_messages(messages: tuple[Mapping[str, Any], ...]) -> bytes:
    """The messages layer's bytes."""
    return dumps([_message(message) for message in messages]) + b"\n"


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    ends = {"role": message.get("role", ""), "content": message.get("content", "")}
    return ends | {key: message[key] for key in _MESSAGE_MEMBERS if message.get(key)}


def _refuse_unsupported(body: Mapping[str, Any]) -> None:
    if body.get("draft_quantize") and not body.get("draft_files"):
        raise Invalid("--draft-quantize requires a DRAFT model")
    if body.get("remote_host"):
        raise Invalid("remote models are not supported")


def _files(given: Mapping[str, str]) -> dict[str, str]:
    """Names to canonical digests, in order of the names."""
    for name in given:
        if not all(part not in ("", ".", "..") for part in name.split("/")):
            raise Invalid("file path must be relative")
    return {name: digests.parse(digest) for name, digest in sorted(given.items())}


def _template(template: str) -> str:
    try:
        compiled(template)
    except TemplateError as exc:
        raise Invalid(f"template error: {exc}") from exc
    return template


def _licenses(given: Any) -> tuple[str, ...]:
    texts = [given] if isinstance(given, str) else given or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Invalid("license must be a string or a list of strings")
    return tuple(text for text in texts if text)


def _config(body: Mapping[str, Any]) -> dict[str, Any]:
    renderer = body.get("renderer", "")
    if renderer and renderer not in RENDERERS:
        raise Invalid(f'unknown renderer "{renderer}"')
    given = {key: body.get(key, "") for key in ("renderer", "parser", "requires")}
    return {key: value for key, value in given.items() if value} | _facts(body.get("info", {}))


def _facts(info: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides of `info`, each of its own kind."""
    facts: dict[str, Any] = {}
    for key, value in info.items():
        if value is None:
            continue
        if key in _TEXT_FACTS:
            if not isinstance(value, str):
                raise Invalid(f'info field "{key}" must be a string')
            facts[_TEXT_FACTS[key]] = value
        elif key in _COUNT_FACTS:
            facts[key] = _count(key, value)
        elif key == "capabilities":
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise Invalid('info field "capabilities" must be an array of strings')
            facts[key] = tuple(value)
    return facts


def _count(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(f'info field "{key}" must be a number')
    if value < 0 or value != int(value):
        raise Invalid(f'info field "{key}" must be a non-negative integer')
    return int(value)
