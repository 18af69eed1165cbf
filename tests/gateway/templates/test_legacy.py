"""Templates that know no messages."""

import pytest

from gateway.golang.template import parse
from gateway.templates.legacy import Round, rounds, unfinished, with_response
from gateway.templates.messages import TemplateMessage


def rounds_of(*pairs: tuple[str, str]) -> list[Round]:
    return list(rounds(TemplateMessage(role, content) for role, content in pairs))


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ((), [Round()]),
        ((("user", "a"),), [Round(prompt="a")]),
        ((("system", "S"), ("user", "a")), [Round("S", "a")]),
        (
            (("system", "S"), ("user", "a"), ("assistant", "b"), ("user", "c")),
            [Round("S", "a", "b"), Round(prompt="c")],
        ),
        ((("user", "a"), ("system", "S"), ("user", "b")), [Round(prompt="a"), Round("S", "b")]),
        (
            (("user", "a"), ("assistant", "b"), ("system", "S")),
            [Round(prompt="a", response="b"), Round("S")],
        ),
        ((("assistant", "b"), ("user", "a")), [Round(response="b"), Round(prompt="a")]),
        ((("user", "a"), ("assistant", "b")), [Round(prompt="a", response="b")]),
        ((("user", "a"), ("tool", "18"), ("assistant", "b")), [Round(prompt="a", response="b")]),
    ],
)
def test_every_turn_is_a_round(
    messages: tuple[tuple[str, str], ...], expected: list[Round]
) -> None:
    assert rounds_of(*messages) == expected


def test_templates_see_a_round_by_its_names() -> None:
    assert Round("S", "P", "R").data == {"System": "S", "Prompt": "P", "Response": "R"}


@pytest.mark.parametrize(
    ("whole", "cut"),
    [
        ("{{ .Prompt }} end", "{{ .Prompt }} end"),
        ("a{{ .Response }}b{{ .X }}", "a{{ .Response }}"),
        ("a{{ .Response | json }}b", "a{{ .Response | json }}"),
        ("{{ $.Response }}b", "{{ $.Response }}"),
        ("{{ json (print .Response) }}b", "{{ json (print .Response) }}"),
        (
            "{{ if .Response }}<{{ .Response }}>{{ end }}after",
            "{{ if .Response }}<{{ .Response }}{{ end }}",
        ),
        (
            "{{ with .A }}{{ .Response }}x{{ else }}no{{ end }}after",
            "{{ with .A }}{{ .Response }}{{ end }}",
        ),
        (
            "{{ range .A }}{{ if .B }}y{{ else }}{{ .Response }}x{{ end }}z{{ end }}after",
            "{{ range .A }}{{ if .B }}y{{ else }}{{ .Response }}{{ end }}{{ end }}",
        ),
        ("{{ if .Response }}a{{ end }}b", "{{ if .Response }}a{{ end }}b"),
    ],
)
def test_an_unfinished_template_ends_with_the_reply(whole: str, cut: str) -> None:
    assert unfinished(parse(whole, functions=("json",))) == parse(cut, functions=("json",))


def test_the_reply_can_be_added() -> None:
    tree = parse("a\n{{ .Prompt }}", functions=())
    assert with_response(tree) == parse("a\n{{ .Prompt }}{{ .Response }}", functions=())
