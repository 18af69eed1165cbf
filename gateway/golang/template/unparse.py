"""Nodes back to template text, the way Go's errors show the place of a failure."""

from gateway.golang.template.nodes import (
    BoolNode,
    ChainNode,
    CommandNode,
    DotNode,
    FieldNode,
    IdentifierNode,
    NilNode,
    NumberNode,
    Operand,
    PipeNode,
    StringNode,
    VariableNode,
)


def unparse(node: Operand | CommandNode) -> str:
    """The text of an operand, pipeline or command, with single spaces."""
    match node:
        case DotNode():
            return "."
        case NilNode():
            return "nil"
        case BoolNode():
            return "true" if node.value else "false"
        case NumberNode():
            return node.text
        case StringNode():
            return node.quoted
        case FieldNode():
            return _dotted(node.names)
        case VariableNode():
            return node.name + _dotted(node.names)
        case IdentifierNode():
            return node.name
        case ChainNode():
            return _grouped(node.operand) + _dotted(node.names)
        case CommandNode():
            return " ".join(map(_grouped, node.operands))
        case PipeNode():
            head = ", ".join(node.variables)
            head += (" = " if node.assign else " := ") if head else ""
            return head + " | ".join(map(unparse, node.commands))


def _dotted(names: tuple[str, ...]) -> str:
    return "".join(f".{name}" for name in names)


def _grouped(node: Operand) -> str:
    return f"({unparse(node)})" if isinstance(node, PipeNode) else unparse(node)
