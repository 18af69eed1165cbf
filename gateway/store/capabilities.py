"""What a model can do, from its config, its GGUF header and its templates.

Ollama has two answers, in different orders and from different sources: a full one for one model,
and a short one for a list. Clients see both, so both are here, named after the endpoints.
"""

from collections.abc import Mapping

from gateway.store.gguf import Header, Metadata, lookup
from gateway.store.json_files import Config
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
    # Both are code of Ollama's, written for one model, and stand above any template.
    if config.renderer or config.parser:
        return False
    if template is None:
        return True
    if _harmony(config, template) or chat_template is None:
        return False
    return prefers_jinja(template, chat_template)


def templated(config: Config, template: str | None, chat_template: str | None) -> bool:
    """Whether the TEMPLATE layer makes the prompts that are run.

    Not where the config names a renderer or a parser, or the model writes Harmony: that TEMPLATE
    was written for one of Ollama's parsers. There the GGUF's own chat template makes the prompts,
    whose replies the engine knows how to parse.
    """
    if template is None or chat_template is None:
        return template is not None
    if config.renderer or config.parser or _harmony(config, template):
        return False
    return not prefers_jinja(template, chat_template)


def for_show(
    config: Config,
    header: Header | None,
    template: str | None,
    projector: Header | None,
    projectors: int,
) -> tuple[str, ...]:
    """The capabilities of one model. `projector` is the header of the first of `projectors`."""
    names = list(config.capabilities)
    own = header.chat_template if header else None
    jinja = native(config, template, own)
    # The order is visible to clients, and is that of the steps by which Ollama finds them.
    if header:
        names += jinja_abilities(own) if jinja and own else ()
        names += (_kind(header.metadata), *_towers(header.metadata))
    if projectors:
        names.append("vision")
    if projector and _encodes_audio(projector):
        names.append("audio")
    names += abilities(template) if template is not None and not jinja else ()
    return _completed(config, names)


def for_tags(
    config: Config, outline: Metadata | None, template: str | None, projectors: int
) -> tuple[str, ...]:
    """The capabilities in a list; `outline` is metadata up to the tokenizer, None if unreadable."""
    names: list[str] = []
    if outline is not None:
        names += (*_towers(outline), _kind(outline))
    names += config.capabilities
    names += abilities(template) if template is not None else ()
    completed = _completed(config, names)
    # Ollama adds this one last, where it finds a projector layer and nothing has named it yet.
    return completed if not projectors or "vision" in completed else (*completed, "vision")


def _completed(config: Config, names: list[str]) -> tuple[str, ...]:
    """`names` with what parser and family add and take away; first mentions only."""
    names = [*names, *PARSERS.get(config.parser, ())]
    if config.family in _HARMONY_FAMILIES:
        names.append("thinking")
    # Ollama takes audio away from this family, whatever its files declare.
    no_audio = config.family == "nemotron_h_omni"
    return tuple(name for name in dict.fromkeys(names) if not (no_audio and name == "audio"))


def _kind(metadata: Metadata) -> str:
    # Any value counts: 0 stands for no pooling, and such a model embeds all the same.
    return "embedding" if lookup(metadata, "pooling_type") is not None else "completion"


def _towers(metadata: Metadata) -> list[str]:
    """Vision and audio towers inside the model's own file."""
    # The key is enough, as in Ollama, even with a count of 0.
    towers = {"vision": "vision.block_count", "audio": "audio.block_count"}
    return [ability for ability, key in towers.items() if lookup(metadata, key) is not None]


def _encodes_audio(projector: Header) -> bool:
    kind = projector.get("projector_type") or projector.get("audio.projector_type")
    return projector.get("has_audio_encoder") is True and kind != "gemma3nv"


def blind(projector: Header | None) -> bool:
    """Whether a projector is for sound alone. `vision` is listed for any, as in Ollama."""
    return (
        projector is not None
        and _encodes_audio(projector)
        and projector.get("has_vision_encoder") is not True
    )


def _harmony(config: Config, template: str) -> bool:
    """Whether the model writes OpenAI's Harmony format, whose marks are then in its TEMPLATE."""
    marked = "<|start|>" in template and "<|end|>" in template
    return marked and config.family in _HARMONY_FAMILIES
