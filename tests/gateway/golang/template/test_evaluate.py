from typing import Any

import pytest

from gateway.golang.template.evaluate import Evaluator
from gateway.golang.template.nodes import ActionNode
from gateway.golang.template.parser import parse
from gateway.golang.values import TemplateError

DATA: dict[str, Any] = {"A": "a", "N": 3, "L": ["x"], "M": {"k": 1}}


def value_of(text: str) -> Any:
    tree = parse("{{" + text + "}}", functions=("one",))
    action = tree.body[0]
    assert isinstance(action, ActionNode)
    evaluator = Evaluator(tree, {"one": lambda: 1}, 1_000)
    evaluator.variables = [("$", DATA)]
    return evaluator.pipeline(DATA, action.pipe)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("and .A .N", 3),
        ("and .Z (index .L 9)", None),
        ("or .Z .A (index .L 9)", "a"),
        ("or .Z 0", 0),
        (".N | and true", 3),
        (".N | or .A", "a"),
        (".A | printf `%s-%s` `b`", "b-a"),
        ("print one .A", "1a"),
        ("not .Z", True),
        ("print nil", "<nil>"),
        ("eq .A `b` `a`", True),
        ("(.M).k", 1),
        ("index .L 0 | len", 1),
    ],
)
def test_pipelines_have_values(text: str, value: Any) -> None:
    result = value_of(text)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nil", ':1:2: executing "" at <nil>: nil is not a command'),
        ("3 4", ':1:2: executing "" at <3>: can\'t give argument to non-function 3'),
        ("len", ':1:2: executing "" at <len>: wrong number of args for len: want 1 got 0'),
        ("eq", ':1:2: executing "" at <eq>: wrong number of args for eq: want at least 1 got 0'),
        (
            "eq .N .A",
            ':1:2: executing "" at <eq .N .A>: error calling eq: incompatible types for comparison',
        ),
        (".M.k 1", ':1:4: executing "" at <.M.k>: k is not a method but has arguments'),
        ("printf 1", ':1:9: executing "" at <1>: expected string; found 1'),
        ("printf .N", ':1:9: executing "" at <.N>: wrong type for value; expected string; got int'),
        (
            "9223372036854775808",
            ':1:2: executing "" at <9223372036854775808>: 9223372036854775808 overflows int',
        ),
        (
            "printf `%U` .N",
            ':1:2: executing "" at <printf `%U` .N>: error calling printf: '
            "the verb %U is not supported",
        ),
        ("(nil).A", ':1:3: executing "" at <nil>: nil is not a command'),
    ],
)
def test_errors_are_in_go_words(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        value_of(text)
    assert str(caught.value) == "template: " + message
