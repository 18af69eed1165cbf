"""A tool call that must be made: how the prompt goes on, and what may follow."""

import json
from typing import Any

import pytest

from gateway.templates import forced_call as forced
from gateway.templates.tool_calls import CallParser, ParsedCall

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "weather", "parameters": CITY}},
    {"type": "function", "function": {"name": "now"}},
]


def one(name: str, member: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"name": {"const": name}, member: arguments},
        "required": ["name", member],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("template", "member"),
    [
        ('{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}', "arguments"),
        ('{"name": "{{ .Function.Name }}", "parameters": {{ .Function.Arguments }}}', "parameters"),
        ('{"parameters": {}} then {"arguments": {}}', "arguments"),
        ("{{ .Function.Name }}{{ .Function.Arguments }}", "arguments"),
        ("", "arguments"),
    ],
)
def test_one_of_the_tools_is_called_by_the_templates_own_word(template: str, member: str) -> None:
    assert forced.schema(TOOLS, template) == {
        "anyOf": [one("weather", member, CITY), one("now", member, {"type": "object"})]
    }


@pytest.mark.parametrize(
    ("tag", "opening"),
    [
        ("<tool_call>", "<tool_call>"),
        ("[TOOL_CALLS] [", "[TOOL_CALLS] ["),
        ("[TOOL_CALLS]", "[TOOL_CALLS]"),
        ("[", "["),
        ("{", ""),
    ],
)
def test_the_prompt_goes_on_with_the_tag(tag: str, opening: str) -> None:
    assert forced.opening(tag) == opening


@pytest.mark.parametrize("tag", ["<tool_call>", "[TOOL_CALLS] [", "[TOOL_CALLS]", "[", "{"])
@pytest.mark.parametrize("member", ["arguments", "parameters"])
def test_what_the_schema_allows_is_read_as_a_call(tag: str, member: str) -> None:
    parser = CallParser(tag, TOOLS)
    assert parser.feed(forced.opening(tag)) == ("", [])
    written = json.dumps({"name": "weather", member: {"city": "Par]is"}})
    assert parser.feed(written[:20]) == ("", [])
    assert parser.feed(written[20:]) == ("", [ParsedCall("weather", {"city": "Par]is"})])
    assert parser.flush() == ("", [])
