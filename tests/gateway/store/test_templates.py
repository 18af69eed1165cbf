"""What a template's text gives away."""

import pytest

from gateway.store.templates import (
    fault,
    go_abilities,
    jinja_abilities,
    prefers_jinja,
    thinking_tags,
    variables,
)

TOOLS = (
    "{{ if .Tools }}{{ .Tools }}{{ end }}{{ range .Messages }}{{ .Content }}"
    "{{ range .ToolCalls }}{{ .Function.Name }}{{ end }}"
)
ROUND_TRIP = TOOLS + '{{ if eq .Role "tool" }}{{ .Content }}{{ end }}{{ end }}'
THINKING = (
    "{{ range $i, $m := .Messages }}<|im_start|>{{ .Role }}\n"
    "{{ if and $.IsThinkSet .Thinking -}}\n<think>{{ .Thinking }}</think>\n{{ end -}}"
    "{{ .Content }}{{ end }}"
)


@pytest.mark.parametrize(
    "template",
    [
        "",
        "plain text } and }}",
        "{{ .Prompt }}",
        "{{- range .Messages }}{{ if .A }}x{{ else if .B }}y{{ else }}z{{ end }}{{- end -}}",
        '{{/* end */}}{{ define "x" }}{{ end }}{{ with .A }}{{ end }}',
    ],
)
def test_a_sound_template_has_no_fault(template: str) -> None:
    assert fault(template) is None


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ if }}", "template: :1: missing value for if"),
        ("a\n{{ range }}{{ end }}", "template: :2: missing value for range"),
        ("{{ }}", "template: :1: missing value for command"),
        ("{{ end }}", "template: :1: unexpected {{end}}"),
        ("{{ else }}", "template: :1: unexpected {{else}}"),
        ("{{ if .A }}\nx", "template: :2: unexpected EOF"),
        ("\n\n{{ .A ", "template: :3: unclosed action"),
    ],
)
def test_a_fault_is_told_in_gos_words(template: str, text: str) -> None:
    assert fault(template) == text


def test_variables_are_the_names_in_chains() -> None:
    template = (
        "Text .Nope {{ .Prompt }}{{- $.System.Deep -}}{{ $m.Content }}"
        '{{ eq .Role ".Quoted" `.Raw` 1.5 }}{{/* .Comment */}}{{ (index .Messages 0).Hidden }}'
    )
    assert variables(template) == {
        *("prompt", "system", "deep", "content", "role", "messages"),
    }


def test_thinking_tags_stand_right_around_the_thinking() -> None:
    assert thinking_tags(THINKING) == ("<think>", "</think>")


@pytest.mark.parametrize(
    "template",
    [
        "{{ .Prompt }}",
        "{{ range .Messages }}{{ .Thinking }}{{ end }}",
        "{{ range .Messages }}{{ if .A }}<think>{{ .Thinking }}{{ end }}{{ end }}",
        "{{ if .A }}<think>{{ .Thinking }}</think>{{ end }}",
    ],
)
def test_without_both_tags_and_messages_there_are_no_thinking_tags(template: str) -> None:
    assert thinking_tags(template) is None


@pytest.mark.parametrize(
    ("template", "abilities"),
    [
        ("{{ .Prompt }}", ()),
        (TOOLS, ("tools",)),
        ("{{ if .Suffix }}{{ .Suffix }}{{ end }}", ("insert",)),
        (THINKING, ("thinking",)),
        ("tools suffix", ()),
    ],
)
def test_abilities_of_a_go_template(template: str, abilities: tuple[str, ...]) -> None:
    assert go_abilities(template) == abilities


@pytest.mark.parametrize(
    ("template", "abilities"),
    [
        ("{{ messages }}", ()),
        ("{% if tools %}", ("tools",)),
        ("message.tool_calls", ("tools",)),
        ("'<think>' + x + '</think>'", ("thinking",)),
        ("content.split('</think>')[-1]", ("thinking",)),
        ('content.split("</think>")[-1]', ("thinking",)),
        ("content.split('</think>') reasoning_content", ()),
        ("content.split('</think>') <SPECIAL_12>", ()),
        ("tools <think></think>", ("tools", "thinking")),
    ],
)
def test_abilities_of_a_chat_template(template: str, abilities: tuple[str, ...]) -> None:
    assert jinja_abilities(template) == abilities


@pytest.mark.parametrize(
    ("go", "jinja", "preferred"),
    [
        ("{{ .Prompt }}", "messages", False),
        ("{{ .Prompt }}", "tools", True),
        (TOOLS, "tools <think></think>", True),
        (ROUND_TRIP, "tools <think></think>", False),
        (ROUND_TRIP, "tools tool_calls tool_response <think></think>", True),
        (TOOLS, "tools", False),
        (TOOLS, "tools tool_calls message.role == 'tool'", True),
        (ROUND_TRIP, "tools tool_calls ipython", False),
        (THINKING, "tools", False),
    ],
)
def test_the_better_template_wins(go: str, jinja: str, preferred: bool) -> None:
    assert prefers_jinja(go, jinja) is preferred
