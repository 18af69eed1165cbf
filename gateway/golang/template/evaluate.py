"""Pipelines to values, and the place to name when that fails."""

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from gateway.golang.template.builtins import BUILTINS
from gateway.golang.template.nodes import (
    Bool,
    Chain,
    Command,
    Dot,
    Field,
    Identifier,
    Invoke,
    Nil,
    Number,
    Operand,
    Pipe,
    String,
    Tree,
    Variable,
)
from gateway.golang.template.quoting import quote
from gateway.golang.template.shown import shown
from gateway.golang.template.values import (
    MISSING,
    Missing,
    Struct,
    TemplateError,
    octets,
    text_of,
    truth,
    type_name,
)

# Go allows templates to invoke each other a hundred thousand deep; none that ends needs this many.
DEEPEST = 150
# One step of work is one node, or this many characters that a function read or made.
STRIDE = 256

_NONE: Any = object()  # no value was piped in


@lru_cache(maxsize=256)
def _arity(function: Callable[..., Any]) -> tuple[int, bool]:
    """How many arguments a function needs, and whether it takes more."""
    kinds = [item.kind for item in inspect.signature(function).parameters.values()]
    more = inspect.Parameter.VAR_POSITIONAL in kinds
    return len(kinds) - more, more


class Evaluator:
    """The variables in sight, where we are, and what may still be spent.

    `name` is the template under execution, `at` the last node looked at.
    """

    def __init__(self, tree: Tree, functions: Mapping[str, Callable[..., Any]], steps: int) -> None:
        self.name = tree.name
        self.variables: list[tuple[str, Any]] = []
        self.at: Operand | Command | Invoke | None = None
        self._source = tree.source
        self._functions = {**BUILTINS, **functions}
        self._steps = steps
        self._depth = 0

    # Errors and limits.

    def error(self, message: str) -> TemplateError:
        """The message with the place of the last node looked at."""
        node = self.at
        if node is None:
            return TemplateError(f"template: {self.name}: {message}")
        before = self._source[: node.pos]
        line = before.count("\n") + 1
        column = len(octets(before[before.rfind("\n") + 1 :]))
        if isinstance(node, Invoke):
            pipe = f" {shown(node.pipe)}" if node.pipe else ""
            context = f"{{{{template {quote(node.name)}{pipe}}}}}"
        else:
            context = shown(node)
        place = f"template: :{line}:{column}: executing {quote(self.name)} at <{context}>"
        return TemplateError(f"{place}: {message}")

    def spend(self, steps: int) -> None:
        """Account for some work."""
        self._steps -= steps
        if self._steps < 0:
            raise self.error("template takes too long")

    def deeper(self) -> None:
        """One level further in; `shallower` is the way back."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise self.error(f"exceeded maximum template depth ({DEEPEST})")

    def shallower(self) -> None:
        """One level back."""
        self._depth -= 1

    # Variables.

    def assign(self, name: str, value: Any) -> None:
        """Give a variable in sight, the innermost of the name, a new value."""
        for place in range(len(self.variables) - 1, -1, -1):
            if self.variables[place][0] == name:
                self.variables[place] = (name, value)
                return
        raise self.error(f"undefined variable: {name}")

    def _lookup(self, name: str) -> Any:
        for known, value in reversed(self.variables):
            if known == name:
                return value
        raise self.error(f"undefined variable: {name}")

    # Pipelines and commands.

    def pipeline(self, dot: Any, pipe: Pipe) -> Any:
        """The value of a pipeline; None for one that is nothing, or a nil out of a map."""
        self.at = pipe
        self.deeper()
        value = _NONE
        for command in pipe.commands:
            self.spend(1)
            value = self._command(dot, command, value)
            if isinstance(value, Missing):
                value = None
        for name in pipe.variables:
            if pipe.assign:
                self.assign(name, value)
            else:
                self.variables.append((name, value))
        self.shallower()
        return value

    def _command(self, dot: Any, command: Command, final: Any) -> Any:
        first = command.operands[0]
        match first:
            case Field() | Variable() | Chain():
                return self._chained(dot, first, command.operands, final)
            case Identifier():
                return self._function(dot, first, command, command.operands, final)
            case Pipe():
                self._no_arguments(command.operands, final)
                return self.pipeline(dot, first)
        self.at = first
        self._no_arguments(command.operands, final)
        if isinstance(first, Nil):
            raise self.error("nil is not a command")
        return self._constant(dot, first)

    def _no_arguments(self, operands: tuple[Operand, ...], final: Any) -> None:
        if len(operands) > 1 or final is not _NONE:
            raise self.error(f"can't give argument to non-function {shown(operands[0])}")

    def _constant(self, dot: Any, node: Dot | Bool | Number | String | Nil) -> Any:
        match node:
            case Dot():
                return dot
            case Nil():
                return None
            case Number():
                if isinstance(node.value, int) and not -(1 << 63) <= node.value < 1 << 63:
                    raise self.error(f"{node.text} overflows int")
                return node.value
            case Bool() | String():
                return node.value

    def _argument(self, dot: Any, node: Operand) -> Any:
        """The value of an operand that stands as an argument, or before names."""
        self.at = node
        match node:
            case Field() | Variable() | Chain():
                return self._chained(dot, node, (), _NONE)
            case Identifier():
                return self._function(dot, node, node, (), _NONE)
            case Pipe():
                return self.pipeline(dot, node)
        return self._constant(dot, node)

    # Fields.

    def _chained(
        self,
        dot: Any,
        node: Field | Variable | Chain,
        operands: tuple[Operand, ...],
        final: Any,
    ) -> Any:
        """Field after field; only the last may be a method with arguments."""
        self.at = node
        match node:
            case Field():
                value = dot
            case Variable():
                value = self._lookup(node.name)
                if not node.names:
                    self._no_arguments(operands or (node,), final)
            case Chain():
                if isinstance(node.operand, Nil):
                    raise self.error(f"indirection through explicit nil in {shown(node)}")
                value = self._argument(dot, node.operand)
        given = max(len(operands) - 1, 0) + (final is not _NONE)
        inner = False
        for place, name in enumerate(node.names, start=1):
            last = place == len(node.names)
            inside = value
            value = self._field(value, name, given if last else 0, out_of_map=inner)
            inner = isinstance(inside, Mapping)
        return value

    def _field(self, receiver: Any, name: str, given: int, *, out_of_map: bool) -> Any:
        """A method, field or entry.

        `given` counts the arguments; a receiver `out_of_map` has no type of its own in errors.
        """
        if receiver is None:
            return None
        if isinstance(receiver, Missing):
            raise self.error(f"nil pointer evaluating interface {{}}.{name}")
        if name == "String" and (text := text_of(receiver)) is not None:
            if given:
                raise self.error(f"wrong number of args for String: want 0 got {given}")
            return text
        if isinstance(receiver, Struct):
            fields = receiver.fields
            if name in fields:
                if given:
                    raise self.error(f"{name} has arguments but cannot be invoked as function")
                return boxed(fields[name])
        elif isinstance(receiver, Mapping):
            if given:
                raise self.error(f"{name} is not a method but has arguments")
            return boxed(receiver.get(name))
        kind = "interface {}" if out_of_map else type_name(receiver)
        raise self.error(f"can't evaluate field {name} in type {kind}")

    # Functions.

    def _function(
        self,
        dot: Any,
        node: Identifier,
        whole: Command | Identifier,
        operands: tuple[Operand, ...],
        final: Any,
    ) -> Any:
        self.at = node
        name, arguments = node.name, operands[1:]
        function = self._functions.get(name)
        if function is None:
            raise self.error(f"{quote(name)} is not a defined function")
        self._check_count(name, function, len(arguments), final)
        if name in ("and", "or") and function is BUILTINS[name]:
            return self._logic(dot, name, arguments, final)
        values = self._values(dot, name, arguments, final)
        if name == "call":
            values = [shown(arguments[0]) if arguments else "", *values]
        try:
            result = function(*values)
        except TemplateError as bad:
            self.at = whole
            raise self.error(f"error calling {name}: {bad}") from bad
        self.spend(sum(len(item) for item in (*values, result) if isinstance(item, str)) // STRIDE)
        return result

    def _check_count(self, name: str, function: Callable[..., Any], count: int, final: Any) -> None:
        least, more = (1, True) if name == "call" else _arity(function)
        given = count + (final is not _NONE)
        if more and given < least:
            raise self.error(f"wrong number of args for {name}: want at least {least} got {count}")
        if not more and given != least:
            raise self.error(f"wrong number of args for {name}: want {least} got {given}")

    def _values(self, dot: Any, name: str, arguments: tuple[Operand, ...], final: Any) -> list[Any]:
        values = []
        for place, node in enumerate(arguments):
            if name == "printf" and place == 0 and isinstance(node, Number | Bool):
                self.at = node
                raise self.error(f"expected string; found {shown(node)}")
            values.append(self._argument(dot, node))
        if final is not _NONE:
            values.append(final)
        if name == "printf" and not isinstance(values[0], str):
            self._not_text(arguments, values[0])
        return values

    def _not_text(self, arguments: tuple[Operand, ...], value: Any) -> None:
        """Complain about a format that is no string."""
        if arguments and isinstance(arguments[0], Nil):
            raise self.error("cannot assign nil to string")
        if value is None:
            raise self.error("invalid value; expected string")
        raise self.error(f"wrong type for value; expected string; got {type_name(value)}")

    def _logic(self, dot: Any, name: str, arguments: tuple[Operand, ...], final: Any) -> Any:
        """`and` and `or`: operands are evaluated up to the one that decides, which is returned."""
        value: Any = None
        for node in arguments:
            value = self._argument(dot, node)
            if truth(value) == (name == "or"):
                return value
        return value if final is _NONE else final


def boxed(value: Any) -> Any:
    """A value as a map or list holds it: nil there is a nil of interface type."""
    return MISSING if value is None else value
