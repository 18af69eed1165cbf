"""The syntax tree of a template, with the node types of Go's `text/template/parse`.

Lines count from 1. Positions are character offsets into the text, used only to say where an
error happened; they take no part in comparisons.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

# Positions are keyword arguments and optional, for tests and rewritten trees have none.


@dataclass(frozen=True, slots=True)
class DotNode:
    """`.`"""

    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class NilNode:
    """`nil`"""

    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class BoolNode:
    """`true` or `false`"""

    value: bool
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class NumberNode:
    """A numeric or character constant: its text and the value it stands for."""

    text: str
    value: int | float
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class StringNode:
    """A string constant: its value, and its text with the quotes."""

    value: str
    quoted: str
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class FieldNode:
    """`.A.B`: names without their dots."""

    names: tuple[str, ...]
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class VariableNode:
    """`$x.A.B`: the name with its `$`, then the names after it."""

    name: str
    names: tuple[str, ...]
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class ChainNode:
    """`(pipeline).A.B`, or a function's result and names after it."""

    operand: "Operand"
    names: tuple[str, ...]
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class IdentifierNode:
    """The name of a function."""

    name: str
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class CommandNode:
    """Operands separated by spaces; the first may be called with the others."""

    operands: tuple["Operand", ...]
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class PipeNode:
    """Commands joined by `|`, and the variables (with their `$`) that take the result.

    `assign` is true for `=`, false for `:=` and where there is no variable.
    """

    variables: tuple[str, ...]
    assign: bool
    commands: tuple[CommandNode, ...]
    line: int
    pos: int = field(default=0, compare=False, kw_only=True)


Operand: TypeAlias = (
    DotNode
    | NilNode
    | BoolNode
    | NumberNode
    | StringNode
    | FieldNode
    | VariableNode
    | ChainNode
    | IdentifierNode
    | PipeNode
)


@dataclass(frozen=True, slots=True)
class TextNode:
    """Plain text, trimmed where the action beside it has a trim marker."""

    text: str
    line: int
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class ActionNode:
    """A pipeline whose value is printed, unless it goes into variables."""

    pipe: PipeNode
    line: int
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class IfNode:
    """`else if` is an `otherwise` of one If."""

    pipe: PipeNode
    body: tuple["Node", ...]
    otherwise: tuple["Node", ...]
    line: int
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class WithNode:
    """Like If, with dot set to the value; `else with` is an `otherwise` of one With."""

    pipe: PipeNode
    body: tuple["Node", ...]
    otherwise: tuple["Node", ...]
    line: int
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class RangeNode:
    """The body once per element; `otherwise` when there is none."""

    pipe: PipeNode
    body: tuple["Node", ...]
    otherwise: tuple["Node", ...]
    line: int
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class BreakNode:
    """`{{break}}`"""

    line: int
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class ContinueNode:
    """`{{continue}}`"""

    line: int
    pos: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class TemplateNode:
    """`{{template "name" pipe}}`, and the place where a `block` stood."""

    name: str
    pipe: PipeNode | None
    line: int
    pos: int = field(default=0, compare=False, kw_only=True)


Node: TypeAlias = (
    TextNode | ActionNode | IfNode | WithNode | RangeNode | BreakNode | ContinueNode | TemplateNode
)


@dataclass(frozen=True, slots=True)
class Tree:
    """A parsed template: its own body, and the bodies of its `define`s and `block`s by name.

    `source` is the text it came from, for the line and column of errors.
    """

    name: str
    body: tuple[Node, ...]
    defines: Mapping[str, tuple[Node, ...]]
    source: str = field(default="", compare=False)
