"""Template text to tokens, the way Go cuts it: errors are tokens too, and end the stream."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from gateway.golang.template.quoting import quote

SPACES = " \t\r\n"
_LEFT, _RIGHT = "{{", "}}"


class Kind(Enum):
    """What a token is. KEYWORD covers all the words of the language, the lone dot, and nil."""

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
    COMPLEX = auto()
    BOOL = auto()
    VARIABLE = auto()
    FIELD = auto()
    IDENTIFIER = auto()
    KEYWORD = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text (for ERROR the message), its offset, and its line from 1."""

    kind: Kind
    text: str
    pos: int
    line: int

    def __str__(self) -> str:
        """The token as error messages show it."""
        if self.kind is Kind.EOF:
            return "EOF"
        if self.kind is Kind.ERROR:
            return self.text
        if self.kind is Kind.KEYWORD:
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
_ONE = {"=": Kind.ASSIGN, "|": Kind.PIPE, "(": Kind.OPEN, ")": Kind.CLOSE}
_QUOTED = {
    '"': (Kind.STRING, "unterminated quoted string", re.compile(r'"(?:[^"\\\n]|\\[^\n])*"')),
    "'": (Kind.RUNE, "unterminated character constant", re.compile(r"'(?:[^'\\\n]|\\[^\n])*'")),
    "`": (Kind.RAW, "unterminated raw quoted string", re.compile(r"`[^`]*`")),
}
_NUMBER = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?"
    r"|0[oO][0-7_]*(?:\.[0-7_]*)?|0[bB][01_]*(?:\.[01_]*)?"
    r"|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?"
)


class _Bad(Exception):
    """The text cannot be cut further; the message says why."""


def alphanumeric(char: str) -> bool:
    """Whether the character may stand in a name."""
    return char == "_" or char.isalpha() or char.isdecimal()


class Lexer:
    """Hands out one token at a time; after the end, or an error, EOF for ever.

    `functions` matters for two words only: a function of that name takes the place of the
    keywords `break` and `continue`.
    """

    def __init__(self, text: str, functions: Collection[str] = ()) -> None:
        self._text = text
        self._keywords = KEYWORDS - ({"break", "continue"} & set(functions))
        self._start = 0
        self._counted, self._line = 0, 1
        self._tokens = self._run()

    def next(self) -> Token:
        """The next token."""
        return next(self._tokens)

    def _token(self, kind: Kind, start: int, end: int) -> Token:
        """The token between two offsets; the line count moves on to its start."""
        return Token(kind, self._text[start:end], start, self._line_at(start))

    def _line_at(self, pos: int) -> int:
        self._line += self._text.count("\n", self._counted, pos)
        self._counted = max(pos, self._counted)
        return self._line

    def _run(self) -> Iterator[Token]:
        try:
            yield from self._stream()
        except _Bad as bad:
            yield Token(Kind.ERROR, str(bad), self._start, self._line_at(self._start))
        # The end counts as being on the line where the last token began to be read.
        end = Token(Kind.EOF, "EOF", len(self._text), self._line_at(self._start))
        while True:
            yield end

    def _stream(self) -> Iterator[Token]:
        """Text and actions in turn, up to the end of the text."""
        text, here = self._text, 0
        while (found := text.find(_LEFT, here)) >= 0:
            inside = found + 2
            trims = text[inside : inside + 1] == "-" and text[inside + 1 : inside + 2] in (*SPACES,)
            plain = len(text[here:found].rstrip(SPACES)) if trims else found - here
            if plain:
                yield self._token(Kind.TEXT, here, here + plain)
            after = inside + 2 * trims
            if text.startswith("/*", after):
                self._start = after
                here = self._comment(after)
                continue
            self._start = found
            yield self._token(Kind.LEFT, found, inside)
            self._start = after
            yield from self._action(after)
            here = self._start
        if here < len(text):
            yield self._token(Kind.TEXT, here, len(text))
        self._start = len(text)

    def _comment(self, start: int) -> int:
        """Skip a comment; the offset after its closing delimiter."""
        end = self._text.find("*/", start + 2)
        if end < 0:
            raise _Bad("unclosed comment")
        closes, trims = self._closing(end + 2)
        if not closes:
            raise _Bad("comment ends before closing delimiter")
        return self._past(end + 2, trims)

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
                    raise _Bad("unclosed left paren")
                mark = here + 2 * trims
                yield self._token(Kind.RIGHT, mark, mark + 2)
                self._start = self._past(here, trims)
                return
            kind, end = self._piece(here)
            depth += (kind is Kind.OPEN) - (kind is Kind.CLOSE)
            if depth < 0:
                raise _Bad("unexpected right paren")
            yield self._token(kind, here, end)
            here = end

    def _piece(self, here: int) -> tuple[Kind, int]:
        """Kind and end of the token that starts here."""
        text = self._text
        char = text[here : here + 1]
        if not char:
            raise _Bad("unclosed action")
        if char in SPACES:
            return Kind.SPACE, self._spaces(here)
        if char in _ONE:
            return _ONE[char], here + 1
        if char in _QUOTED:
            return self._quoted(here, char)
        if char == ":":
            if not text.startswith("=", here + 1):
                raise _Bad("expected :=")
            return Kind.DECLARE, here + 2
        following = text[here + 1 : here + 2]
        if char == "$" or (char == "." and following and not "0" <= following <= "9"):
            return self._name(here, Kind.VARIABLE if char == "$" else Kind.FIELD)
        if char in "+-." or "0" <= char <= "9":
            return self._number(here)
        if alphanumeric(char):
            return self._word(here)
        if char.isascii() and char.isprintable():
            return Kind.CHAR, here + 1
        raise _Bad(f"unrecognized character in action: {_shown(char)}")

    def _spaces(self, here: int) -> int:
        """The end of a run of spaces, leaving one that belongs to a trimming delimiter."""
        text, end = self._text, here
        while end < len(text) and text[end] in SPACES:
            end += 1
        return end - 1 if end - here > 1 and self._closing(end - 1)[1] else end

    def _quoted(self, here: int, mark: str) -> tuple[Kind, int]:
        kind, complaint, shape = _QUOTED[mark]
        match = shape.match(self._text, here)
        if match is None:
            raise _Bad(complaint)
        return kind, match.end()

    def _letters(self, here: int) -> int:
        text, end = self._text, here
        while end < len(text) and alphanumeric(text[end]):
            end += 1
        return end

    def _terminated(self, end: int) -> bool:
        """Whether a name may end here."""
        following = self._text[end : end + 1]
        return following in ("", *SPACES, *".,|:()") or self._text.startswith(_RIGHT, end)

    def _name(self, here: int, kind: Kind) -> tuple[Kind, int]:
        """A field or a variable; a lone dot is a keyword."""
        if self._terminated(here + 1):
            return (Kind.VARIABLE if kind is Kind.VARIABLE else Kind.KEYWORD), here + 1
        end = self._letters(here + 1)
        if not self._terminated(end):
            raise _Bad(f"bad character {_shown(self._text[end])}")
        return kind, end

    def _word(self, here: int) -> tuple[Kind, int]:
        end = self._letters(here)
        if not self._terminated(end):
            raise _Bad(f"bad character {_shown(self._text[end])}")
        word = self._text[here:end]
        if word in self._keywords:
            return Kind.KEYWORD, end
        return (Kind.BOOL if word in ("true", "false") else Kind.IDENTIFIER), end

    def _number(self, here: int) -> tuple[Kind, int]:
        end = self._digits(here, here)
        if self._text[end : end + 1] not in ("+", "-"):
            return Kind.NUMBER, end
        both = self._digits(end, here)
        if self._text[both - 1] != "i":
            raise _Bad(f"bad number syntax: {quote(self._text[here:both])}")
        return Kind.COMPLEX, both

    def _digits(self, here: int, start: int) -> int:
        """The end of one number; nothing of a name may follow it. `start` is for the complaint."""
        match = _NUMBER.match(self._text, here)
        end = match.end() if match else here
        if end < len(self._text) and alphanumeric(self._text[end]):
            raise _Bad(f"bad number syntax: {quote(self._text[start : end + 1])}")
        return end


def _shown(char: str) -> str:
    """A character as `U+0040 '@'`."""
    shown = f"U+{ord(char):04X}"
    return f"{shown} '{char}'" if char.isprintable() else shown
