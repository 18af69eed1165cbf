"""A tree and data to text. Bounded in depth, work and size, whatever the template does."""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from typing import Any

from gateway.golang.template.evaluate import Evaluator, boxed
from gateway.golang.template.formatting import VALUE, formatted
from gateway.golang.template.nodes import (
    Action,
    Break,
    Continue,
    If,
    Invoke,
    Node,
    Pipe,
    Range,
    Text,
    Tree,
    With,
)
from gateway.golang.template.printf import LONGEST
from gateway.golang.template.quoting import quote
from gateway.golang.template.values import Struct, octets, truth

# Work one execution may do, in nodes: a runaway ends in seconds, a long chat uses a fraction.
STEPS = 500_000


class _Leave(Enum):
    """How a body was left before its end."""

    BREAK = auto()
    CONTINUE = auto()


def execute(
    tree: Tree, data: Any, *, functions: Mapping[str, Callable[..., Any]], steps: int = STEPS
) -> str:
    """The text the template makes of the data; a result has no half characters.

    Raises TemplateError, e.g. `template: :1:5: executing "" at <.Foo>: …`; more work than `steps`
    is one of the errors.
    """
    run = _Run(tree, functions, steps)
    try:
        run.template(tree.name, tree.body, data)
    except RecursionError as deep:
        # Data of clients may be nested too deep to be printed.
        raise run.evaluator.error("value is nested too deep") from deep
    return octets("".join(run.out)).decode("utf-8", "replace")


class _Run:
    """One execution: the output so far, and the evaluator of its pipelines."""

    def __init__(self, tree: Tree, functions: Mapping[str, Callable[..., Any]], steps: int) -> None:
        self.out: list[str] = []
        self.evaluator = Evaluator(tree, functions, steps)
        self._tree = tree
        self._size = 0

    def _write(self, text: str) -> None:
        self._size += len(text)
        if self._size > LONGEST:
            raise self.evaluator.error("output is too long")
        self.out.append(text)

    # Nodes.

    def template(self, name: str, body: tuple[Node, ...], data: Any) -> None:
        """Execute one template's body with variables of its own."""
        outer = self.evaluator.name, self.evaluator.variables
        self.evaluator.name, self.evaluator.variables = name, [("$", data)]
        self._body(data, body)
        self.evaluator.name, self.evaluator.variables = outer

    def _body(self, dot: Any, nodes: Iterable[Node]) -> _Leave | None:
        self.evaluator.deeper()
        for node in nodes:
            self.evaluator.spend(1)
            left: _Leave | None = None
            match node:
                case Text():
                    self._write(node.text)
                case Action():
                    self._print(dot, node)
                case If() | With():
                    left = self._branch(dot, node)
                case Range():
                    left = self._range(dot, node)
                case Invoke():
                    self._invoke(dot, node)
                case Break():
                    left = _Leave.BREAK
                case Continue():
                    left = _Leave.CONTINUE
            if left:
                self.evaluator.shallower()
                return left
        self.evaluator.shallower()
        return None

    def _print(self, dot: Any, node: Action) -> None:
        value = self.evaluator.pipeline(dot, node.pipe)
        if node.pipe.variables:
            return
        if value is None:
            self._write("<no value>")
        else:
            self._write(value if isinstance(value, str) else formatted(value, VALUE))

    def _branch(self, dot: Any, node: If | With) -> _Leave | None:
        mark = len(self.evaluator.variables)
        value = self.evaluator.pipeline(dot, node.pipe)
        if truth(value):
            left = self._body(value if isinstance(node, With) else dot, node.body)
        else:
            left = self._body(dot, node.otherwise)
        del self.evaluator.variables[mark:]
        return left

    def _invoke(self, dot: Any, node: Invoke) -> None:
        self.evaluator.at = node
        body = self._tree.defines.get(node.name)
        if body is None and node.name == self._tree.name:
            body = self._tree.body
        if body is None:
            raise self.evaluator.error(f"template {quote(node.name)} not defined")
        value = self.evaluator.pipeline(dot, node.pipe) if node.pipe else None
        self.evaluator.at = node
        self.template(node.name, body, value)

    # Range.

    def _range(self, dot: Any, node: Range) -> _Leave | None:
        outer = len(self.evaluator.variables)
        value = self.evaluator.pipeline(dot, node.pipe)
        mark = len(self.evaluator.variables)
        ran = False
        for key, element in self._pairs(node, value):
            ran = True
            self.evaluator.spend(1)
            self._bind(node.pipe, key, element)
            left = self._body(element, node.body)
            del self.evaluator.variables[mark:]
            if left is _Leave.BREAK:
                break
        left = None if ran else self._body(dot, node.otherwise)
        del self.evaluator.variables[outer:]
        return left

    def _pairs(self, node: Range, value: Any) -> Iterable[tuple[Any, Any]]:
        """Keys and elements; for a number the elements alone."""
        match value:
            case None:
                return ()
            case Struct() | bool() | str() | float() | complex():
                pass
            case int():
                if len(node.pipe.variables) > 1:
                    raise self.evaluator.error(
                        f"can't use {value} to iterate over more than one variable"
                    )
                return ((None, number) for number in range(value))
            case Mapping():
                return ((key, boxed(value[key])) for key in sorted(value, key=str))
            case list() | tuple() | bytes():
                return ((place, boxed(item)) for place, item in enumerate(value))
        raise self.evaluator.error(f"range can't iterate over {formatted(value, VALUE)}")

    def _bind(self, pipe: Pipe, key: Any, element: Any) -> None:
        """Give the loop's variables their values: one takes the element, two key and element."""
        values = (key, element) if len(pipe.variables) > 1 else (element,)
        start = len(self.evaluator.variables) - len(pipe.variables)
        for place, (name, value) in enumerate(zip(pipe.variables, values, strict=False)):
            if pipe.assign:
                self.evaluator.assign(name, value)
            else:
                self.evaluator.variables[start + place] = (name, value)
