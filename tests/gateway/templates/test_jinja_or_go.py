"""A chat template against a TEMPLATE layer."""

import pytest

from gateway.templates.jinja_or_go import jinja_abilities, prefers_jinja

TOOLS = (
    "{{ if .Tools }}{{ .Tools }}{{ end }}{{ range .Messages }}{{ .Content }}"
    "{{ range .ToolCalls }}{{ .Function.Name }}{{ end }}%s{{ end }}"
)
NO_RESULTS = TOOLS % ""
ROUND_TRIP = TOOLS % '{{ if eq .Role "tool" }}{{ .Content }}{{ end }}'
THINKING = "{{ range .Messages }}<think>{{ .Thinking }}</think>{{ end }}"


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
        (NO_RESULTS, "tools <think></think>", True),
        (ROUND_TRIP, "tools <think></think>", False),
        (ROUND_TRIP, "tools tool_calls tool_response <think></think>", True),
        (NO_RESULTS, "tools", False),
        (NO_RESULTS, "tools tool_calls message.role == 'tool'", True),
        (NO_RESULTS, "tools message.role == 'tool'", False),
        (ROUND_TRIP, "tools tool_calls ipython", False),
        (THINKING, "tools", False),
        (THINKING, "<think></think>", False),
        ("{{ if }}", "messages", True),
    ],
)
def test_the_better_template_wins(go: str, jinja: str, preferred: bool) -> None:
    assert prefers_jinja(go, jinja) is preferred
