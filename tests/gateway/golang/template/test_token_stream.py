import pytest

from gateway.golang.template.lexer import Lexer, Token, TokenKind
from gateway.golang.template.token_stream import TokenStream
from gateway.golang.values import TemplateError


def stream(text: str) -> TokenStream:
    return TokenStream(Lexer(text))


def test_looking_does_not_take() -> None:
    tokens = stream("a{{1}}")
    assert tokens.peek() == tokens.peek() == tokens.next()
    assert tokens.next().kind is TokenKind.LEFT


def test_three_tokens_can_be_put_back() -> None:
    tokens = stream("{{$x 1}}")
    tokens.next()
    variable = tokens.next()
    space = tokens.peek()
    assert tokens.peek_solid().text == "1"
    tokens.back(space, variable)
    assert [tokens.next().text for _ in range(4)] == ["$x", " ", "1", "}}"]


def test_the_wrong_kind_is_a_complaint() -> None:
    tokens = stream("a\n{{`x`}}")
    tokens.next()
    with pytest.raises(TemplateError) as caught:
        tokens.expect(TokenKind.RIGHT, "end")
    assert str(caught.value) == 'template: :2: unexpected "{{" in end'


def test_spaces_are_skipped_on_request() -> None:
    tokens = stream("{{  1}}")
    tokens.next()
    assert tokens.next_solid().text == "1"


def test_broken_text_names_the_action_it_began_in() -> None:
    tokens = stream("")
    tokens.action_line = 1
    unclosed = tokens.unexpected(Token(TokenKind.ERROR, "unclosed action", 0, 3), "command")
    broken = tokens.unexpected(
        Token(TokenKind.ERROR, "unterminated quoted string", 0, 3), "command"
    )
    assert str(unclosed) == "template: :0: unclosed action started at :1"
    assert str(broken) == "template: :0: unterminated quoted string in action started at :1"
