"""What a Go template gives away without being run: names, tags, abilities.

What is looked for, and where, is Ollama's choice; templates are written with it in mind.
"""

from collections.abc import Iterator, Sequence

from gateway.golang.template import TemplateError
from gateway.golang.template.nodes import (
    Action,
    Chain,
    Field,
    If,
    Invoke,
    Node,
    Operand,
    Pipe,
    Range,
    Text,
    Tree,
    Variable,
    With,
)

_Body = Sequence[Node]
_RESULTS = ('eq .Role "tool"', "tool_response", "TOOL_RESULTS")


def identifiers(tree: Tree) -> frozenset[str]:
    """All names in chains of fields and variables, lower-cased, in the template and its defines.

    Names after parentheses do not count. Raises TemplateError for `{{template "x"}}` without data.
    """
    found: set[str] = set()
    for body in (tree.body, *tree.defines.values()):
        for pipe in _pipes(body):
            found.update(name.lower() for name in _names(pipe))
    return frozenset(found)


def thinking_tags(tree: Tree) -> tuple[str, str] | None:
    """The texts around a message's thinking, in a loop over messages; None without both."""
    opening = closing = ""
    for body in _thinking_bodies(tree.body, inside=False):
        first, last = body[0], body[-1]
        opening = first.text.strip() if isinstance(first, Text) else opening
        closing = last.text.strip() if isinstance(last, Text) else closing
    return (opening, closing) if opening and closing else None


def tool_tag(tree: Tree) -> str:
    """The text before the first tool call of a message; `{` where there is none."""
    shown = _shows_calls(tree.body)
    text = _first_text(shown.body) if shown else None
    return (text or "").partition("{")[0].strip() or "{"


def abilities(names: frozenset[str], tags: tuple[str, str] | None) -> tuple[str, ...]:
    """Capabilities of a template with these identifiers and thinking tags."""
    signs = {"tools": "tools" in names, "insert": "suffix" in names, "thinking": tags is not None}
    return tuple(ability for ability, shown in signs.items() if shown)


def round_trip(names: frozenset[str], text: str) -> bool:
    """Whether a template of these identifiers shows the model its tool calls and their results."""
    return {"tools", "toolcalls"} <= names and any(sign in text for sign in _RESULTS)


def operands(pipe: Pipe) -> Iterator[Operand]:
    """All operands of a pipeline, those within parentheses too, in the order of the text."""
    for command in pipe.commands:
        for operand in command.operands:
            if isinstance(operand, Pipe):
                yield from operands(operand)
            else:
                yield operand


def _pipes(body: _Body) -> Iterator[Pipe]:
    """Every pipeline in a body, blocks within it included."""
    for node in body:
        match node:
            case Invoke(pipe=None):
                raise TemplateError("undefined template specified")
            case Action(pipe=pipe) | Invoke(pipe=Pipe() as pipe):
                yield pipe
            case If() | With() | Range():
                yield node.pipe
                yield from _pipes(node.body)
                yield from _pipes(node.otherwise)


def _names(pipe: Pipe) -> Iterator[str]:
    for operand in operands(pipe):
        if isinstance(operand, Field | Variable):
            yield from operand.names


def _mentions(pipe: Pipe | None, name: str) -> bool:
    """Whether a pipeline has a field (not of a variable) whose chain begins with `name`."""
    fields = operands(pipe) if pipe else ()
    return any(isinstance(field, Field) and field.names[0] == name for field in _whole(fields))


def _whole(found: Iterator[Operand] | tuple[Operand, ...]) -> Iterator[Operand]:
    """Operands, and what the chains among them start from."""
    for operand in found:
        yield operand
        if isinstance(operand, Chain):
            inner = operand.operand
            yield from _whole(operands(inner) if isinstance(inner, Pipe) else (inner,))


def _thinking_bodies(body: _Body, *, inside: bool) -> Iterator[_Body]:
    """Bodies with a mention of `.Thinking`; `inside` says the nearest loop is over messages."""
    for node in body:
        match node:
            case Action() | Invoke():
                if inside and _mentions(node.pipe, "Thinking"):
                    yield body
            case If() | With() | Range():
                within = inside
                if isinstance(node, Range):
                    within = _mentions(node.pipe, "Messages")
                if within and _mentions(node.pipe, "Thinking"):
                    yield body
                yield from _thinking_bodies(node.body, inside=within)
                yield from _thinking_bodies(node.otherwise, inside=within)


def _shows_calls(body: _Body) -> If | None:
    """The first `if` that asks for tool calls."""
    for node in body:
        if not isinstance(node, If | With | Range):
            continue
        if isinstance(node, If) and any(
            isinstance(field, Field) and "ToolCalls" in field.names for field in operands(node.pipe)
        ):
            return node
        found = _shows_calls(node.body) or _shows_calls(node.otherwise)
        if found:
            return found
    return None


def _first_text(body: _Body) -> str | None:
    """The first text that is not blank; a body is given up where it prints a value."""
    for node in body:
        match node:
            case Text(text=text) if text.strip():
                return text
            case Action():
                return None
            case If() | With() | Range():
                found = _first_text(node.body) or _first_text(node.otherwise)
                if found:
                    return found
    return None
