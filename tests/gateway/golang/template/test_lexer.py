from itertools import takewhile

import pytest

from gateway.golang.template.lexer import Lexer, Token, TokenKind


def tokens(text: str) -> list[tuple[str, str]]:
    lexer = Lexer(text)
    run = takewhile(lambda token: token.kind is not TokenKind.EOF, iter(lexer.next, None))
    return [(token.kind.name, token.text) for token in run]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a {{1}} b", ["a ", " b"]),
        ("a \t\r\n{{- 1}} b", ["a", " b"]),
        ("a {{1 -}} \n b", ["a ", "b"]),
        ("a {{-1}} b", ["a ", " b"]),
        ("a {{- 1 -}} b", ["a", "b"]),
        ("  {{- 1 -}}  ", []),
        ("a {{/* x {{ y }} */}} b", ["a ", " b"]),
        ("a {{- /* x\n */ -}} b", ["a", "b"]),
        ("{ {x }}", ["{ {x }}"]),
        ("a\u00a0{{- 1}}", ["a\u00a0"]),
    ],
)
def test_text_is_trimmed_where_marks_say_so(text: str, plain: list[str]) -> None:
    assert [value for kind, value in tokens(text) if kind == "TEXT"] == plain


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("{{-3}}", [("NUMBER", "-3")]),
        ("{{.}}", [("KEYWORD", ".")]),
        ("{{.a.b}}", [("FIELD", ".a"), ("FIELD", ".b")]),
        ("{{$x}}", [("VARIABLE", "$x")]),
        ("{{$.x}}", [("VARIABLE", "$"), ("FIELD", ".x")]),
        ("{{if}}", [("KEYWORD", "if")]),
        ("{{true}}", [("BOOL", "true")]),
        ("{{nil}}", [("KEYWORD", "nil")]),
        ("{{été}}", [("IDENTIFIER", "été")]),
        ('{{"a\\"b"}}', [("STRING", '"a\\"b"')]),
        ("{{`}}\n`}}", [("RAW", "`}}\n`")]),
        ("{{'\\''}}", [("RUNE", "'\\''")]),
        ("{{.5e-3}}", [("NUMBER", ".5e-3")]),
        ("{{(1)}}", [("OPEN", "("), ("NUMBER", "1"), ("CLOSE", ")")]),
        ("{{1|f}}", [("NUMBER", "1"), ("PIPE", "|"), ("IDENTIFIER", "f")]),
        ("{{$x:=1}}", [("VARIABLE", "$x"), ("DECLARE", ":="), ("NUMBER", "1")]),
        ("{{$x =1}}", [("VARIABLE", "$x"), ("SPACE", " "), ("ASSIGN", "="), ("NUMBER", "1")]),
        ("{{1 \n -}}", [("NUMBER", "1"), ("SPACE", " \n")]),
        ("{{,}}", [("CHAR", ",")]),
    ],
)
def test_actions_are_cut_into_tokens(action: str, expected: list[tuple[str, str]]) -> None:
    assert tokens(action) == [("LEFT", "{{"), *expected, ("RIGHT", "}}")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{1", "unclosed action"),
        ("{{/*", "unclosed comment"),
        ("{{/* */ }}", "comment ends before closing delimiter"),
        ('{{"a}}', "unterminated quoted string"),
        ('{{"a\n"}}', "unterminated quoted string"),
        ("{{`a}}", "unterminated raw quoted string"),
        ("{{'a}}", "unterminated character constant"),
        ("{{(1}}", "unclosed left paren"),
        ("{{1)}}", "unexpected right paren"),
        ("{{$x:1}}", "expected :="),
        ("{{3k}}", 'bad number syntax: "3k"'),
        ("{{1+2}}", 'bad number syntax: "1+2"'),
        ("{{1+2i}}", 'complex numbers are not supported: "1+2i"'),
        ("{{2i}}", 'complex numbers are not supported: "2i"'),
        ("{{a-b}}", "bad character U+002D '-'"),
        ("{{$x=1}}", "bad character U+003D '='"),
        ("{{\x01}}", "unrecognized character in action: U+0001"),
        ("{{€}}", "unrecognized character in action: U+20AC '€'"),
    ],
)
def test_what_cannot_be_cut_ends_in_an_error(text: str, message: str) -> None:
    assert tokens(text)[-1] == ("ERROR", message)


def test_lines_and_positions_are_those_of_the_start() -> None:
    lexer = Lexer("a\nb{{\n.x}}")
    assert [(token.pos, token.line) for token in (lexer.next() for _ in range(5))] == [
        (0, 1),
        (3, 2),
        (5, 2),
        (6, 3),
        (8, 3),
    ]


def test_functions_may_take_the_place_of_two_keywords() -> None:
    lexer = Lexer("{{break}}", {"break"})
    lexer.next()
    assert lexer.next().kind is TokenKind.IDENTIFIER


def test_long_tokens_are_shown_cut() -> None:
    assert str(Token(TokenKind.IDENTIFIER, "abcdefghijk", 0, 1)) == '"abcdefghij"...'
    assert str(Token(TokenKind.KEYWORD, "end", 0, 1)) == "<end>"
    assert str(Token(TokenKind.EOF, "EOF", 0, 1)) == "EOF"
