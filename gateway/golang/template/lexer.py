"""Template text to tokens, the way Go cuts it: errors are tokens too, and end the stream."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from gateway.golang.strconv import quote

# Other white space, such as a no-break space, is text to Go.
SPACES = " \t\r\n"
_LEFT, _RIGHT = "{{", "}}"


class TokenKind(Enum):
    """KEYWORD covers all the words of the language, the lone dot, and nil."""

    ERROR = auto()
    EOF = auto()
    TEXT = auto()
    LEFT = auto()
    RIGHT = auto()
    SPACE = auto()
    ASSIGN = auto()
    DECLARE = auto()
    PIPE = auto()
    OPEN = auto()
    CLOSE = auto()
    CHAR = auto()
    STRING = auto()
    RAW = auto()
    RUNE = auto()
    NUMBER = auto()
    BOOL = auto()
    VARIABLE = auto()
    FIELD = auto()
    IDENTIFIER = auto()
    KEYWORD = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text (for ERROR the message), its offset, and its line from 1."""

    kind: TokenKind
    text: str
    pos: int
    line: int

    def __str__(self) -> str:
        """The token as error messages show it."""
        if self.kind is TokenKind.EOF:
            return "EOF"
        if self.kind is TokenKind.ERROR:
            return self.text
        if self.kind is TokenKind.KEYWORD:
            return f"<{self.text}>"
        return quote(self.text) if len(self.text) <= 10 else quote(self.text[:10]) + "..."


KEYWORDS = frozenset(
    [
        "block",
        "break",
        "continue",
        "define",
        "else",
        "end",
        "if",
        "nil",
        "range",
        "template",
        "with",
    ]
)
_ONE = {"=": TokenKind.ASSIGN, "|": TokenKind.PIPE, "(": TokenKind.OPEN, ")": TokenKind.CLOSE}
_QUOTED = {
    '"': (TokenKind.STRING, "unterminated quoted string", re.compile(r'"(?:[^"\\\n]|\\[^\n])*"')),
    "'": (
        TokenKind.RUNE,
        "unterminated character constant",
        re.compile(r"'(?:[^'\\\n]|\\[^\n])*'"),
    ),
    "`": (TokenKind.RAW, "unterminated raw quoted string", re.compile(r"`[^`]*`")),
}
# As loose as Go's scanner: `1_`, `0x` and `.` are numbers here, and refused by the parser.
_NUMBER = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?"
    r"|0[oO][0-7_]*(?:\.[0-7_]*)?|0[bB][01_]*(?:\.[01_]*)?"
    r"|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?"
)


class _LexError(Exception):
    """The text cannot be cut further; the message gives the reason."""


def alphanumeric(char: str) -> bool:
    """Whether the character may stand in a name."""
    return char == "_" or char.isalpha() or char.isdecimal()


class Lexer:
    """Gives one token at a time; after the end, or an error, EOF for ever.

    `functions` matters for two words only: a function of that name takes the place of the
    keywords `break` and `continue`.
    """

    def __init__(self, text: str, functions: Collection[str] = ()) -> None:
        self._text = text
        # The two words came late to the language; programs had functions of these names before.
        self._keywords = KEYWORDS - ({"break", "continue"} & set(functions))
        self._start = 0
        # Newlines are counted as tokens are made: counting from the start each time is quadratic.
        self._counted, self._line = 0, 1
        self._tokens = self._run()

    def next(self) -> Token:
        return next(self._tokens)

    def _token(self, kind: TokenKind, start: int, end: int) -> Token:
        """The token between two offsets; the line count moves on to its start."""
        return Token(kind, self._text[start:end], start, self._line_at(start))

    def _line_at(self, pos: int) -> int:
        self._line += self._text.count("\n", self._counted, pos)
        self._counted = max(pos, self._counted)
        return self._line

    def _run(self) -> Iterator[Token]:
        try:
            yield from self._stream()
        except _LexError as bad:
            yield Token(TokenKind.ERROR, str(bad), self._start, self._line_at(self._start))
        # The end counts as being on the line where the last token began to be read.
        end = Token(TokenKind.EOF, "EOF", len(self._text), self._line_at(self._start))
        while True:  # the parser looks ahead, past the end too
            yield end

    def _stream(self) -> Iterator[Token]:
        """Text and actions in turn, up to the end of the text."""
        text, here = self._text, 0
        while (left := text.find(_LEFT, here)) >= 0:
            inside = left + 2
            # Without a space after it the minus is the sign of a number: `{{-3}}`.
            trims = text[inside : inside + 1] == "-" and text[inside + 1 : inside + 2] in (*SPACES,)
            plain = len(text[here:left].rstrip(SPACES)) if trims else left - here
            if plain:
                yield self._token(TokenKind.TEXT, here, here + plain)
            after = inside + 2 * trims
            # Comments make no tokens at all, not even those of an empty action.
            if text.startswith("/*", after):
                self._start = after
                end = text.find("*/", after + 2) + 2
                if end < 2:
                    raise _LexError("unclosed comment")
                closes, trims = self._closing(end)
                if not closes:
                    raise _LexError("comment ends before closing delimiter")
                here = self._past(end, trims)
                continue
            self._start = left
            yield self._token(TokenKind.LEFT, left, inside)
            self._start = after
            yield from self._action(after)
            here = self._start
        if here < len(text):
            yield self._token(TokenKind.TEXT, here, len(text))
        self._start = len(text)

    def _closing(self, at: int) -> tuple[bool, bool]:
        """Whether a closing delimiter is here, and whether it trims."""
        text = self._text
        if text[at : at + 1] in (*SPACES,) and text.startswith("-" + _RIGHT, at + 1):
            return True, True
        return text.startswith(_RIGHT, at), False

    def _past(self, at: int, trims: bool) -> int:
        """The offset where text goes on after the closing delimiter at `at`."""
        end = at + 2 * trims + 2
        while trims and end < len(self._text) and self._text[end] in SPACES:
            end += 1
        return end

    def _action(self, here: int) -> Iterator[Token]:
        """The tokens of one action, its closing delimiter included."""
        depth = 0
        while True:
            self._start = here
            closes, trims = self._closing(here)
            if closes:
                if depth:
                    raise _LexError("unclosed left paren")
                mark = here + 2 * trims
                yield self._token(TokenKind.RIGHT, mark, mark + 2)
                self._start = self._past(here, trims)
                return
            kind, end = self._piece(here)
            depth += (kind is TokenKind.OPEN) - (kind is TokenKind.CLOSE)
            if depth < 0:
                raise _LexError("unexpected right paren")
            yield self._token(kind, here, end)
            here = end

    def _piece(self, here: int) -> tuple[TokenKind, int]:
        """Kind and end of the token that starts here."""
        text = self._text
        char = text[here : here + 1]
        if not char:
            raise _LexError("unclosed action")
        if char in SPACES:
            end = here
            while end < len(text) and text[end] in SPACES:
                end += 1
            # The last one may belong to a trimming delimiter.
            return TokenKind.SPACE, end - 1 if end - here > 1 and self._closing(end - 1)[1] else end
        if char in _ONE:
            return _ONE[char], here + 1
        if char in _QUOTED:
            kind, message, shape = _QUOTED[char]
            match = shape.match(text, here)
            if match is None:
                raise _LexError(message)
            return kind, match.end()
        if char == ":":
            if not text.startswith("=", here + 1):
                raise _LexError("expected :=")
            return TokenKind.DECLARE, here + 2
        following = text[here + 1 : here + 2]
        if char == "$" or (char == "." and following and not "0" <= following <= "9"):
            kind = TokenKind.VARIABLE if char == "$" else TokenKind.FIELD
            if self._terminated(here + 1):
                # The mark alone: `$` is a variable like others, the dot a word of the language.
                return kind if char == "$" else TokenKind.KEYWORD, here + 1
            return kind, self._name_end(here + 1)
        if char in "+-." or "0" <= char <= "9":
            return self._number(here)
        if alphanumeric(char):
            end = self._name_end(here)
            word = text[here:end]
            if word in self._keywords:
                return TokenKind.KEYWORD, end
            return TokenKind.BOOL if word in ("true", "false") else TokenKind.IDENTIFIER, end
        if char.isascii() and char.isprintable():
            return TokenKind.CHAR, here + 1
        raise _LexError(f"unrecognized character in action: {_code_point(char)}")

    def _name_end(self, here: int) -> int:
        """The end of the letters and digits from here on."""
        text, end = self._text, here
        while end < len(text) and alphanumeric(text[end]):
            end += 1
        if not self._terminated(end):
            raise _LexError(f"bad character {_code_point(text[end])}")
        return end

    def _terminated(self, end: int) -> bool:
        """Whether a name may end here."""
        following = self._text[end : end + 1]
        return following in ("", *SPACES, *".,|:()") or self._text.startswith(_RIGHT, end)

    def _number(self, here: int) -> tuple[TokenKind, int]:
        end = self._digits(here, here)
        imaginary = self._text[end - 1] == "i"
        if self._text[end : end + 1] in ("+", "-"):
            end = self._digits(end, here)
            imaginary = self._text[end - 1] == "i"
            if not imaginary:
                raise _LexError(f"bad number syntax: {quote(self._text[here:end])}")
        # The language has them, but no model's template does.
        if imaginary:
            raise _LexError(f"complex numbers are not supported: {quote(self._text[here:end])}")
        return TokenKind.NUMBER, end

    def _digits(self, here: int, start: int) -> int:
        """The end of the number at `here`; an error quotes the text from `start` on."""
        match = _NUMBER.match(self._text, here)
        end = match.end() if match else here
        if end < len(self._text) and alphanumeric(self._text[end]):
            raise _LexError(f"bad number syntax: {quote(self._text[start : end + 1])}")
        return end


def _code_point(char: str) -> str:
    """A character as `U+0040 '@'`."""
    code = f"U+{ord(char):04X}"
    return f"{code} '{char}'" if char.isprintable() else code
