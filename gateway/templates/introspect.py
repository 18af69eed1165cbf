"""Names, tags and abilities of a Go template, read off its syntax tree.

What counts, and where, is Ollama's choice; templates are written with it in mind.
"""

from collections.abc import Iterable, Iterator, Sequence

from gateway.golang.template import TemplateError
from gateway.golang.template.nodes import (
    ActionNode,
    ChainNode,
    FieldNode,
    IfNode,
    Node,
    Operand,
    PipeNode,
    RangeNode,
    TemplateNode,
    TextNode,
    Tree,
    VariableNode,
    WithNode,
)

_Body = Sequence[Node]
_RESULTS = ('eq .Role "tool"', "tool_response", "TOOL_RESULTS")


def identifiers(tree: Tree) -> frozenset[str]:
    """All names in chains of fields and variables, lower-cased, in the template and its defines.

    Names after parentheses do not count. Raises TemplateError for `{{template "x"}}` without data.
    """
    return frozenset(
        name.lower()
        for body in (tree.body, *tree.defines.values())
        for pipe in _pipes(body)
        for operand in operands(pipe)
        if isinstance(operand, FieldNode | VariableNode)
        for name in operand.names
    )


def thinking_tags(tree: Tree) -> tuple[str, str] | None:
    """The texts around a message's thinking, in a loop over messages; None without both."""
    opening = closing = ""
    for body in _thinking_bodies(tree.body, inside=False):
        first, last = body[0], body[-1]
        opening = first.text.strip() if isinstance(first, TextNode) else opening
        closing = last.text.strip() if isinstance(last, TextNode) else closing
    return (opening, closing) if opening and closing else None


def tool_tag(tree: Tree) -> str:
    """The text before the first tool call of a message; `{` where there is none."""
    branch = _first_calls_branch(tree.body)
    text = _first_text(branch.body) if branch else None
    return (text or "").partition("{")[0].strip() or "{"


def abilities(names: frozenset[str], tags: tuple[str, str] | None) -> tuple[str, ...]:
    """Capabilities of a template with these identifiers and thinking tags."""
    signs = {"tools": "tools" in names, "insert": "suffix" in names, "thinking": tags is not None}
    return tuple(ability for ability, present in signs.items() if present)


def round_trip(names: frozenset[str], text: str) -> bool:
    """Whether a template of these identifiers shows the model its tool calls and their results."""
    return {"tools", "toolcalls"} <= names and any(sign in text for sign in _RESULTS)


def operands(pipe: PipeNode) -> Iterator[Operand]:
    """All operands of a pipeline, those within parentheses too, in the order of the text."""
    for command in pipe.commands:
        for operand in command.operands:
            if isinstance(operand, PipeNode):
                yield from operands(operand)
            else:
                yield operand


def _pipes(body: _Body) -> Iterator[PipeNode]:
    """Every pipeline in a body, blocks within it included."""
    for node in body:
        match node:
            case TemplateNode(pipe=None):
                raise TemplateError("undefined template specified")
            case ActionNode(pipe=pipe) | TemplateNode(pipe=PipeNode() as pipe):
                yield pipe
            case IfNode() | WithNode() | RangeNode():
                yield node.pipe
                yield from _pipes(node.body)
                yield from _pipes(node.otherwise)


def _mentions(pipe: PipeNode | None, name: str) -> bool:
    """Whether a pipeline has a field (not of a variable) whose chain begins with `name`."""
    fields = operands(pipe) if pipe else ()
    return any(
        isinstance(field, FieldNode) and field.names[0] == name
        for field in _with_chain_starts(fields)
    )


def _with_chain_starts(chained: Iterable[Operand]) -> Iterator[Operand]:
    """Operands, and the operands that the chains among them start from."""
    for operand in chained:
        yield operand
        if isinstance(operand, ChainNode):
            inner = operand.operand
            yield from _with_chain_starts(
                operands(inner) if isinstance(inner, PipeNode) else (inner,)
            )


def _thinking_bodies(body: _Body, *, inside: bool) -> Iterator[_Body]:
    """Bodies with a mention of `.Thinking`; `inside` says the nearest loop is over messages."""
    for node in body:
        match node:
            case ActionNode() | TemplateNode():
                if inside and _mentions(node.pipe, "Thinking"):
                    yield body
            case IfNode() | WithNode() | RangeNode():
                within = inside
                if isinstance(node, RangeNode):
                    within = _mentions(node.pipe, "Messages")
                if within and _mentions(node.pipe, "Thinking"):
                    yield body
                yield from _thinking_bodies(node.body, inside=within)
                yield from _thinking_bodies(node.otherwise, inside=within)


def _first_calls_branch(body: _Body) -> IfNode | None:
    """The first `if` whose condition mentions tool calls."""
    for node in body:
        if not isinstance(node, IfNode | WithNode | RangeNode):
            continue
        if isinstance(node, IfNode) and any(
            isinstance(field, FieldNode) and "ToolCalls" in field.names
            for field in operands(node.pipe)
        ):
            return node
        branch = _first_calls_branch(node.body) or _first_calls_branch(node.otherwise)
        if branch:
            return branch
    return None


def _first_text(body: _Body) -> str | None:
    """The first text that is not blank; a body is given up where it prints a value."""
    for node in body:
        match node:
            case TextNode(text=text) if text.strip():
                return text
            case ActionNode():
                return None
            case IfNode() | WithNode() | RangeNode():
                inner = _first_text(node.body) or _first_text(node.otherwise)
                if inner:
                    return inner
    return None
