"""What a model can do, told from its config, its GGUF header and its templates.

Ollama answers this twice, in different orders and from different sources: in full for one model,
and in short for a list. Clients see both, so both are here, named after the endpoints.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.store.config import Config
from gateway.store.gguf import Header, lookup
from gateway.templates.jinja_or_go import jinja_abilities, prefers_jinja
from gateway.templates.render import abilities

_BOTH = ("tools", "thinking")
_TOOLS = ("tools",)
_THINKING = ("thinking",)

# What Ollama's output parsers can read, by the name a config gives.
PARSERS: Mapping[str, tuple[str, ...]] = {
    "qwen3": _TOOLS,
    "qwen3-thinking": _BOTH,
    "qwen3.5": _BOTH,
    "ornith": _BOTH,
    "qwen3-coder": _TOOLS,
    "qwen3-vl-instruct": _TOOLS,
    "qwen3-vl-thinking": _BOTH,
    "ministral": _TOOLS,
    "passthrough": (),
    "harmony": _BOTH,
    "cogito": _BOTH,
    "deepseek3": _BOTH,
    "olmo3": _TOOLS,
    "olmo3-think": _THINKING,
    "nemotron-3-nano": _BOTH,
    "nemotron-3.5-nano": _BOTH,
    "functiongemma": _TOOLS,
    "glm-4.7": _BOTH,
    "glm-ocr": _TOOLS,
    "gemma4": _BOTH,
    "gemma4-no-thinking": _TOOLS,
    "lfm2": _TOOLS,
    "lfm2-thinking": _THINKING,
    "laguna": _BOTH,
    "poolside-v1": _BOTH,
    "cohere": _BOTH,
    "glimmer": _BOTH,
}

_HARMONY_FAMILIES = ("gptoss", "gpt-oss")


def native(config: Config, template: str | None, chat_template: str | None) -> bool:
    """Whether the GGUF's own chat template formats a chat, not a TEMPLATE, renderer or parser."""
    if config.renderer or config.parser:
        return False
    if template is None:
        return True
    if _harmony(config, template) or chat_template is None:
        return False
    return prefers_jinja(template, chat_template)


def templated(config: Config, template: str | None, chat_template: str | None) -> bool:
    """Whether the TEMPLATE layer makes the prompts that are run.

    That of a model whose config names a renderer or a parser, or that speaks in channels, was made
    for one; there the GGUF's own chat template serves, which the engine knows how to read back.
    """
    if template is None or chat_template is None:
        return template is not None
    if config.renderer or config.parser or _harmony(config, template):
        return False
    return not prefers_jinja(template, chat_template)


def shown(
    config: Config,
    header: Header | None,
    template: str | None,
    projector: Header | None,
    projectors: int,
) -> tuple[str, ...]:
    """The capabilities of one model. `projector` is the header of the first of `projectors`."""
    found = list(config.capabilities)
    own = header.chat_template if header else None
    jinja = native(config, template, own)
    if header:
        found += jinja_abilities(own) if jinja and own else ()
        found += _kind(header.metadata)
        found += _senses(header.metadata)
    if projectors:
        found.append("vision")
    if projector and _hears(projector):
        found.append("audio")
    found += abilities(template) if template is not None and not jinja else ()
    return _finished(config, found)


def listed(
    config: Config, outline: Mapping[str, Any] | None, template: str | None, projectors: int
) -> tuple[str, ...]:
    """The capabilities in a list; `outline` is metadata up to the tokenizer, None if unreadable."""
    found: list[str] = []
    if outline is not None:
        found += (*_senses(outline), *_kind(outline))
    found += config.capabilities
    found += abilities(template) if template is not None else ()
    finished = _finished(config, found)
    return finished if not projectors or "vision" in finished else (*finished, "vision")


def _finished(config: Config, found: list[str]) -> tuple[str, ...]:
    """What parser and family add and take away; first mentions only."""
    found = [*found, *PARSERS.get(config.parser, ())]
    if config.family in _HARMONY_FAMILIES:
        found.append("thinking")
    return tuple(_without(dict.fromkeys(found), config))


def _without(found: Iterable[str], config: Config) -> Iterable[str]:
    deaf = config.family == "nemotron_h_omni"
    return (ability for ability in found if not (deaf and ability == "audio"))


def _kind(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    return ("embedding",) if lookup(metadata, "pooling_type") is not None else ("completion",)


def _senses(metadata: Mapping[str, Any]) -> list[str]:
    """Vision and audio towers inside the model's own file."""
    towers = {"vision": "vision.block_count", "audio": "audio.block_count"}
    return [sense for sense, key in towers.items() if lookup(metadata, key) is not None]


def _hears(projector: Header) -> bool:
    kind = projector.get("projector_type") or projector.get("audio.projector_type")
    return projector.get("has_audio_encoder") is True and kind != "gemma3nv"


def blind(projector: Header | None) -> bool:
    """Whether a projector is for sound alone; the list has vision for every one, as Ollama's."""
    return (
        projector is not None
        and _hears(projector)
        and projector.get("has_vision_encoder") is not True
    )


def _harmony(config: Config, template: str) -> bool:
    """Whether the model speaks OpenAI's channels, which its TEMPLATE then spells out."""
    marked = "<|start|>" in template and "<|end|>" in template
    return marked and config.family in _HARMONY_FAMILIES
