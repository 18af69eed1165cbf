"""Capabilities, from the same sources and in the same orders as Ollama's."""

from typing import Any

import pytest

from gateway.store.capabilities import blind, for_show, for_tags, native
from gateway.store.gguf import Header, Metadata
from gateway.store.json_files import Config

LLAMA: Metadata = {"general.architecture": "llama"}
PLAIN = Header(LLAMA, (), 0)
TOOLS = "{{ .Tools }}"
BROKEN = "{{ .Tools }}{{ if }}"
BLANK = Config()


def with_template(text: str) -> Header:
    return Header({**LLAMA, "tokenizer.chat_template": text}, (), 0)


def show(
    config: Config = BLANK,
    header: Header | None = PLAIN,
    template: str | None = None,
    projector: Header | None = None,
    projectors: int = 0,
) -> tuple[str, ...]:
    return for_show(config, header, template, projector, projectors)


def clip(**facts: Any) -> Header:
    metadata: Metadata = {
        "general.architecture": "clip",
        **{f"clip.{k}": v for k, v in facts.items()},
    }
    return Header(metadata, (), 0)


@pytest.mark.parametrize(
    ("config", "template", "chat_template", "expected"),
    [
        (BLANK, None, None, True),
        (BLANK, None, "messages", True),
        (BLANK, TOOLS, None, False),
        (BLANK, TOOLS, "messages", False),
        (BLANK, "{{ .Prompt }}", "tools", True),
        (BLANK, BROKEN, None, False),
        (BLANK, BROKEN, "messages", True),
        (Config(renderer="qwen3.5"), None, "tools", False),
        (Config(parser="qwen3"), "{{ .Prompt }}", "tools", False),
        (Config(family="gptoss"), "<|start|>{{ .Prompt }}<|end|>", "tools", False),
        (Config(family="gptoss"), "{{ .Prompt }}", "tools", True),
    ],
)
def test_what_formats_a_chat(
    config: Config, template: str | None, chat_template: str | None, expected: bool
) -> None:
    assert native(config, template, chat_template) is expected


def test_a_text_model_completes() -> None:
    assert show() == ("completion",)


def test_without_a_readable_gguf_a_model_neither_completes_nor_embeds() -> None:
    assert show(header=None, template=TOOLS) == ("tools",)


def test_an_embedding_model_only_embeds() -> None:
    metadata: Metadata = {"general.architecture": "bert", "bert.pooling_type": 0}
    assert show(header=Header(metadata, (), 0)) == ("embedding",)


def test_a_chat_template_in_charge_comes_before_the_kind() -> None:
    header = with_template("tools <think></think>")
    assert show(header=header) == ("tools", "thinking", "completion")


def test_a_template_layer_in_charge_comes_after_the_kind() -> None:
    assert show(header=with_template("<think></think>"), template=TOOLS) == ("completion", "tools")


def test_a_chat_template_that_does_more_silences_the_layer() -> None:
    header = with_template("tools <think></think>")
    template = "{{ if .Suffix }}{{ end }}"
    assert show(header=header, template=template) == ("completion", "insert")
    assert show(header=header, template="{{ .Prompt }}") == ("tools", "thinking", "completion")


def test_a_template_that_cannot_be_read_adds_nothing() -> None:
    assert show(template=BROKEN) == ("completion",)
    assert show(header=with_template("tools"), template=BROKEN) == ("tools", "completion")
    assert for_tags(BLANK, LLAMA, BROKEN, 1) == ("completion", "vision")


def test_the_config_comes_first_and_nothing_comes_twice() -> None:
    config = Config(capabilities=("vision", "completion"))
    assert show(config, projectors=1) == ("vision", "completion")


def test_a_parser_adds_what_it_reads() -> None:
    assert show(Config(parser="qwen3-thinking")) == ("completion", "tools", "thinking")
    assert show(Config(parser="unheard-of")) == ("completion",)


@pytest.mark.parametrize(
    ("projector", "expected"),
    [
        (None, ("completion", "vision")),
        (clip(has_vision_encoder=True), ("completion", "vision")),
        (clip(has_audio_encoder=True), ("completion", "vision", "audio")),
        (clip(has_audio_encoder=True, projector_type="gemma3nv"), ("completion", "vision")),
        (clip(has_audio_encoder=False), ("completion", "vision")),
    ],
)
def test_a_projector_sees_and_may_hear(projector: Header | None, expected: tuple[str, ...]) -> None:
    assert show(projector=projector, projectors=1) == expected


@pytest.mark.parametrize(
    ("projector", "is_blind"),
    [
        (None, False),
        (clip(has_audio_encoder=True), True),
        (clip(has_audio_encoder=True, has_vision_encoder=True), False),
        (clip(has_vision_encoder=True), False),
        (clip(has_audio_encoder=True, projector_type="gemma3nv"), False),
        (clip(), False),
    ],
)
def test_a_projector_for_sound_alone_is_blind(projector: Header | None, is_blind: bool) -> None:
    assert blind(projector) is is_blind


def test_towers_inside_the_model_count() -> None:
    metadata: Metadata = {**LLAMA, "llama.vision.block_count": 2, "llama.audio.block_count": 0}
    assert show(header=Header(metadata, (), 0)) == ("completion", "vision", "audio")


def test_families_that_think_and_families_that_do_not_hear() -> None:
    assert show(Config(family="gpt-oss")) == ("completion", "thinking")
    config = Config(family="nemotron_h_omni", capabilities=("audio", "vision"))
    assert show(config) == ("vision", "completion")


def test_a_list_has_its_own_order() -> None:
    config = Config(capabilities=("custom",))
    outline: Metadata = {**LLAMA, "llama.vision.block_count": 1}
    assert for_tags(config, outline, TOOLS, 0) == ("vision", "completion", "custom", "tools")
    assert for_tags(config, LLAMA, TOOLS, 1) == ("completion", "custom", "tools", "vision")


def test_a_list_never_looks_at_chat_templates() -> None:
    outline: Metadata = {**LLAMA, "tokenizer.chat_template": "tools"}
    assert for_tags(BLANK, outline, None, 0) == ("completion",)


def test_a_list_shows_an_unreadable_model_without_a_kind() -> None:
    assert for_tags(Config(capabilities=("tools",)), None, None, 0) == ("tools",)
