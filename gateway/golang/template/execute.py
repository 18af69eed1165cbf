"""A tree and data to text. Bounded in depth, work and size, whatever the template does."""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto

from gateway.golang.fmt import MAX_RESULT, format_value
from gateway.golang.strconv import quote
from gateway.golang.template.evaluate import Evaluator, boxed
from gateway.golang.template.nodes import (
    ActionNode,
    BreakNode,
    ContinueNode,
    IfNode,
    Node,
    RangeNode,
    TemplateNode,
    TextNode,
    Tree,
    WithNode,
)
from gateway.golang.values import GoStruct, truth, utf8

# Work one execution may do, in nodes: a runaway ends in seconds, a long chat uses a fraction.
STEPS = 500_000


class _LoopExit(Enum):
    BREAK = auto()
    CONTINUE = auto()


def execute(
    tree: Tree, data: object, *, functions: Mapping[str, Callable[..., object]], steps: int = STEPS
) -> str:
    """The text the template makes of the data; a result has no half characters.

    Raises TemplateError, e.g. `template: :1:5: executing "" at <.Foo>: …`; more work than `steps`
    is one of the errors.
    """
    run = _Execution(tree, functions, steps)
    try:
        run.template(tree.name, tree.body, data)
    except RecursionError as deep:
        # Printing is recursive, and a client's data may be nested deeper than Python's stack.
        raise run.evaluator.error("value is nested too deep") from deep
    return utf8("".join(run.out)).decode("utf-8", "replace")


class _Execution:
    """One execution: the output so far, and the evaluator of its pipelines."""

    def __init__(
        self, tree: Tree, functions: Mapping[str, Callable[..., object]], steps: int
    ) -> None:
        self.out: list[str] = []
        self.evaluator = Evaluator(tree, functions, steps)
        self._tree = tree
        self._size = 0

    def _write(self, text: str) -> None:
        self._size += len(text)
        if self._size > MAX_RESULT:
            raise self.evaluator.error("output is too long")
        self.out.append(text)

    def template(self, name: str, body: tuple[Node, ...], data: object) -> None:
        """Execute one template's body with variables of its own."""
        outer = self.evaluator.name, self.evaluator.variables
        self.evaluator.name, self.evaluator.variables = name, [("$", data)]
        self._body(data, body)
        self.evaluator.name, self.evaluator.variables = outer

    def _body(self, dot: object, nodes: Iterable[Node]) -> _LoopExit | None:
        self.evaluator.deeper()
        for node in nodes:
            self.evaluator.spend(1)
            left: _LoopExit | None = None
            match node:
                case TextNode():
                    self._write(node.text)
                case ActionNode():
                    value = self.evaluator.pipeline(dot, node.pipe)
                    if node.pipe.variables:
                        pass  # a value that is assigned is not printed
                    elif value is None:
                        self._write("<no value>")
                    else:
                        self._write(value if isinstance(value, str) else format_value(value))
                case IfNode() | WithNode():
                    mark = len(self.evaluator.variables)
                    value = self.evaluator.pipeline(dot, node.pipe)
                    if truth(value):
                        left = self._body(value if isinstance(node, WithNode) else dot, node.body)
                    else:
                        left = self._body(dot, node.otherwise)
                    del self.evaluator.variables[mark:]
                case RangeNode():
                    left = self._range(dot, node)
                case TemplateNode():
                    self._invoke(dot, node)
                case BreakNode():  # unwinds the bodies up to the next loop
                    left = _LoopExit.BREAK
                case ContinueNode():
                    left = _LoopExit.CONTINUE
            if left:
                self.evaluator.shallower()
                return left
        self.evaluator.shallower()
        return None

    def _invoke(self, dot: object, node: TemplateNode) -> None:
        self.evaluator.at = node
        body = self._tree.defines.get(node.name)
        if body is None and node.name == self._tree.name:
            body = self._tree.body
        if body is None:
            raise self.evaluator.error(f"template {quote(node.name)} not defined")
        value = self.evaluator.pipeline(dot, node.pipe) if node.pipe else None
        self.evaluator.at = node  # for the error of a template that is too deep
        self.template(node.name, body, value)

    def _range(self, dot: object, node: RangeNode) -> _LoopExit | None:
        outer = len(self.evaluator.variables)
        value = self.evaluator.pipeline(dot, node.pipe)
        mark = len(self.evaluator.variables)
        ran = False
        for key, element in self._pairs(node, value):
            ran = True
            self.evaluator.spend(1)
            # One variable takes the element, two take key and element.
            variables = node.pipe.variables
            values = (key, element)[-len(variables) :] if variables else ()
            for place, (name, bound) in enumerate(zip(variables, values, strict=True)):
                if node.pipe.assign:
                    self.evaluator.assign(name, bound)
                else:
                    self.evaluator.variables[mark - len(variables) + place] = (name, bound)
            left = self._body(element, node.body)
            del self.evaluator.variables[mark:]
            if left is _LoopExit.BREAK:
                break
        left = None if ran else self._body(dot, node.otherwise)
        del self.evaluator.variables[outer:]
        return left

    def _pairs(self, node: RangeNode, value: object) -> Iterable[tuple[object, object]]:
        """Keys and elements; for a number the elements alone."""
        match value:
            case None:
                return ()
            case GoStruct() | bool() | str() | float():
                pass
            case int():
                if len(node.pipe.variables) > 1:
                    raise self.evaluator.error(
                        f"can't use {value} to iterate over more than one variable"
                    )
                return ((None, number) for number in range(value))
            case Mapping():
                # Go's own maps have no order; its templates walk them by their keys.
                return ((key, boxed(value[key])) for key in sorted(value, key=str))
            case list() | tuple() | bytes():
                return ((place, boxed(item)) for place, item in enumerate(value))
        raise self.evaluator.error(f"range can't iterate over {format_value(value)}")
