"""The syntax tree of a template: what the parser makes, and what layers above look through.

Lines count from 1. Positions are character offsets into the text, used only to say where an
error happened; they take no part in comparisons.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Dot:
    """`.`"""

    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Nil:
    """`nil`"""

    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Bool:
    """`true` or `false`"""

    value: bool
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Number:
    """A numeric or character constant: its text and the value it stands for."""

    text: str
    value: int | float | complex
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class String:
    """A string constant: its value, and its text with the quotes."""

    value: str
    quoted: str
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Field:
    """`.A.B`: names without their dots."""

    names: tuple[str, ...]
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Variable:
    """`$x.A.B`: the name with its `$`, then the names after it."""

    name: str
    names: tuple[str, ...]
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Chain:
    """`(pipeline).A.B`, or a function's result and names after it."""

    operand: "Operand"
    names: tuple[str, ...]
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Identifier:
    """The name of a function."""

    name: str
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Command:
    """Operands separated by spaces; the first may be called with the others."""

    operands: tuple["Operand", ...]
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Pipe:
    """Commands joined by `|`, and the variables (with their `$`) that take the result.

    `assign` is true for `=`, false for `:=` and where there is no variable.
    """

    variables: tuple[str, ...]
    assign: bool
    commands: tuple[Command, ...]
    line: int
    pos: int = field(default=0, compare=False, kw_only=True)


Operand: TypeAlias = (
    Dot | Nil | Bool | Number | String | Field | Variable | Chain | Identifier | Pipe
)


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text, trimmed where a neighbour asked for it."""

    text: str
    line: int
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Action:
    """A pipeline whose value is printed, unless it goes into variables."""

    pipe: Pipe
    line: int
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class If:
    """`else if` is an `otherwise` of one If."""

    pipe: Pipe
    body: tuple["Node", ...]
    otherwise: tuple["Node", ...]
    line: int
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class With:
    """Like If, with dot set to the value; `else with` is an `otherwise` of one With."""

    pipe: Pipe
    body: tuple["Node", ...]
    otherwise: tuple["Node", ...]
    line: int
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Range:
    """The body once per element; `otherwise` when there is none."""

    pipe: Pipe
    body: tuple["Node", ...]
    otherwise: tuple["Node", ...]
    line: int
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Break:
    """`{{break}}`"""

    line: int
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Continue:
    """`{{continue}}`"""

    line: int
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Invoke:
    """`{{template "name" pipe}}`, and the place where a `block` stood."""

    name: str
    pipe: Pipe | None
    line: int
    pos: int = field(default=0, compare=False, kw_only=True)


Node: TypeAlias = Text | Action | If | With | Range | Break | Continue | Invoke


@dataclass(frozen=True, slots=True)
class Tree:
    """A parsed template: its own body, and the bodies of its `define`s and `block`s by name.

    `source` is the text it came from, for the line and column of errors.
    """

    name: str
    body: tuple[Node, ...]
    defines: Mapping[str, tuple[Node, ...]]
    source: str = field(default="", compare=False)
