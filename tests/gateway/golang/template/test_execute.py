from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.golang.template.execute import execute
from gateway.golang.template.parser import parse
from gateway.golang.values import GoList, GoMap, GoStruct, TemplateError


class SampleMessage(GoStruct):
    go_type = "*api.Message"

    def __init__(self, **fields: Any) -> None:
        self._fields = fields

    @property
    def fields(self) -> Mapping[str, Any]:
        return self._fields


class SampleTools(GoList):
    def text(self) -> str:
        return "null"


class SampleArguments(GoMap):
    def text(self) -> str:
        return '{"a":1}'


DATA: dict[str, Any] = {
    "A": "a",
    "N": 3,
    "F": 1e6,
    "T": True,
    "L": ["x", "y"],
    "M": {"b": 2, "a": 1},
    "Nil": None,
    "Z": [],
    "Nested": {"In": {"K": "v"}},
    "Mixed": [None, 1.5, {"k": True}],
    "S": [
        SampleMessage(Role="user", Content="hi", Images=None),
        SampleMessage(Role="tool", Content=""),
    ],
    "Tools": SampleTools(),
    "Args": SampleArguments(a=1),
    "H": "<é>",
}


def run(text: str, data: Any = DATA, steps: int = 100_000) -> str:
    return execute(parse(text, functions=()), data, functions={}, steps=steps)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{{.A}}-{{ $.A }}", "a-a"),
        ("{{-3}} {{- 4}}", "-34"),
        ("{{1e6}} {{1000000}} {{'a'}} {{0x10}} {{1.5}}", "1e+06 1000000 97 16 1.5"),
        ("{{true}} {{.T}}", "true true"),
        ("{{.F}}", "1e+06"),
        ("{{.Missing}}|{{.Nil}}", "<no value>|<no value>"),
        ("{{.L}} {{.M}} {{.Z}}", "[x y] map[a:1 b:2] []"),
        ("{{.Mixed}}", "[<nil> 1.5 map[k:true]]"),
        ("{{.Tools}} {{.Args}}", 'null {"a":1}'),
        ("{{.Args.String}}", '{"a":1}'),
        ("{{.Args.a}}", "1"),
        ("{{index .S 0}}", "{user hi <nil>}"),
        ("{{/* nothing */}}x{{- /* y */ -}} z", "xz"),
        ("{{`a\n\\n`}}", "a\n\\n"),
        ("{{.Nested.In.K}}", "v"),
        ("{{(.Nested).In.K}}{{(index .L 1)}}", "vy"),
        ("{{len .Tools}}{{if .Tools}}x{{end}}", "0"),
    ],
)
def test_values_are_printed(text: str, expected: str) -> None:
    assert run(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{if .A}}y{{else}}n{{end}}", "y"),
        ("{{if .Missing}}y{{else}}n{{end}}", "n"),
        ("{{if .Z}}y{{else if .N}}m{{else}}n{{end}}", "m"),
        ("{{if 0.0}}y{{else}}n{{end}}", "n"),
        ("{{if index .S 1}}y{{end}}", "y"),
        ("{{with .Nested}}{{.In.K}}{{end}}", "v"),
        ("{{with .Z}}y{{else with .A}}{{.}}{{else}}n{{end}}", "a"),
        ("{{with $x := .N}}{{$x}}{{.}}{{end}}", "33"),
        ("{{with .Z}}{{else}}{{.A}}{{end}}", "a"),
        ("{{if $x := .N}}{{$x}}{{end}}", "3"),
    ],
)
def test_branches(text: str, expected: str) -> None:
    assert run(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{range .L}}{{.}},{{end}}", "x,y,"),
        ("{{range $e := .L}}{{$e}}{{end}}", "xy"),
        ("{{range $i, $e := .L}}{{$i}}{{$e}}{{end}}", "0x1y"),
        ("{{range $k, $v := .M}}{{$k}}={{$v}};{{end}}", "a=1;b=2;"),
        ("{{range .M}}{{.}}{{end}}", "12"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{{range $n := 3}}{{$n}}{{end}}", "012"),
        ("{{range 0}}x{{else}}none{{end}}", "none"),
        ("{{range -1}}x{{else}}none{{end}}", "none"),
        ("{{range .Z}}x{{else}}none{{end}}", "none"),
        ("{{range .Missing}}x{{else}}none{{end}}", "none"),
        ("{{range .Nil}}x{{end}}", ""),
        ("{{range 9}}{{if eq . 3}}{{break}}{{end}}{{.}}{{end}}", "012"),
        ("{{range 4}}{{if eq . 1}}{{continue}}{{end}}{{.}}{{end}}", "023"),
        ("{{range 2}}{{range 9}}{{break}}{{end}}{{.}}{{end}}", "01"),
        ("{{range .S}}{{.Role}} {{$.A}};{{end}}", "user a;tool a;"),
        ("{{range $i, $_ := .S}}{{(index $.S $i).Role}}{{end}}", "usertool"),
        ("{{range .Mixed}}{{.}},{{end}}", "<no value>,1.5,map[k:true],"),
        ("{{$i := 9}}{{$e := 9}}{{range $i, $e = .L}}{{end}}{{$i}}{{$e}}", "1y"),
        ("{{$e := 9}}{{range $e = .L}}{{end}}{{$e}}", "y"),
    ],
)
def test_loops(text: str, expected: str) -> None:
    assert run(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ("{{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "21"),
        ("{{$x := 0}}{{range .L}}{{$x = .}}{{end}}{{$x}}", "y"),
        ("{{range .L}}{{$x := .}}{{$x}}{{end}}", "xy"),
        ("{{$x := .Nested}}{{$x.In.K}}", "v"),
        ("{{with .Nested}}{{$ = .In}}{{$.K}}{{end}}", "v"),
        ("{{$x := .Missing}}{{$x.Foo}}", "<no value>"),
        ("{{$x := 1 | print 2}}{{$x}}", "2 1"),
    ],
)
def test_variables(text: str, expected: str) -> None:
    assert run(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{{define "a"}}[{{.}}{{$}}]{{end}}{{template "a" .N}}', "[33]"),
        ('{{define "a"}}{{.}}{{end}}{{template "a"}}', "<no value>"),
        ('{{define "a"}}{{.X}}{{end}}{{template "a"}}', "<no value>"),
        ('{{block "a" .L}}{{len .}}{{end}}', "2"),
        ('{{define "a"}}1{{template "b" .}}{{end}}{{define "b"}}2{{end}}{{template "a" .}}', "12"),
        (
            '{{define "d"}}{{.}}{{if gt . 0}}{{template "d" (len (slice "abc" 0 0))}}{{end}}'
            '{{end}}{{template "d" 5}}',
            "50",
        ),
    ],
)
def test_templates_are_invoked(text: str, expected: str) -> None:
    assert run(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{{.Missing.Foo}}",
            ':1:10: executing "" at <.Missing.Foo>: nil pointer evaluating interface {}.Foo',
        ),
        (
            "{{.Nil.Foo}}",
            ':1:6: executing "" at <.Nil.Foo>: nil pointer evaluating interface {}.Foo',
        ),
        (
            "é\n é{{.A.Foo}}",
            ':2:7: executing "" at <.A.Foo>: can\'t evaluate field Foo in type interface {}',
        ),
        (
            "{{range .S}}{{.Foo}}{{end}}",
            ':1:14: executing "" at <.Foo>: can\'t evaluate field Foo in type *api.Message',
        ),
        (
            "{{with .A}}{{.Foo}}{{end}}",
            ':1:13: executing "" at <.Foo>: can\'t evaluate field Foo in type string',
        ),
        (
            '{{template "x" .}}',
            ':1:11: executing "" at <{{template "x" .}}>: template "x" not defined',
        ),
        (
            '{{define "d"}}{{len 3}}{{end}}{{template "d" .}}',
            ':1:16: executing "d" at <len 3>: error calling len: len of type int',
        ),
        ("{{range .A}}{{end}}", ':1:8: executing "" at <.A>: range can\'t iterate over a'),
        (
            "{{range $a, $b := 3}}{{end}}",
            ':1:18: executing "" at <3>: can\'t use 3 to iterate over more than one variable',
        ),
        ("{{$x = 1}}", ':1:7: executing "" at <1>: undefined variable: $x'),
    ],
)
def test_errors_name_the_place(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        run(text)
    assert str(caught.value) == "template: " + message


def test_endless_recursion_ends() -> None:
    with pytest.raises(TemplateError, match=r"exceeded maximum template depth \(150\)"):
        run('{{define "a"}}{{template "a" .}}{{end}}{{template "a" .}}')
    with pytest.raises(TemplateError, match="exceeded maximum template depth"):
        run('{{template "" .}}')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{range 1000000000}}{{end}}", "takes too long"),
        ("{{range 1000000}}{{printf `%1000000d` 1}}{{end}}", "output is too long"),
        ("{{$x := `ab`}}{{range 99}}{{$x = print $x $x}}{{end}}", "result is too long"),
        ("{{$x := printf `%99999s` `x`}}{{range 9999}}{{$y := len $x}}{{end}}", "takes too long"),
    ],
)
def test_runaways_end(text: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        run(text, steps=600_000)


def test_data_nested_too_deep_is_an_error() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(TemplateError, match="nested too deep"):
        run("{{.}}", deep)


def test_halves_of_characters_are_replaced_in_the_end() -> None:
    assert run("{{slice .H 0 2}}") == "<\ufffd"
    assert run("{{slice .H 0 2}}{{slice .H 2}}") == "<é>"


WORDS = """
{{ }} {{- -}} . .A .L .M .S .Nil .Missing $ $x := = | ( ) 1 -2 1.5 'a' "s" nil true if else end
range with break continue define template block and or not eq lt len index slice print printf
"%5d" "%v" "%[2]*.[1]*f" html js urlquery call , {{end}} {{else}}
"""
PIECES = st.sampled_from([*WORDS.split(), "\n"])


@given(st.lists(PIECES, max_size=12), st.lists(PIECES, max_size=8))
def test_whatever_parses_gives_text_or_a_template_error(
    first: list[str], second: list[str]
) -> None:
    messages = []
    text = "{{range .L}}{{" + " ".join(first) + "}}{{end}}{{" + " ".join(second) + "}}"
    for form in (" ".join(first + second), text):
        try:
            assert isinstance(run(form), str)
        except TemplateError as bad:
            messages.append(str(bad))
    assert all(message.startswith("template: ") for message in messages)
