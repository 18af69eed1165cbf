import pytest

from gateway.golang.template.nodes import ActionNode
from gateway.golang.template.parser import parse
from gateway.golang.template.unparse import unparse


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (" .  ", "."),
        ("print  nil", "print nil"),
        ("true", "true"),
        ("0x1F", "0x1F"),
        ('print "a\\n" `b`', 'print "a\\n" `b`'),
        (".A.B", ".A.B"),
        ("$.A.B", "$.A.B"),
        ("$", "$"),
        ("( index .A  0 ).B.C", "(index .A 0).B.C"),
        ("print ( .A|len )", "print (.A | len)"),
        ("$x := .A | len", "$x := .A | len"),
    ],
)
def test_nodes_show_as_go_writes_them(written: str, text: str) -> None:
    action = parse("{{" + written + "}}", functions=()).body[0]
    assert isinstance(action, ActionNode)
    assert unparse(action.pipe) == text


def test_assignment_shows_its_sign() -> None:
    action = parse("{{$x := 1}}{{$x = 2}}", functions=()).body[1]
    assert isinstance(action, ActionNode)
    assert unparse(action.pipe) == "$x = 2"
