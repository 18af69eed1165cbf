"""The words after a command, taken apart the GNU way; the error texts are those of cobra and pflag.

Flags may follow words, `--` ends them, a value is attached with `=` or is the next word.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.errors import Invalid

Value = str | int | bool

_SWITCH = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag a command knows."""

    name: str
    text: str
    kind: str = "string"  # string, int or bool
    short: str = ""
    bare: str | None = None  # what the flag means without a value; None: a value must follow

    @property
    def label(self) -> str:
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"

    def read(self, text: str) -> Value:
        """`text` as this flag's kind; raises Invalid."""
        if self.kind == "bool":
            if text not in _SWITCH:
                raise self._refuse(text, "ParseBool")
            return _SWITCH[text]
        if self.kind == "int":
            if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
                raise self._refuse(text, "ParseInt")
            return int(text)
        return text

    def _refuse(self, text: str, parser: str) -> Invalid:
        reason = f'strconv.{parser}: parsing "{text}": invalid syntax'
        return Invalid(f'invalid argument "{text}" for "{self.label}" flag: {reason}')


def switch(name: str, text: str, short: str = "") -> Flag:
    """A flag that is on when it is there; `--name=false` turns it off."""
    return Flag(name, text, kind="bool", short=short, bare="true")


HELP = switch("help", "show this text", short="h")


@dataclass(frozen=True, slots=True)
class Arguments:
    """What was typed: words in order, and the flags that were given."""

    words: tuple[str, ...]
    flags: Mapping[str, Value] = field(default_factory=dict)

    def given(self, name: str) -> bool:
        return name in self.flags

    def on(self, name: str) -> bool:
        return self.flags.get(name, False) is True

    def text(self, name: str) -> str:
        return str(self.flags.get(name, ""))

    def number(self, name: str) -> int:
        return int(self.flags.get(name, 0))


def parse(argv: Sequence[str], flags: Sequence[Flag]) -> Arguments:
    """`argv` taken apart; raises Invalid for what no flag explains. The last of a kind counts."""
    long = {flag.name: flag for flag in (*flags, HELP)}
    short = {flag.short: flag for flag in (*flags, HELP) if flag.short}
    words: list[str] = []
    found: dict[str, Value] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            words += rest
            break
        if word.startswith("--"):
            _long(word, long, rest, found)
        elif word.startswith("-") and word != "-":
            _short(word, short, rest, found)
        else:
            words.append(word)
    return Arguments(tuple(words), found)


def _long(word: str, known: Mapping[str, Flag], rest: list[str], found: dict[str, Value]) -> None:
    """`--name`, `--name=value` or `--name value`."""
    name, attached, value = word[2:].partition("=")
    if not name or name.startswith("-"):
        raise Invalid(f"bad flag syntax: {word}")
    flag = known.get(name)
    if flag is None:
        raise Invalid(f"unknown flag: --{name}")
    if not attached:
        value = _following(flag, rest, f"--{name}")
    found[flag.name] = flag.read(value)


def _short(word: str, known: Mapping[str, Flag], rest: list[str], found: dict[str, Value]) -> None:
    """`-a`, `-abc`, `-fvalue`, `-f=value` or `-f value`."""
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = known.get(letter)
        if flag is None:
            raise Invalid(f"unknown shorthand flag: '{letter}' in -{letter}{letters}")
        if letters.startswith("="):
            value, letters = letters[1:], ""
        elif flag.bare is None and letters:
            value, letters = letters, ""
        else:
            value = _following(flag, rest, f"'{letter}' in -{letter}{letters}")
        found[flag.name] = flag.read(value)


def _following(flag: Flag, rest: list[str], shown: str) -> str:
    """The value of a flag that had none attached."""
    if flag.bare is not None:
        return flag.bare
    if not rest:
        raise Invalid(f"flag needs an argument: {shown}")
    return rest.pop(0)
