"""Nodes back to template text, the way Go's errors show the place of a failure."""

from gateway.golang.template.nodes import (
    Bool,
    Chain,
    Command,
    Dot,
    Field,
    Identifier,
    Nil,
    Number,
    Operand,
    Pipe,
    String,
    Variable,
)


def shown(node: Operand | Command) -> str:
    """The text of an operand, pipeline or command, with single spaces."""
    match node:
        case Dot():
            return "."
        case Nil():
            return "nil"
        case Bool():
            return "true" if node.value else "false"
        case Number():
            return node.text
        case String():
            return node.quoted
        case Field():
            return _dotted(node.names)
        case Variable():
            return node.name + _dotted(node.names)
        case Identifier():
            return node.name
        case Chain():
            return _grouped(node.operand) + _dotted(node.names)
        case Command():
            return " ".join(map(_grouped, node.operands))
        case Pipe():
            return _pipeline(node)


def _dotted(names: tuple[str, ...]) -> str:
    return "".join(f".{name}" for name in names)


def _grouped(node: Operand) -> str:
    return f"({shown(node)})" if isinstance(node, Pipe) else shown(node)


def _pipeline(pipe: Pipe) -> str:
    head = ", ".join(pipe.variables)
    head += (" = " if pipe.assign else " := ") if head else ""
    return head + " | ".join(map(shown, pipe.commands))
