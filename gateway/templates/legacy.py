"""Templates that know no messages: run once per turn, and cut short for the reply to come."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.golang.template.nodes import (
    ActionNode,
    CommandNode,
    FieldNode,
    IfNode,
    Node,
    PipeNode,
    RangeNode,
    TemplateNode,
    Tree,
    VariableNode,
    WithNode,
)
from gateway.templates.introspect import operands
from gateway.templates.messages import TemplateMessage

_RESPONSE = "Response"


@dataclass(frozen=True, slots=True)
class Round:
    """The data of one run of the template: the text of each role, empty where there is none."""

    system: str = ""
    prompt: str = ""
    response: str = ""

    @property
    def data(self) -> Mapping[str, object]:
        return {"System": self.system, "Prompt": self.prompt, _RESPONSE: self.response}


def rounds(messages: Iterable[TemplateMessage]) -> Iterator[Round]:
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
    reply = PipeNode((), False, (CommandNode((FieldNode((_RESPONSE,)),)),), line)
    return replace(tree, body=(*tree.body, ActionNode(reply, line)))


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
        is_last = False
        match node:
            case ActionNode(pipe=pipe) | TemplateNode(pipe=PipeNode() as pipe):
                is_last = any(
                    isinstance(operand, FieldNode | VariableNode) and _RESPONSE in operand.names
                    for operand in operands(pipe)
                )
            case IfNode() | WithNode() | RangeNode():
                # Its condition prints nothing, so only the two bodies count.
                inner, is_last = _cut(node.body)
                otherwise: tuple[Node, ...] = ()
                if not is_last:
                    otherwise, is_last = _cut(node.otherwise)
                node = replace(node, body=inner, otherwise=otherwise)
        kept.append(node)
        if is_last:
            return tuple(kept), True
    return tuple(kept), False
