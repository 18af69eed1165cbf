"""Templates that know no messages: run once per turn, and cut short for the reply to come."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.golang.template.nodes import (
    Action,
    Command,
    Field,
    If,
    Invoke,
    Node,
    Pipe,
    Range,
    Tree,
    Variable,
    With,
)
from gateway.templates.introspect import operands
from gateway.templates.values import Message

_RESPONSE = "Response"


@dataclass(frozen=True, slots=True)
class Round:
    """What one run of the template is given: the text of each role, empty where nobody spoke."""

    system: str = ""
    prompt: str = ""
    response: str = ""

    @property
    def data(self) -> Mapping[str, Any]:
        return {"System": self.system, "Prompt": self.prompt, _RESPONSE: self.response}


def rounds(messages: Iterable[Message]) -> Iterator[Round]:
    """One round for each run of the template; the last is that of the reply to come.

    A message that would come before what its round already has begins a new one. Roles that such
    templates do not know are left out.
    """
    current = Round()
    for message in messages:
        match message.role:
            case "system":
                if current.prompt or current.response:
                    yield current
                    current = Round()
                current = replace(current, system=message.content)
            case "user":
                if current.response:
                    yield current
                    current = Round()
                current = replace(current, prompt=message.content)
            case "assistant":
                current = replace(current, response=message.content)
    yield current


def with_response(tree: Tree) -> Tree:
    """`tree` with the reply printed at its end."""
    line = tree.source.count("\n") + 1
    reply = Pipe((), False, (Command((Field((_RESPONSE,)),)),), line)
    return replace(tree, body=(*tree.body, Action(reply, line)))


def unfinished(tree: Tree) -> Tree:
    """`tree` without all that comes after the first place that prints the reply.

    The reply is what the model goes on with. Where that place is within a block, both what follows
    there and what follows the block goes, and so does the block's else.
    """
    body, _ = _cut(tree.body)
    return replace(tree, body=body)


def _cut(body: Sequence[Node]) -> tuple[tuple[Node, ...], bool]:
    """A body up to the reply, and whether it was there."""
    kept: list[Node] = []
    for node in body:
        found = False
        match node:
            case Action(pipe=pipe) | Invoke(pipe=Pipe() as pipe):
                found = _replies(pipe)
            case If() | With() | Range():
                node, found = _cut_block(node)
        kept.append(node)
        if found:
            return tuple(kept), True
    return tuple(kept), False


def _cut_block(node: If | With | Range) -> tuple[If | With | Range, bool]:
    """The same for a block; its condition prints nothing."""
    body, found = _cut(node.body)
    otherwise, found_there = ((), False) if found else _cut(node.otherwise)
    return replace(node, body=body, otherwise=otherwise), found or found_there


def _replies(pipe: Pipe) -> bool:
    return any(
        isinstance(operand, Field | Variable) and _RESPONSE in operand.names
        for operand in operands(pipe)
    )
