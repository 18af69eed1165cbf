"""Prompts by a TEMPLATE layer."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from gateway.golang.template import TemplateError
from gateway.templates.media import Rendered
from gateway.templates.messages import ThinkFlags
from gateway.templates.render import FUNCTION_NAMES, abilities, compiled, template_functions

TODAY = date(2026, 3, 1)
NOT_ASKED = ThinkFlags(False, given=False)
CHAT = (
    "{{- if .Tools }}Tools: {{ .Tools }}\n{{ end }}"
    "{{- range .Messages }}<{{ .Role }}>{{ .Content }}\n{{ end }}<assistant>"
)
TURN = "{{ if .System }}S:{{ .System }} {{ end }}U:{{ .Prompt }} A:{{ .Response }}\n"


def turns(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in pairs]


def prompt(
    template: str,
    messages: Sequence[dict[str, Any]],
    tools: Sequence[dict[str, Any]] = (),
    think: ThinkFlags = NOT_ASKED,
) -> str:
    return compiled(template).conversation(messages, tools, think, today=TODAY).text


def test_messages_are_laid_out_by_the_template() -> None:
    messages = turns(("system", "S"), ("user", "a"), ("user", "b"))
    assert prompt(CHAT, messages) == "<system>S\n<user>a\n\nb\n<assistant>"


def test_tools_are_there_if_there_are_any() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    assert prompt(CHAT, turns(("user", "a")), [tool]) == (
        'Tools: [{"type":"function","function":{"name":"f","description":"",'
        '"parameters":{"type":"","properties":null}}}]\n<user>a\n<assistant>'
    )
    assert prompt("{{ .Tools }}{{ .Messages | len }}", turns(("user", "a"))) == "null1"


def test_tool_calls_are_there() -> None:
    template = (
        "{{ range .Messages }}{{ range .ToolCalls }}{{ .ID }}: {{ .Function.Name }} "
        "{{ .Function.Arguments }} {{ range $k, $v := .Function.Arguments }}{{ $k }}={{ $v }} "
        "{{ end }}{{ end }}{{ end }}"
    )
    call = {"id": "c", "function": {"name": "f", "arguments": '{"b": 1000000, "a": "x"}'}}
    messages = [{"role": "assistant", "content": "", "tool_calls": [call]}]
    assert prompt(template, messages) == 'c: f {"a":"x","b":1000000} a=x b=1e+06 '


def test_a_functions_parts_print_as_in_go() -> None:
    schema = {
        "type": "object",
        "required": ["city"],
        "properties": {"city": {"type": "string", "description": "City"}},
    }
    tool = {"function": {"name": "f", "description": "Weather", "parameters": schema}}
    assert prompt(
        "{{ range .Tools }}{{ .Function }}{{ end }}{{ .Messages | len }}", [], [tool]
    ) == (
        '{f Weather {object <nil> <nil> [city] {"city":{"type":"string","description":"City"}}}}0'
    )


def test_images_leave_markers() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "see"}, image]}]
    rendered = compiled(CHAT).conversation(messages, [], ThinkFlags(True), today=TODAY)
    assert rendered == Rendered("<user>[img-0]see\n<assistant>", ("QUJD",))


def test_thinking_can_be_requested() -> None:
    template = "{{ .Think }} {{ .ThinkLevel }} {{ .IsThinkSet }}{{ .Response }}"
    assert prompt(template, [], think=ThinkFlags(True, "low")) == "true low true"
    assert prompt(template, [], think=ThinkFlags(False, given=False)) == "false  false"


def test_the_system_text_is_of_all_system_messages() -> None:
    messages = turns(("system", "S"), ("user", "a"), ("system", "T"))
    template = "{{ .System }}|{{ range .Messages }}{{ .Content }}{{ end }}"
    assert prompt(template, messages) == "S\n\nT|SaT"


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ((("user", "a"),), "U:a A:"),
        ((("system", "S"), ("user", "a")), "S:S U:a A:"),
        ((("user", "a"), ("assistant", "b"), ("user", "c")), "U:a A:b\nU:c A:"),
        ((("user", "a"), ("assistant", "b")), "U:a A:b"),
        ((("system", "S"), ("system", "T"), ("user", "a")), "S:S\n\nT U:a A:"),
        ((("user", "a"), ("tool", "x"), ("user", "b")), "U:b A:"),
    ],
)
def test_a_template_without_messages_is_run_for_every_turn(
    messages: tuple[tuple[str, str], ...], text: str
) -> None:
    assert prompt(TURN, turns(*messages)) == text


def test_defines_and_functions_work_in_the_last_turn_too() -> None:
    template = '{{ define "u" }}[{{ .Prompt }}]{{ end }}{{ template "u" . }}{{ json .Prompt }}'
    assert prompt(template, turns(("user", "a"), ("assistant", "b"), ("user", "c"))) == (
        '[a]"a"b[c]"c"'
    )


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ .Prompt }} ", "a b"),
        ("{{ .Prompt }} {{ .Response }}.", "a b"),
        ("{{ range .Messages }}{{ .Content }}{{ end }}", "ab"),
        ("{{ .Prompt }}{{ .messages }}", "<no value><no value>"),
    ],
)
def test_the_reply_is_printed_last_unless_the_template_prints_it(template: str, text: str) -> None:
    assert prompt(template, turns(("user", "a"), ("assistant", "b"))) == text


def test_the_gap_between_two_texts_is_filled() -> None:
    template = compiled("<pre>{{ .Prompt }}<suf>{{ .Suffix }}<mid>{{ .Think }}")
    assert template.insert("a", "b", ThinkFlags(False), today=TODAY) == "<pre>a<suf>b<mid>false"


def test_dates_are_of_the_day_given() -> None:
    assert prompt("{{ currentDate }} {{ yesterdayDate }} ", []) == "2026-03-01 2026-02-28 "


def test_a_template_shows_what_it_can_do() -> None:
    template = compiled(
        "{{ .Tools }}{{ range .Messages }}<t>{{ .Thinking }}</t>"
        '{{ if .ToolCalls }}<c>{{ end }}{{ if eq .Role "tool" }}{{ end }}<end>{{ end }}'
    )
    assert template.abilities == ("tools", "thinking")
    assert template.tags == ("<t>", "<end>")
    assert template.tool_tag == "<c>"
    assert template.round_trip
    plain = compiled("{{ .Prompt }}")
    assert (plain.abilities, plain.tags, plain.tool_tag, plain.round_trip) == ((), None, "{", False)


def test_a_template_is_compiled_once() -> None:
    assert compiled(CHAT) is compiled(CHAT)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{{ if }}", "template: :1: missing value for if"),
        ("a\n{{ range }}{{ end }}", "template: :2: missing value for range"),
        ("{{ }}", "template: :1: missing value for command"),
        ("{{ end }}", "template: :1: unexpected {{end}}"),
        ("{{ else }}", "template: :1: unexpected {{else}}"),
        ("{{ if .A }}\nx", "template: :2: unexpected EOF"),
        ("\n\n{{ .A ", "template: :3: unclosed action"),
        ("{{ nothing }}", 'template: :1: function "nothing" not defined'),
        ('{{ template "x" }}', "undefined template specified"),
    ],
)
def test_a_fault_has_gos_words(text: str, error: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compiled(text)
    assert str(caught.value) == error


def test_a_failed_execution_is_an_error() -> None:
    with pytest.raises(TemplateError, match=r"^template: :1:24: executing .*\.templateMessage$"):
        prompt("{{ range .Messages }}{{ .Nothing }}{{ end }}", turns(("user", "a")))


def test_a_text_that_is_no_template_can_do_nothing() -> None:
    assert abilities("{{ .Tools }}") == ("tools",)
    assert abilities("{{ .Tools }}{{ if }}") == ()


def test_every_function_has_its_name() -> None:
    assert tuple(template_functions(TODAY)) == FUNCTION_NAMES


def test_date_functions_ignore_arguments() -> None:
    ours = template_functions(TODAY)
    assert ours["currentDate"]() == "2026-03-01"
    assert ours["yesterdayDate"]() == "2026-02-28"
    assert ours["currentDate"]("ignored", 1) == "2026-03-01"


def test_json_is_an_encoder() -> None:
    assert template_functions(TODAY)["json"]({"b": 1.0, "a": "<"}) == '{"a":"\\u003c","b":1}'
