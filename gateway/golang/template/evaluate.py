"""Pipelines to values. Errors name the template, line, column and node, as Go's do."""

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache

from gateway.golang.strconv import quote
from gateway.golang.template.builtins import BUILTINS
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
    TemplateNode,
    Tree,
    VariableNode,
)
from gateway.golang.template.unparse import unparse
from gateway.golang.values import (
    MISSING,
    GoStruct,
    MissingValue,
    TemplateError,
    string_method,
    truth,
    type_name,
    utf8,
)

# Templates come from other people's model files, so steps and depth are counted: a runaway must not
# hold up the requests of everybody else.
#
# Go allows templates to invoke each other a hundred thousand deep; none that ends needs this many.
MAX_DEPTH = 150
# One step of work is one node, or this many characters that a function read or made.
STEP_CHARACTERS = 256

_NONE = object()
"""Stands for a piped value where there is none; None would be Go's nil."""


# `inspect` is slow, and loops call the same few functions again and again.
@lru_cache(maxsize=256)
def _arity(function: Callable[..., object]) -> tuple[int, bool]:
    """How many arguments a function needs, and whether it takes more."""
    kinds = [item.kind for item in inspect.signature(function).parameters.values()]
    more = inspect.Parameter.VAR_POSITIONAL in kinds
    return len(kinds) - more, more


class Evaluator:
    """The variables in sight, the node under evaluation, and the steps that are left.

    `name` is the template under execution, `at` the last node looked at.
    """

    def __init__(
        self, tree: Tree, functions: Mapping[str, Callable[..., object]], steps: int
    ) -> None:
        self.name = tree.name
        self.variables: list[tuple[str, object]] = []
        self.at: Operand | CommandNode | TemplateNode | None = None
        self._source = tree.source
        self._functions = {**BUILTINS, **functions}
        self._steps = steps
        self._depth = 0

    def error(self, message: str) -> TemplateError:
        """The error with Go's line, column and text of the last node looked at."""
        node = self.at
        if node is None:
            return TemplateError(f"template: {self.name}: {message}")
        before = self._source[: node.pos]
        line = before.count("\n") + 1
        column = len(utf8(before[before.rfind("\n") + 1 :]))
        if isinstance(node, TemplateNode):
            pipe = f" {unparse(node.pipe)}" if node.pipe else ""
            context = f"{{{{template {quote(node.name)}{pipe}}}}}"
        else:
            context = unparse(node)
        place = f"template: :{line}:{column}: executing {quote(self.name)} at <{context}>"
        return TemplateError(f"{place}: {message}")

    def spend(self, steps: int) -> None:
        """Count some work; TemplateError when all that was allowed is done."""
        self._steps -= steps
        if self._steps < 0:
            raise self.error("template takes too long")

    def deeper(self) -> None:
        """Count one level further in; `shallower` is the way back."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.error(f"exceeded maximum template depth ({MAX_DEPTH})")

    def shallower(self) -> None:
        self._depth -= 1

    def assign(self, name: str, value: object) -> None:
        """Give a variable in sight, the innermost of the name, a new value."""
        for place in range(len(self.variables) - 1, -1, -1):
            if self.variables[place][0] == name:
                self.variables[place] = (name, value)
                return
        raise self.error(f"undefined variable: {name}")

    def pipeline(self, dot: object, pipe: PipeNode) -> object:
        """The value of a pipeline; None for one that is nothing, or a nil out of a map."""
        self.at = pipe
        self.deeper()
        value = _NONE
        for command in pipe.commands:
            self.spend(1)
            first, operands = command.operands[0], command.operands
            match first:
                case FieldNode() | VariableNode() | ChainNode():
                    value = self._chained(dot, first, operands, value)
                case IdentifierNode():
                    value = self._function(dot, first, command, operands, value)
                case PipeNode():
                    self._no_arguments(operands, value)
                    value = self.pipeline(dot, first)
                case _:
                    self.at = first
                    self._no_arguments(operands, value)
                    if isinstance(first, NilNode):
                        raise self.error("nil is not a command")
                    value = self._constant(dot, first)
            if isinstance(value, MissingValue):
                value = None
        for name in pipe.variables:
            if pipe.assign:
                self.assign(name, value)
            else:
                self.variables.append((name, value))
        self.shallower()
        return value

    def _no_arguments(self, operands: tuple[Operand, ...], final: object) -> None:
        if len(operands) > 1 or final is not _NONE:
            raise self.error(f"can't give argument to non-function {unparse(operands[0])}")

    def _constant(
        self, dot: object, node: DotNode | BoolNode | NumberNode | StringNode | NilNode
    ) -> object:
        match node:
            case DotNode():
                return dot
            case NilNode():
                return None
            case NumberNode():
                if isinstance(node.value, int) and not -(1 << 63) <= node.value < 1 << 63:
                    raise self.error(f"{node.text} overflows int")
                return node.value
            case BoolNode() | StringNode():
                return node.value

    def _argument(self, dot: object, node: Operand) -> object:
        """The value of an operand that stands as an argument, or before names."""
        self.at = node
        match node:
            case FieldNode() | VariableNode() | ChainNode():
                return self._chained(dot, node, (), _NONE)
            case IdentifierNode():
                return self._function(dot, node, node, (), _NONE)
            case PipeNode():
                return self.pipeline(dot, node)
        return self._constant(dot, node)

    def _chained(
        self,
        dot: object,
        node: FieldNode | VariableNode | ChainNode,
        operands: tuple[Operand, ...],
        final: object,
    ) -> object:
        """Field after field; only the last may be a method with arguments."""
        self.at = node
        match node:
            case FieldNode():
                value = dot
            case VariableNode():
                visible = (held for name, held in reversed(self.variables) if name == node.name)
                value = next(visible, _NONE)
                if value is _NONE:
                    raise self.error(f"undefined variable: {node.name}")
                if not node.names:
                    self._no_arguments(operands or (node,), final)
            case ChainNode():
                if isinstance(node.operand, NilNode):
                    raise self.error(f"indirection through explicit nil in {unparse(node)}")
                value = self._argument(dot, node.operand)
        arguments = max(len(operands) - 1, 0) + (final is not _NONE)
        from_map = False
        for place, name in enumerate(node.names, start=1):
            last = place == len(node.names)
            receiver = value
            value = self._field(receiver, name, arguments if last else 0, from_map=from_map)
            from_map = isinstance(receiver, Mapping)
        return value

    def _field(self, receiver: object, name: str, arguments: int, *, from_map: bool) -> object:
        """The method, field or entry `name` of a value; only a method may have arguments."""
        if receiver is None:
            return None
        if isinstance(receiver, MissingValue):
            raise self.error(f"nil pointer evaluating interface {{}}.{name}")
        if name == "String" and (text := string_method(receiver)) is not None:
            if arguments:
                raise self.error(f"wrong number of args for String: want 0 got {arguments}")
            return text
        if isinstance(receiver, GoStruct):
            fields = receiver.fields
            if name in fields:
                if arguments:
                    raise self.error(f"{name} has arguments but cannot be invoked as function")
                return boxed(fields[name])
        elif isinstance(receiver, Mapping):
            if arguments:
                raise self.error(f"{name} is not a method but has arguments")
            return boxed(receiver.get(name))
        # A map's values are of interface type in Go, whatever they hold.
        kind = "interface {}" if from_map else type_name(receiver)
        raise self.error(f"can't evaluate field {name} in type {kind}")

    def _function(
        self,
        dot: object,
        node: IdentifierNode,
        whole: CommandNode | IdentifierNode,
        operands: tuple[Operand, ...],
        final: object,
    ) -> object:
        self.at = node
        name, arguments = node.name, operands[1:]
        function = self._functions.get(name)
        if function is None:
            raise self.error(f"{quote(name)} is not a defined function")
        least, more = _arity(function)
        given = len(arguments) + (final is not _NONE)
        if more and given < least:
            # Go leaves the piped value out of the count in this message alone.
            raise self.error(
                f"wrong number of args for {name}: want at least {least} got {len(arguments)}"
            )
        if not more and given != least:
            raise self.error(f"wrong number of args for {name}: want {least} got {given}")
        # A program may have functions of these names, which get all their arguments.
        if name in ("and", "or") and function is BUILTINS[name]:
            # Operands are evaluated up to the one that decides, which is the result.
            decided: object = None
            for operand in arguments:
                decided = self._argument(dot, operand)
                if truth(decided) == (name == "or"):
                    return decided
            return decided if final is _NONE else final
        values = self._values(dot, name, arguments, final)
        try:
            result = function(*values)
        except TemplateError as bad:
            self.at = whole  # Go shows the call with its arguments here, and only here
            raise self.error(f"error calling {name}: {bad}") from bad
        # Few nodes can do much work: `print $x $x` doubles a text.
        self.spend(
            sum(len(item) for item in (*values, result) if isinstance(item, str)) // STEP_CHARACTERS
        )
        return result

    def _values(
        self, dot: object, name: str, arguments: tuple[Operand, ...], final: object
    ) -> list[object]:
        values: list[object] = []
        for place, node in enumerate(arguments):
            if name == "printf" and place == 0 and isinstance(node, NumberNode | BoolNode):
                self.at = node
                raise self.error(f"expected string; found {unparse(node)}")
            values.append(self._argument(dot, node))
        if final is not _NONE:
            values.append(final)
        # The one function of ours whose first argument has a type in Go, checked before the call.
        if name == "printf" and not isinstance(values[0], str):
            if arguments and isinstance(arguments[0], NilNode):
                raise self.error("cannot assign nil to string")
            if values[0] is None:
                raise self.error("invalid value; expected string")
            raise self.error(f"wrong type for value; expected string; got {type_name(values[0])}")
        return values


def boxed(value: object) -> object:
    """A value as a map or list holds it: nil there is a nil of interface type."""
    return MISSING if value is None else value
