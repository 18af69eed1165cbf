"""Modelfiles: the text that describes a model, parsed into instructions and written back.

An instruction is a command word (any case), one space or tab, and a value. A value is the rest of
its line, or text between `"` or `\"""` marks, which may span lines. There are no escapes, and the
marks are only taken off when they stand at both ends of the value.
"""

import codecs
import re
import string
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.errors import Invalid
from gateway.golang.strconv import parse_bool, parse_float, parse_int, shortest_float32

COMMANDS = (
    "from",
    "license",
    "template",
    "system",
    "adapter",
    "draft",
    "renderer",
    "parser",
    "parameter",
    "message",
    "requires",
)
ROLES = ("system", "user", "assistant")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The options of Ollama's API, by the type of their values.
INTEGERS = _names(
    "num_ctx num_batch num_gpu main_gpu num_thread draft_num_predict "
    "num_keep seed num_predict top_k repeat_last_n"
)
FLOATS = _names(
    "top_p min_p typical_p temperature repeat_penalty presence_penalty frequency_penalty"
)
BOOLEANS = _names("use_mmap")
LISTS = _names("stop")
# Old Modelfiles still have these, and Ollama accepts them without effect.
DEPRECATED = _names(
    "penalize_newline low_vram f16_kv logits_all vocab_only use_mlock "
    "mirostat mirostat_tau mirostat_eta"
)

_BLANKS = " \t"
_NEWLINES = "\r\n"
_LINE_END = re.compile(r"[\r\n]")
_LETTERS = frozenset(string.ascii_letters)
_WORD = frozenset(string.ascii_letters + string.digits + "_")
# Semantic versions, and as in Go's `semver` package their minor and patch parts may be left out.
_COUNT = r"(0|[1-9][0-9]*)"
_LABEL = r"[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(rf"{_COUNT}(\.{_COUNT}(\.{_COUNT}(-{_LABEL})?(\+{_LABEL})?)?)?")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line of meaning: `PARAMETER stop x` is kind `parameter`, key `stop`, value `x`."""

    kind: str
    value: str
    key: str = ""  # the name of a PARAMETER, the role of a MESSAGE


@dataclass(frozen=True, slots=True)
class Modelfile:
    """Instructions in the order they were written."""

    instructions: tuple[Instruction, ...]

    def every(self, kind: str) -> tuple[str, ...]:
        """The values of all instructions of one kind."""
        return tuple(item.value for item in self.instructions if item.kind == kind)

    def last(self, kind: str) -> str:
        """The value of the last instruction of one kind; empty when there is none."""
        values = self.every(kind)
        return values[-1] if values else ""

    def messages(self) -> list[dict[str, str]]:
        """The MESSAGE instructions as chat messages."""
        return [
            {"role": item.key, "content": item.value}
            for item in self.instructions
            if item.kind == "message"
        ]

    def parameters(self) -> dict[str, int | float | bool | list[str]]:
        """The PARAMETER instructions, typed; lists gather, for the others the last one counts.

        Raises Invalid for an unknown name or a value of the wrong type. Names that once had a
        meaning are left out; `deprecated` lists them.
        """
        lists: dict[str, list[str]] = {}
        values: dict[str, int | float | bool | list[str]] = {}
        for name, text in self._parameter_lines():
            if name in LISTS:
                values[name] = lists.setdefault(name, [])
                lists[name].append(text)
            elif name not in DEPRECATED:
                values[name] = typed(name, text)
        return values

    def deprecated(self) -> tuple[str, ...]:
        """Names of parameters that are accepted and ignored, in order."""
        return tuple(name for name, _ in self._parameter_lines() if name in DEPRECATED)

    def requires(self) -> str:
        """The version in REQUIRES, without a leading `v`; empty when there is none."""
        text = self.last("requires").removeprefix("v")
        if "requires" in {item.kind for item in self.instructions} and not _VERSION.fullmatch(text):
            raise Invalid("requires must be a valid semver (e.g. 0.14.0)")
        return text

    def _parameter_lines(self) -> list[tuple[str, str]]:
        return [(item.key, item.value) for item in self.instructions if item.kind == "parameter"]


def typed(name: str, text: str) -> int | float | bool:
    """The value of one PARAMETER that is not a list; raises Invalid.

    A float is the shortest number that names the same 32-bit float; a whole one is an integer.
    """
    for names, kind, parse in (
        (INTEGERS, "int", parse_int),
        (FLOATS, "float", parse_float),
        (BOOLEANS, "bool", parse_bool),
    ):
        if name in names:
            try:
                value = parse(text)
                # A float32 in Ollama, and printed by its shortest decimal as Go does.
                if names is FLOATS:
                    value = shortest_float32(value)
                    if value.is_integer() and abs(value) < 1e21:
                        return int(value)
                return value
            except (ValueError, OverflowError) as exc:
                raise Invalid(f"invalid {kind} value [{text}]") from exc
    raise Invalid(f"unknown parameter '{name}'")


def decode(data: bytes) -> str:
    """Text of a Modelfile: UTF-8, or by its byte order mark. Malformed bytes become U+FFFD."""
    # Editors on Windows write these marks, and UTF-16 as well.
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    return data.decode("utf-8", "replace")


def parse(text: str) -> Modelfile:
    """The instructions in `text`; raises Invalid, with the line number where that helps."""
    scanner = _ModelfileScanner(text)
    instructions = []
    while scanner.skip_to_command():
        instructions.append(scanner.instruction())
    if not any(item.kind == "from" for item in instructions):
        raise Invalid("no FROM line")
    return Modelfile(tuple(instructions))


class _ModelfileScanner:
    """A position in the text. Lines are counted at CR and at LF, so CRLF counts twice."""

    def __init__(self, text: str) -> None:
        # As in Ollama, other control characters do not count, wherever they are.
        self._text = "".join(c for c in text if c.isprintable() or c in "\t\r\n")
        self._at = 0
        self._line = 1

    def skip_to_command(self) -> bool:
        """Move past blanks and comments; False at the end."""
        while (char := self._peek()) is not None:
            if char == "#":
                self._take_until_newline()
            elif char not in _BLANKS + _NEWLINES:
                return True
            else:
                self._next()
        return False

    def instruction(self) -> Instruction:
        word = self._word(_LETTERS)
        separator = self._next()
        kind = word.lower()
        if separator not in _BLANKS or kind not in COMMANDS:
            names = ", ".join(f'"{name}"' for name in COMMANDS[:-1])
            raise self._error(f'command must be one of {names}, or "{COMMANDS[-1]}"')
        if kind == "parameter":
            return Instruction(kind, key=self._key(_WORD), value=self._value())
        if kind == "message":
            role = self._key(_LETTERS)
            if role not in ROLES:
                raise self._error('message role must be one of "system", "user", or "assistant"')
            return Instruction(kind, key=role, value=self._value())
        return Instruction(kind, self._value())

    def _key(self, letters: frozenset[str]) -> str:
        """The word between a command and its value, with the blank that ends it."""
        word = self._word(letters)
        if self._next() not in _BLANKS:
            raise Invalid(f"unexpected EOF: {word}")
        return word

    def _word(self, letters: frozenset[str]) -> str:
        start = self._at
        while (char := self._peek()) is not None and char in letters:
            self._at += 1
        if char is None:
            raise Invalid("unexpected EOF")
        return self._text[start : self._at]

    def _value(self) -> str:
        """Lines up to the first newline, or the end, at which the text is a whole value."""
        start = self._at
        while True:
            line = self._at
            self._take_until_newline()
            value = self._whole(start, line)
            ended = self._peek() is None
            if value is None and ended:
                raise Invalid("unexpected EOF")
            if not ended:
                self._next()
            if value is not None:
                return value

    def _whole(self, start: int, line: int) -> str | None:
        """The value from `start` to here; None if more must follow. `line` starts the last line."""
        # Only a line that ends in `"` can close a value. Without this, each line of a long text
        # would copy all lines before it.
        if line > start and not self._text[line : self._at].rstrip(_BLANKS).endswith('"'):
            return None
        text = self._text[start : self._at].strip(_BLANKS + _NEWLINES)
        # The longer mark first: it begins with the shorter one.
        for mark in ('"""', '"'):
            if text.startswith(mark):
                # A lone mark both begins and ends with itself, but closes nothing.
                whole = len(text) >= 2 * len(mark) and text.endswith(mark)
                return text[len(mark) : -len(mark)] if whole else None
        return text

    def _take_until_newline(self) -> None:
        end = _LINE_END.search(self._text, self._at)
        self._at = end.start() if end else len(self._text)

    def _peek(self) -> str | None:
        return self._text[self._at] if self._at < len(self._text) else None

    def _next(self) -> str:
        """One character, counted; only called where `_peek` saw one."""
        char = self._text[self._at]
        self._at += 1
        self._line += char in _NEWLINES
        return char

    def _error(self, message: str) -> Invalid:
        return Invalid(f"(line {self._line}): {message}")


def render(instructions: Iterable[Instruction]) -> str:
    """Modelfile text, one instruction after another, each ended by a newline."""
    return "".join(f"{_line(item)}\n" for item in instructions)


def _line(item: Instruction) -> str:
    words = [item.kind.upper(), item.key] if item.key else [item.kind.upper()]
    return " ".join([*words, item.value if item.kind == "from" else quote(item.value)])


def quote(value: str) -> str:
    r"""`value` in the marks it needs to be read back: none, `"`, or `\"""` when it holds a `"`."""
    # There are no escapes: a value in which a line ends in `"""` cannot be written so that it is
    # read back.
    bare = value == value.strip(_BLANKS) and not value.startswith('"')
    if bare and not _LINE_END.search(value):
        return value
    return f'"""{value}"""' if '"' in value else f'"{value}"'
