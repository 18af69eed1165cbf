"""Tokens with look-ahead, and errors that name the line of the newest one."""

from gateway.golang.template.lexer import Lexer, Token, TokenKind
from gateway.golang.values import TemplateError


class TokenStream:
    """The tokens of a lexer, for a parser. Several may share a lexer, one after another.

    `action_line` is the line where the action being read began, 0 outside of actions. Go names it
    in errors that are noticed on a later line.
    """

    def __init__(self, lexer: Lexer) -> None:
        self.lexer = lexer
        self.action_line = 0
        # Slot 0 holds the newest token; the others hold tokens put back before it.
        self._buffer = [Token(TokenKind.EOF, "", 0, 0)] * 3
        self._ahead = 0

    def next(self) -> Token:
        if self._ahead:
            self._ahead -= 1
        else:
            self._buffer[0] = self.lexer.next()
        return self._buffer[self._ahead]

    def back(self, *earlier: Token) -> None:
        """Put the last token back, and before it those given, nearest first."""
        for slot, token in enumerate(earlier, start=1):
            self._buffer[slot] = token
        self._ahead = 1 + len(earlier) if earlier else self._ahead + 1

    def peek(self) -> Token:
        """The next token, which stays."""
        if not self._ahead:
            self._ahead = 1
            self._buffer[0] = self.lexer.next()
        return self._buffer[self._ahead - 1]

    def next_solid(self) -> Token:
        """The next token that is no space."""
        while (token := self.next()).kind is TokenKind.SPACE:
            pass
        return token

    def peek_solid(self) -> Token:
        """The next token that is no space, which stays; spaces before it go."""
        token = self.next_solid()
        self.back()
        return token

    def expect(self, kind: TokenKind, context: str) -> Token:
        """The next token that is no space; it must be of the kind."""
        token = self.next_solid()
        if token.kind is not kind:
            raise self.unexpected(token, context)
        return token

    def error(self, message: str) -> TemplateError:
        """The message as Go's parser gives it."""
        return TemplateError(f"template: :{self._buffer[0].line}: {message}")

    def unexpected(self, token: Token, context: str) -> TemplateError:
        """The error for a token that does not belong here, or for the lexer's own error."""
        if token.kind is not TokenKind.ERROR:
            return self.error(f"unexpected {token} in {context}")
        extra = ""
        if self.action_line not in (0, token.line):
            extra = f" in action started at :{self.action_line}"
            if token.text.endswith(" action"):
                extra = extra.removeprefix(" in action")
        return self.error(f"{token}{extra}")
