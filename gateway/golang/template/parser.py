"""Tokens to a syntax tree, with Go's grammar and Go's complaints.

The grammar needs up to three tokens of look-ahead, because a space is a token too.
"""

import re
from collections.abc import Collection
from enum import Enum

from gateway.golang.template.builtins import BUILTINS
from gateway.golang.template.lexer import Kind, Lexer, Token
from gateway.golang.template.nodes import (
    Action,
    Bool,
    Break,
    Chain,
    Command,
    Continue,
    Dot,
    Field,
    Identifier,
    If,
    Invoke,
    Nil,
    Node,
    Number,
    Operand,
    Pipe,
    Range,
    String,
    Text,
    Tree,
    Variable,
    With,
)
from gateway.golang.template.numerals import character, number
from gateway.golang.template.quoting import quote, unquote
from gateway.golang.template.shown import shown
from gateway.golang.template.stream import Stream

# How deep blocks and parentheses may nest. Far beyond any template for people, and small enough
# for a parser and an executor that call themselves.
DEEPEST = 100

_OPERANDS = {
    Kind.BOOL,
    Kind.COMPLEX,
    Kind.FIELD,
    Kind.IDENTIFIER,
    Kind.NUMBER,
    Kind.OPEN,
    Kind.RAW,
    Kind.RUNE,
    Kind.STRING,
    Kind.VARIABLE,
}
_VALUES = (Bool, Dot, Nil, Number, String)
_CONTROLS: dict[str, type[If | With | Range]] = {"if": If, "with": With, "range": Range}
_BLANK = re.compile(r"[ \t\r\n\v\f]*\Z")


class _Mark(Enum):
    """What ends a list of nodes."""

    END = "{{end}}"
    ELSE = "{{else}}"


def parse(text: str, *, functions: Collection[str]) -> Tree:
    """The tree of a template that may call the standard functions and those named.

    Raises TemplateError with Go's message, e.g. `template: :1: unclosed action`.
    """
    names = BUILTINS.keys() | set(functions)
    parser = _Parser(Lexer(text, functions), names, {})
    body = parser.whole()
    # A define may give the template itself a body, as long as it has none of its own.
    parser.add("", body)
    defines = dict(parser.trees)
    return Tree("", defines.pop(""), defines, text)


def is_empty(body: tuple[Node, ...]) -> bool:
    """Whether there is nothing but white space in a body: such a definition may be replaced."""
    return all(isinstance(node, Text) and _BLANK.match(node.text) for node in body)


def _keyword(token: Token, *words: str) -> bool:
    return token.kind is Kind.KEYWORD and token.text in words


class _Parser:
    """One definition's parser; those of inner definitions share lexer and trees."""

    def __init__(
        self, lexer: Lexer, names: Collection[str], trees: dict[str, tuple[Node, ...]]
    ) -> None:
        self.trees = trees
        self._tokens = Stream(lexer)
        self._names = names
        self._variables = ["$"]
        self._loops = 0
        self._depth = 0

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._tokens.error("max expression depth exceeded")

    # Definitions.

    def whole(self) -> tuple[Node, ...]:
        """The body of the text as a whole; its definitions go into `trees`."""
        nodes: list[Node] = []
        while self._tokens.peek().kind is not Kind.EOF:
            if self._tokens.peek().kind is Kind.LEFT:
                left = self._tokens.next()
                if _keyword(self._tokens.next_solid(), "define"):
                    self._inner().define()
                    continue
                self._tokens.back(left)
            node = self._node()
            if isinstance(node, _Mark):
                raise self._tokens.error(f"unexpected {node.value}")
            nodes.append(node)
        return tuple(nodes)

    def define(self) -> None:
        """A definition, from its name to its end."""
        context = "define clause"
        token = self._tokens.next_solid()
        if token.kind not in (Kind.STRING, Kind.RAW):
            raise self._tokens.unexpected(token, context)
        name = self._unquoted(token)
        self._tokens.expect(Kind.RIGHT, context)
        self.body(name, context)

    def body(self, name: str, context: str) -> None:
        """What belongs to a definition, up to its end."""
        nodes, mark = self._list()
        if mark is not _Mark.END:
            raise self._tokens.error(f"unexpected {mark.value} in {context}")
        self.add(name, nodes)

    def add(self, name: str, body: tuple[Node, ...]) -> None:
        """Keep a definition; of two with one name only one may have content."""
        if name not in self.trees or is_empty(self.trees[name]):
            self.trees[name] = body
        elif not is_empty(body):
            raise self._tokens.error(f"template: multiple definition of template {quote(name)}")

    def _inner(self) -> "_Parser":
        parser = _Parser(self._tokens.lexer, self._names, self.trees)
        parser._depth = self._depth
        return parser

    # Nodes.

    def _list(self) -> tuple[tuple[Node, ...], _Mark]:
        """Nodes up to an end or an else, and which of them it was."""
        self._deeper()
        nodes: list[Node] = []
        while self._tokens.peek_solid().kind is not Kind.EOF:
            node = self._node()
            if isinstance(node, _Mark):
                self._depth -= 1
                return tuple(nodes), node
            nodes.append(node)
        raise self._tokens.error("unexpected EOF")

    def _node(self) -> Node | _Mark:
        token = self._tokens.next_solid()
        if token.kind is Kind.TEXT:
            return Text(token.text, token.line, pos=token.pos)
        if token.kind is not Kind.LEFT:
            raise self._tokens.unexpected(token, "input")
        self._tokens.action_line = token.line
        try:
            return self._action()
        finally:
            self._tokens.action_line = 0

    def _action(self) -> Node | _Mark:
        token = self._tokens.next_solid()
        if token.kind is Kind.KEYWORD:
            match token.text:
                case "if" | "with" | "range":
                    return self._control(token.text)
                case "else":
                    return self._else()
                case "end":
                    self._tokens.expect(Kind.RIGHT, "end")
                    return _Mark.END
                case "break" | "continue":
                    return self._leave(token)
                case "template":
                    return self._template()
                case "block":
                    return self._block()
        self._tokens.back()
        token = self._tokens.peek()
        pipe = self._pipeline("command", Kind.RIGHT)
        return Action(pipe, token.line, pos=token.pos)

    def _control(self, context: str) -> Node:
        """If, with or range, after its word."""
        kept = len(self._variables)
        pipe = self._pipeline(context, Kind.RIGHT)
        self._loops += context == "range"
        body, mark = self._list()
        self._loops -= context == "range"
        otherwise: tuple[Node, ...] = ()
        if mark is _Mark.ELSE:
            otherwise = self._otherwise(context)
        del self._variables[kept:]
        kind = _CONTROLS[context]
        return kind(pipe, body, otherwise, pipe.line, pos=pipe.pos)

    def _otherwise(self, context: str) -> tuple[Node, ...]:
        if context != "range" and _keyword(self._tokens.peek(), context):
            self._tokens.next()
            self._deeper()
            nodes: tuple[Node, ...] = (self._control(context),)
            self._depth -= 1
            return nodes
        nodes, mark = self._list()
        if mark is not _Mark.END:
            raise self._tokens.error(f"expected end; found {mark.value}")
        return nodes

    def _else(self) -> _Mark:
        # `else if` and `else with` are left for the construct that they continue.
        if not _keyword(self._tokens.peek_solid(), "if", "with"):
            self._tokens.expect(Kind.RIGHT, "else")
        return _Mark.ELSE

    def _leave(self, word: Token) -> Node:
        shape = "{{" + word.text + "}}"
        token = self._tokens.next_solid()
        if token.kind is not Kind.RIGHT:
            raise self._tokens.unexpected(token, shape)
        if not self._loops:
            raise self._tokens.error(f"{shape} outside {{{{range}}}}")
        kind = Break if word.text == "break" else Continue
        return kind(word.line, pos=word.pos)

    def _template(self) -> Node:
        token = self._tokens.next_solid()
        name = self._name(token, "template clause")
        pipe = None
        if self._tokens.next_solid().kind is not Kind.RIGHT:
            self._tokens.back()
            pipe = self._pipeline("template clause", Kind.RIGHT)
        return Invoke(name, pipe, token.line, pos=token.pos)

    def _block(self) -> Node:
        context = "block clause"
        token = self._tokens.next_solid()
        name = self._name(token, context)
        pipe = self._pipeline(context, Kind.RIGHT)
        self._inner().body(name, context)
        return Invoke(name, pipe, token.line, pos=token.pos)

    def _name(self, token: Token, context: str) -> str:
        if token.kind not in (Kind.STRING, Kind.RAW):
            raise self._tokens.unexpected(token, context)
        return self._unquoted(token)

    # Pipelines.

    def _pipeline(self, context: str, end: Kind) -> Pipe:
        self._deeper()
        first = self._tokens.peek_solid()
        variables, assign = self._declarations(context)
        commands: list[Command] = []
        while (token := self._tokens.next_solid()).kind is not end:
            if token.kind not in _OPERANDS and not _keyword(token, ".", "nil"):
                raise self._tokens.unexpected(token, context)
            self._tokens.back()
            commands.append(self._command())
        if not commands:
            raise self._tokens.error(f"missing value for {context}")
        for stage, command in enumerate(commands[1:], start=2):
            if isinstance(command.operands[0], _VALUES):
                raise self._tokens.error(f"non executable command in pipeline stage {stage}")
        self._depth -= 1
        return Pipe(variables, assign, tuple(commands), first.line, pos=first.pos)

    def _declarations(self, context: str) -> tuple[tuple[str, ...], bool]:
        """The variables before `:=` or `=`, if any, and whether it was `=`."""
        found: list[str] = []
        while self._tokens.peek_solid().kind is Kind.VARIABLE:
            variable = self._tokens.next()
            adjacent = self._tokens.peek()
            following = self._tokens.peek_solid()
            if following.kind in (Kind.ASSIGN, Kind.DECLARE):
                self._tokens.next_solid()
                self._variables.append(variable.text)
                return (*found, variable.text), following.kind is Kind.ASSIGN
            if following.kind is not Kind.CHAR or following.text != ",":
                if adjacent.kind is Kind.SPACE:
                    self._tokens.back(adjacent, variable)
                else:
                    self._tokens.back(variable)
                break
            self._tokens.next_solid()
            found.append(variable.text)
            self._variables.append(variable.text)
            if context != "range" or len(found) > 1:
                raise self._tokens.error(f"too many declarations in {context}")
            if self._tokens.peek_solid().kind not in (Kind.VARIABLE, Kind.RIGHT, Kind.CLOSE):
                raise self._tokens.error("range can only initialize variables")
        return tuple(found), False

    def _command(self) -> Command:
        pos = self._tokens.peek_solid().pos
        operands: list[Operand] = []
        while True:
            self._tokens.peek_solid()
            operand = self._operand()
            if operand is not None:
                operands.append(operand)
            token = self._tokens.next()
            if token.kind is Kind.SPACE:
                continue
            if token.kind in (Kind.RIGHT, Kind.CLOSE):
                self._tokens.back()
            elif token.kind is not Kind.PIPE:
                raise self._tokens.unexpected(token, "operand")
            break
        if not operands:
            raise self._tokens.error("empty command")
        return Command(tuple(operands), pos=pos)

    def _operand(self) -> Operand | None:
        """A term and the fields after it; None where no term begins."""
        node = self._term()
        if node is None or self._tokens.peek().kind is not Kind.FIELD:
            return node
        pos = self._tokens.peek().pos
        names: list[str] = []
        while self._tokens.peek().kind is Kind.FIELD:
            names.append(self._tokens.next().text[1:])
        match node:
            case Field():
                return Field((*node.names, *names), pos=pos)
            case Variable():
                return Variable(node.name, (*node.names, *names), pos=pos)
            case Bool() | String() | Number() | Nil() | Dot():
                raise self._tokens.error(f"unexpected . after term {quote(shown(node))}")
        return Chain(node, tuple(names), pos=pos)

    def _term(self) -> Operand | None:
        token = self._tokens.next_solid()
        match token.kind:
            case Kind.IDENTIFIER:
                if token.text not in self._names:
                    raise self._tokens.error(f"function {quote(token.text)} not defined")
                return Identifier(token.text, pos=token.pos)
            case Kind.VARIABLE:
                if token.text not in self._variables:
                    raise self._tokens.error(f"undefined variable {quote(token.text)}")
                return Variable(token.text, (), pos=token.pos)
            case Kind.FIELD:
                return Field((token.text[1:],), pos=token.pos)
            case Kind.OPEN:
                return self._pipeline("parenthesized pipeline", Kind.CLOSE)
            case Kind.KEYWORD if token.text in (".", "nil"):
                return Dot(pos=token.pos) if token.text == "." else Nil(pos=token.pos)
        constant = self._constant(token)
        if constant is None:
            self._tokens.back()
        return constant

    def _constant(self, token: Token) -> Operand | None:
        match token.kind:
            case Kind.BOOL:
                return Bool(token.text == "true", pos=token.pos)
            case Kind.STRING | Kind.RAW:
                return String(self._unquoted(token), token.text, pos=token.pos)
            case Kind.RUNE | Kind.NUMBER | Kind.COMPLEX:
                read = character if token.kind is Kind.RUNE else number
                try:
                    return Number(token.text, read(token.text), pos=token.pos)
                except ValueError as bad:
                    raise self._tokens.error(str(bad)) from bad
        return None

    def _unquoted(self, token: Token) -> str:
        try:
            return unquote(token.text)
        except ValueError as bad:
            raise self._tokens.error(str(bad)) from bad
