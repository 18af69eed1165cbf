"""What a Go template gives away."""

import pytest

from gateway.golang.template import TemplateError, parse
from gateway.golang.template.nodes import Tree
from gateway.templates.introspect import abilities, identifiers, round_trip, thinking_tags, tool_tag

THINKING = (
    "{{ range $i, $m := .Messages }}<|im_start|>{{ .Role }}\n"
    "{{ if and $.IsThinkSet .Thinking -}}\n<think>{{ .Thinking }}</think>\n{{ end -}}"
    "{{ .Content }}{{ end }}"
)


def tree(text: str) -> Tree:
    return parse(text, functions=("json",))


def test_identifiers_are_the_names_in_chains() -> None:
    template = (
        "Text .Nope {{ .Prompt }}{{- $.System.Deep -}}{{ $m := .M }}{{ $m.Content }}"
        '{{ eq .Role ".Quoted" `.Raw` }}{{/* .Comment */}}{{ (index .Messages 0).Hidden }}'
        "{{ if (and .InIf (not .Nested)) }}{{ else if .InElse }}{{ .Last }}{{ end }}"
        "{{ range .InRange }}{{ .Body }}{{ else }}{{ .Otherwise }}{{ end }}"
        '{{ with .InWith }}{{ end }}{{ define "x" }}{{ .InDefine }}{{ end }}'
        '{{ template "x" .Given }}{{ .A | json }}'
    )
    assert identifiers(tree(template)) == {
        *("prompt", "system", "deep", "m", "content", "role", "inif", "nested", "inelse", "last"),
        *("inrange", "body", "otherwise", "inwith", "indefine", "given", "a"),
    }


def test_names_in_a_chain_on_parentheses_do_not_count() -> None:
    assert identifiers(tree("{{ (index .A 0).Messages }}")) == frozenset()


def test_a_template_used_without_data_is_refused() -> None:
    text = '{{ define "x" }}{{ end }}{{ if .A }}{{ template "x" }}{{ end }}'
    with pytest.raises(TemplateError, match=r"^undefined template specified$"):
        identifiers(tree(text))


@pytest.mark.parametrize(
    ("template", "tags"),
    [
        (THINKING, ("<think>", "</think>")),
        ("{{ range .Messages }}<t>{{ .Thinking }}</t>{{ end }}", ("<t>", "</t>")),
        (
            "{{ range .Messages }}{{ if .Thinking }} <t> {{ .Thinking }}\n</t>\n{{ end }}{{ end }}",
            ("<t>", "</t>"),
        ),
        (
            "{{ range .Messages }}<a>{{ .Thinking }}{{ if .X }}<b>{{ .Thinking }}{{ end }}</a>"
            "{{ end }}",
            ("<b>", "</a>"),
        ),
        (
            "{{ range .Messages }}{{ if .A }}<a>{{ .Thinking }}</a>{{ end }}"
            "{{ if .B }}<b>{{ .Thinking }}</b>{{ end }}{{ end }}",
            ("<b>", "</b>"),
        ),
        (
            "{{ range .Messages }}{{ with .X }}{{ else }}<t>{{ .Thinking }}</t>{{ end }}{{ end }}",
            ("<t>", "</t>"),
        ),
        ("{{ range .Messages }}<t>{{ json (print .Thinking) }}</t>{{ end }}", ("<t>", "</t>")),
    ],
)
def test_thinking_tags_stand_around_the_thinking(template: str, tags: tuple[str, str]) -> None:
    assert thinking_tags(tree(template)) == tags


@pytest.mark.parametrize(
    "template",
    [
        "",
        "{{ .Prompt }}",
        "{{ range .Messages }}{{ .Thinking }}{{ end }}",
        "{{ range .Messages }}{{ if .A }}<think>{{ .Thinking }}{{ end }}{{ end }}",
        "{{ if .A }}<think>{{ .Thinking }}</think>{{ end }}",
        "{{ range .Messages }}{{ range .X }}<t>{{ .Thinking }}</t>{{ end }}{{ end }}",
        "{{ range $m := .Messages }}<t>{{ $m.Thinking }}</t>{{ end }}",
        "{{ range .Messages }}<t>{{ .X.Thinking }}</t>{{ end }}",
        "{{ range .Messages }} {{ .Thinking }}</t>{{ end }}",
    ],
)
def test_without_both_tags_and_messages_there_are_no_thinking_tags(template: str) -> None:
    assert thinking_tags(tree(template)) is None


@pytest.mark.parametrize(
    ("template", "tag"),
    [
        ("{{ .Prompt }}", "{"),
        ("{{ range .ToolCalls }}<call>{{ .Function }}{{ end }}", "{"),
        (
            "{{ if .ToolCalls }}\n<tool_call>\n{{ range .ToolCalls }}x{{ end }}{{ end }}",
            "<tool_call>",
        ),
        (
            '{{ if .ToolCalls }}{{ range .ToolCalls }}<c>{"name": "{{ .X }}"{{ end }}{{ end }}',
            "<c>",
        ),
        ('{{ if .ToolCalls }} {{ range .ToolCalls }}{"name": "{{ .X }}"{{ end }}{{ end }}', "{"),
        ("{{ if .ToolCalls }}{{ .Content }}<late>{{ end }}", "{"),
        (
            "{{ if .ToolCalls }}[TOOL_CALLS] [{{ range .ToolCalls }}{{ end }}]{{ end }}",
            "[TOOL_CALLS] [",
        ),
        (
            "{{ range .Messages }}{{ with .A }}{{ if .B }}no{{ else if and .C .X.ToolCalls }}"
            "<deep>{{ end }}{{ end }}{{ if .ToolCalls }}<later>{{ end }}{{ end }}",
            "<deep>",
        ),
        ("{{ if not .ToolCalls }}<first>{{ end }}{{ if .ToolCalls }}<second>{{ end }}", "<first>"),
        ("{{ if .ToolCalls }}{{ else }}<other>{{ end }}", "{"),
        ("{{ if .ToolCalls }}{{ if .A }}{{ .B }}{{ else }}<else>{{ end }}{{ end }}", "<else>"),
        ("{{ if .ToolCalls }}Action: ```json\n[\n{{ end }}", "Action: ```json\n["),
    ],
)
def test_the_tool_tag_is_the_first_text_where_calls_are_shown(template: str, tag: str) -> None:
    assert tool_tag(tree(template)) == tag


@pytest.mark.parametrize(
    ("names", "tags", "expected"),
    [
        ({"prompt"}, None, ()),
        ({"tools"}, None, ("tools",)),
        ({"suffix"}, None, ("insert",)),
        (set(), ("<t>", "</t>"), ("thinking",)),
        ({"suffix", "tools"}, ("<t>", "</t>"), ("tools", "insert", "thinking")),
    ],
)
def test_abilities_come_in_one_order(
    names: set[str], tags: tuple[str, str] | None, expected: tuple[str, ...]
) -> None:
    assert abilities(frozenset(names), tags) == expected


@pytest.mark.parametrize(
    ("names", "text", "shown"),
    [
        ({"tools", "toolcalls"}, '{{ if eq .Role "tool" }}', True),
        ({"tools", "toolcalls"}, "<tool_response>", True),
        ({"tools", "toolcalls"}, "[TOOL_RESULTS]", True),
        ({"tools", "toolcalls"}, '{{ if eq .Role "user" }}', False),
        ({"tools"}, "<tool_response>", False),
        ({"toolcalls"}, "<tool_response>", False),
    ],
)
def test_a_round_trip_has_calls_and_results(names: set[str], text: str, shown: bool) -> None:
    assert round_trip(frozenset(names), text) is shown
