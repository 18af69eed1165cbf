import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.golang.template.nodes import (
    ActionNode,
    BreakNode,
    ChainNode,
    CommandNode,
    ContinueNode,
    DotNode,
    FieldNode,
    IdentifierNode,
    IfNode,
    NumberNode,
    Operand,
    PipeNode,
    RangeNode,
    StringNode,
    TemplateNode,
    TextNode,
    Tree,
    VariableNode,
    WithNode,
)
from gateway.golang.template.parser import is_empty, parse
from gateway.golang.values import TemplateError


def read(text: str) -> Tree:
    return parse(text, functions=("json",))


def pipe(*operands: Operand, line: int = 1) -> PipeNode:
    return PipeNode((), False, (CommandNode(operands),), line)


def test_text_and_actions() -> None:
    assert read("a\n{{ .B.C }}").body == (
        TextNode("a\n", 1),
        ActionNode(pipe(FieldNode(("B", "C")), line=2), 2),
    )


def test_commands_are_piped() -> None:
    commands = (CommandNode((VariableNode("$", ("A",)),)), CommandNode((IdentifierNode("json"),)))
    assert read("{{$.A | json}}").body == (ActionNode(PipeNode((), False, commands, 1), 1),)


def test_variables_are_declared_and_assigned() -> None:
    one = (CommandNode((NumberNode("1", 1),)),)
    assert read("{{$x := 1}}{{$x = 1}}").body == (
        ActionNode(PipeNode(("$x",), False, one, 1), 1),
        ActionNode(PipeNode(("$x",), True, one, 1), 1),
    )


def test_else_if_is_one_if_inside_otherwise() -> None:
    inner = IfNode(pipe(FieldNode(("B",))), (TextNode("b", 1),), (TextNode("c", 1),), 1)
    assert read("{{if .A}}a{{else if .B}}b{{else}}c{{end}}").body == (
        IfNode(pipe(FieldNode(("A",))), (TextNode("a", 1),), (inner,), 1),
    )


def test_else_with_is_one_with_inside_otherwise() -> None:
    inner = WithNode(pipe(FieldNode(("B",))), (), (), 1)
    assert read("{{with .A}}{{else with .B}}{{end}}").body == (
        WithNode(pipe(FieldNode(("A",))), (), (inner,), 1),
    )


def test_range_with_its_words() -> None:
    head = PipeNode(("$i", "$e"), False, (CommandNode((FieldNode(("L",)),)),), 1)
    assert read("{{range $i, $e := .L}}{{break}}{{continue}}{{else}}-{{end}}").body == (
        RangeNode(head, (BreakNode(1), ContinueNode(1)), (TextNode("-", 1),), 1),
    )


def test_definitions_are_kept_apart() -> None:
    tree = read('{{define "a"}}x{{end}}{{template "a" .}}{{block "b" .}}y{{end}}')
    assert tree.defines == {"a": (TextNode("x", 1),), "b": (TextNode("y", 1),)}
    assert tree.body == (
        TemplateNode("a", pipe(DotNode()), 1),
        TemplateNode("b", pipe(DotNode()), 1),
    )


def test_a_template_may_be_invoked_without_data() -> None:
    assert read('{{template "a"}}').body == (TemplateNode("a", None, 1),)


def test_an_empty_definition_gives_way_to_a_full_one() -> None:
    text = '{{define "a"}} {{end}}{{define "a"}}x{{end}}{{define "a"}}{{end}}'
    assert read(text).defines == {"a": (TextNode("x", 1),)}
    assert is_empty((TextNode(" \n", 1),))
    assert not is_empty((TextNode("x", 1),))


def test_names_after_parentheses_make_a_chain() -> None:
    inside = pipe(IdentifierNode("index"), FieldNode(("A",)), NumberNode("0", 0))
    assert read("{{(index .A 0).B.C}}").body == (
        ActionNode(pipe(ChainNode(inside, ("B", "C"))), 1),
    )


def test_strings_keep_their_quotes() -> None:
    assert read("{{`a`}}").body == (ActionNode(pipe(StringNode("a", "`a`")), 1),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{end}}", "1: unexpected {{end}}"),
        ("{{else}}", "1: unexpected {{else}}"),
        ("\n{{if}}{{end}}", "2: missing value for if"),
        ("{{range}}{{end}}", "1: missing value for range"),
        ("{{with}}{{end}}", "1: missing value for with"),
        ("{{}}", "1: missing value for command"),
        ("{{()}}", "1: missing value for parenthesized pipeline"),
        ("{{$x := }}", "1: missing value for command"),
        ("{{if .X}}", "1: unexpected EOF"),
        ("{{if .X}}\n\na", "3: unexpected EOF"),
        ("{{foo}}", '1: function "foo" not defined'),
        ("{{html .A}}", '1: function "html" is not supported'),
        ("{{.A | js}}", '1: function "js" is not supported'),
        ("{{urlquery .A}}", '1: function "urlquery" is not supported'),
        ("{{call .A}}", '1: function "call" is not supported'),
        ("{{$x}}", '1: undefined variable "$x"'),
        ("{{if $x := 1}}{{end}}{{$x}}", '1: undefined variable "$x"'),
        ('{{$x := 1}}{{define "a"}}{{$x}}{{end}}', '1: undefined variable "$x"'),
        ("{{.A", "1: unclosed action"),
        ("\n{{.A\n\n", "4: unclosed action started at :2"),
        ('\n{{.A\n"', "3: unterminated quoted string in action started at :2"),
        ("{{.A }", '1: unexpected "}" in operand'),
        ("{{.A,}}", '1: unexpected "," in operand'),
        ("{{.A.}}", "1: unexpected <.> in operand"),
        ("{{,}}", '1: unexpected "," in command'),
        ("{{.A | | .B}}", '1: unexpected "|" in command'),
        ("{{.A | 3}}", "1: non executable command in pipeline stage 2"),
        ("{{.A | printf | nil}}", "1: non executable command in pipeline stage 3"),
        ("{{break}}", "1: {{break}} outside {{range}}"),
        ("{{range 3}}{{end}}{{continue}}", "1: {{continue}} outside {{range}}"),
        ('{{range 3}}{{block "b" .}}{{break}}{{end}}{{end}}', "1: {{break}} outside {{range}}"),
        ("{{range 3}}{{break 1}}{{end}}", '1: unexpected "1" in {{break}}'),
        ("{{range 3}}{{else if 1}}{{end}}", "1: unexpected <if> in input"),
        ("{{if 1}}{{else}}{{else}}{{end}}", "1: expected end; found {{else}}"),
        ("{{if 1}}{{else 1}}{{end}}", '1: unexpected "1" in else'),
        ("{{if 1}}{{end 1}}", '1: unexpected "1" in end'),
        ("{{if 1}}{{define `a`}}{{end}}{{end}}", "1: unexpected <define> in command"),
        ("{{define 1}}{{end}}", '1: unexpected "1" in define clause'),
        ("{{define `a`}}{{else}}{{end}}", "1: unexpected {{else}} in define clause"),
        ("{{define `a`}}", "1: unexpected EOF"),
        ("{{template .X}}", '1: unexpected ".X" in template clause'),
        ("{{block .X}}{{end}}", '1: unexpected ".X" in block clause'),
        ("{{block `a`}}{{end}}", "1: missing value for block clause"),
        (
            "{{define `a`}}x{{end}}{{define `a`}}y{{end}}",
            '1: template: multiple definition of template "a"',
        ),
        ("{{nil.A}}", '1: unexpected . after term "nil"'),
        ('{{"a".B}}', '1: unexpected . after term "\\"a\\""'),
        ("{{true.B}}", '1: unexpected . after term "true"'),
        ("{{range $a, 3}}{{end}}", "1: range can only initialize variables"),
        ("{{range $a, $b, $c := .}}{{end}}", "1: too many declarations in range"),
        ("{{$a, $b := .}}", "1: too many declarations in command"),
        ("{{'ab'}}", "1: malformed character constant: 'ab'"),
        ('{{"\\q"}}', "1: invalid syntax"),
        ("{{99999999999999999999}}", '1: integer overflow: "99999999999999999999"'),
        ("{{3k}}", '1: bad number syntax: "3k"'),
        ("{{\n\n}", '3: unexpected "}" in command'),
    ],
)
def test_go_complains_about(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        read(text)
    assert str(caught.value) == "template: :" + message


@pytest.mark.parametrize(
    "text",
    [
        "{{" + "(" * 10_000,
        "{{" + "(" * 10_000 + "1" + ")" * 10_000 + "}}",
        "{{if 1}}" * 10_000 + "{{end}}" * 10_000,
        "{{range .}}" * 10_000,
        "{{if 1}}" + "{{else if 1}}" * 10_000 + "{{end}}",
        '{{block "a" .}}' * 10_000,
    ],
)
def test_nesting_is_bounded(text: str) -> None:
    with pytest.raises(TemplateError, match="max expression depth exceeded"):
        read(text)


def test_width_is_not() -> None:
    assert len(read("{{.A}}" * 10_000).body) == 10_000
    assert len(read("{{if 1}}{{end}}" * 1_000).body) == 1_000


@given(st.text())
def test_any_text_parses_or_is_a_template_error(text: str) -> None:
    messages = []
    for form in (text, "{{" + text + "}}", "{{if " + text + "}}{{end}}"):
        try:
            assert isinstance(read(form), Tree)
        except TemplateError as bad:
            messages.append(str(bad))
    assert all(message.startswith("template: :") for message in messages)
