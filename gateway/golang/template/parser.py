"""Tokens to a syntax tree, with Go's grammar and Go's error messages.

The grammar needs up to three tokens of look-ahead, because a space is a token too.
"""

import re
from collections.abc import Collection
from enum import Enum

from gateway.golang.strconv import quote, unquote, unquote_char
from gateway.golang.template.builtins import BUILTINS, UNSUPPORTED
from gateway.golang.template.lexer import Lexer, Token, TokenKind
from gateway.golang.template.literals import parse_number
from gateway.golang.template.nodes import (
    ActionNode,
    BoolNode,
    BreakNode,
    ChainNode,
    CommandNode,
    ContinueNode,
    DotNode,
    FieldNode,
    IdentifierNode,
    IfNode,
    NilNode,
    Node,
    NumberNode,
    Operand,
    PipeNode,
    RangeNode,
    StringNode,
    TemplateNode,
    TextNode,
    Tree,
    VariableNode,
    WithNode,
)
from gateway.golang.template.token_stream import TokenStream
from gateway.golang.template.unparse import unparse

# How deep blocks and parentheses may nest. Far beyond any template for people, and small enough
# for a parser and an executor that call themselves.
MAX_NESTING = 100

_OPERANDS = {
    TokenKind.BOOL,
    TokenKind.FIELD,
    TokenKind.IDENTIFIER,
    TokenKind.NUMBER,
    TokenKind.OPEN,
    TokenKind.RAW,
    TokenKind.RUNE,
    TokenKind.STRING,
    TokenKind.VARIABLE,
}
# Kinds of nodes that take no argument, so nothing can be piped into them.
_VALUES = (BoolNode, DotNode, NilNode, NumberNode, StringNode)
_CONTROLS: dict[str, type[IfNode | WithNode | RangeNode]] = {
    "if": IfNode,
    "with": WithNode,
    "range": RangeNode,
}
_BLANK = re.compile(r"[ \t\r\n\v\f]*\Z")


class _ListEnd(Enum):
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
    return all(isinstance(node, TextNode) and _BLANK.match(node.text) for node in body)


def _keyword(token: Token, *words: str) -> bool:
    return token.kind is TokenKind.KEYWORD and token.text in words


class _Parser:
    """One definition's parser; those of inner definitions share lexer and trees."""

    def __init__(
        self, lexer: Lexer, names: Collection[str], trees: dict[str, tuple[Node, ...]]
    ) -> None:
        self.trees = trees
        self._tokens = TokenStream(lexer)
        self._names = names
        # Definitions do not see the variables around them, but all have `$`.
        self._variables = ["$"]
        self._loops = 0
        self._depth = 0

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self._tokens.error("max expression depth exceeded")

    def whole(self) -> tuple[Node, ...]:
        """The body of the text as a whole; its definitions go into `trees`."""
        nodes: list[Node] = []
        while self._tokens.peek().kind is not TokenKind.EOF:
            if self._tokens.peek().kind is TokenKind.LEFT:
                left = self._tokens.next()
                if _keyword(self._tokens.next_solid(), "define"):
                    self._inner().define()
                    continue
                self._tokens.back(left)
            node = self._node()
            if isinstance(node, _ListEnd):
                raise self._tokens.error(f"unexpected {node.value}")
            nodes.append(node)
        return tuple(nodes)

    def define(self) -> None:
        """A definition, from its name to its end."""
        context = "define clause"
        name = self._name(self._tokens.next_solid(), context)
        self._tokens.expect(TokenKind.RIGHT, context)
        self.body(name, context)

    def body(self, name: str, context: str) -> None:
        """The nodes of a definition, up to its end."""
        nodes, mark = self._list()
        if mark is not _ListEnd.END:
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
        # Nesting counts across definitions: a block within a block is recursion here, too.
        parser._depth = self._depth
        return parser

    def _list(self) -> tuple[tuple[Node, ...], _ListEnd]:
        """Nodes up to an end or an else, and which of them it was."""
        self._deeper()
        nodes: list[Node] = []
        while self._tokens.peek_solid().kind is not TokenKind.EOF:
            node = self._node()
            if isinstance(node, _ListEnd):
                self._depth -= 1
                return tuple(nodes), node
            nodes.append(node)
        raise self._tokens.error("unexpected EOF")

    def _node(self) -> Node | _ListEnd:
        token = self._tokens.next_solid()
        if token.kind is TokenKind.TEXT:
            return TextNode(token.text, token.line, pos=token.pos)
        if token.kind is not TokenKind.LEFT:
            raise self._tokens.unexpected(token, "input")
        self._tokens.action_line = token.line
        try:
            return self._action()
        finally:
            self._tokens.action_line = 0

    def _action(self) -> Node | _ListEnd:
        token = self._tokens.next_solid()
        if token.kind is TokenKind.KEYWORD:
            match token.text:
                case "if" | "with" | "range":
                    return self._control(token.text)
                case "else":
                    # `else if` and `else with` are left for the construct that they continue.
                    if not _keyword(self._tokens.peek_solid(), "if", "with"):
                        self._tokens.expect(TokenKind.RIGHT, "else")
                    return _ListEnd.ELSE
                case "end":
                    self._tokens.expect(TokenKind.RIGHT, "end")
                    return _ListEnd.END
                case "break" | "continue":
                    shape = "{{" + token.text + "}}"
                    after = self._tokens.next_solid()
                    if after.kind is not TokenKind.RIGHT:
                        raise self._tokens.unexpected(after, shape)
                    if not self._loops:
                        raise self._tokens.error(f"{shape} outside {{{{range}}}}")
                    kind = BreakNode if token.text == "break" else ContinueNode
                    return kind(token.line, pos=token.pos)
                case "template":
                    token = self._tokens.next_solid()
                    name = self._name(token, "template clause")
                    argument = None
                    if self._tokens.next_solid().kind is not TokenKind.RIGHT:
                        self._tokens.back()
                        argument = self._pipeline("template clause", TokenKind.RIGHT)
                    return TemplateNode(name, argument, token.line, pos=token.pos)
                case "block":
                    # A definition, and an invocation in its place.
                    token = self._tokens.next_solid()
                    name = self._name(token, "block clause")
                    pipe = self._pipeline("block clause", TokenKind.RIGHT)
                    self._inner().body(name, "block clause")
                    return TemplateNode(name, pipe, token.line, pos=token.pos)
        self._tokens.back()
        token = self._tokens.peek()
        pipe = self._pipeline("command", TokenKind.RIGHT)
        return ActionNode(pipe, token.line, pos=token.pos)

    def _control(self, context: str) -> Node:
        """If, with or range, after its word."""
        kept = len(self._variables)
        pipe = self._pipeline(context, TokenKind.RIGHT)
        self._loops += context == "range"
        body, mark = self._list()
        self._loops -= context == "range"
        otherwise: tuple[Node, ...] = ()
        if mark is _ListEnd.ELSE:
            if context != "range" and _keyword(self._tokens.peek(), context):
                # `else if` and `else with` share the end of the whole.
                self._tokens.next()
                self._deeper()
                otherwise = (self._control(context),)
                self._depth -= 1
            else:
                otherwise, mark = self._list()
                if mark is not _ListEnd.END:
                    raise self._tokens.error(f"expected end; found {mark.value}")
        del self._variables[kept:]
        kind = _CONTROLS[context]
        return kind(pipe, body, otherwise, pipe.line, pos=pipe.pos)

    def _name(self, token: Token, context: str) -> str:
        if token.kind not in (TokenKind.STRING, TokenKind.RAW):
            raise self._tokens.unexpected(token, context)
        return self._unquoted(token)

    def _pipeline(self, context: str, end: TokenKind) -> PipeNode:
        self._deeper()
        first = self._tokens.peek_solid()
        variables, assign = self._declarations(context)
        commands: list[CommandNode] = []
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
        return PipeNode(variables, assign, tuple(commands), first.line, pos=first.pos)

    def _declarations(self, context: str) -> tuple[tuple[str, ...], bool]:
        """The variables before `:=` or `=`, if any, and whether it was `=`."""
        names: list[str] = []
        while self._tokens.peek_solid().kind is TokenKind.VARIABLE:
            variable = self._tokens.next()
            adjacent = self._tokens.peek()
            following = self._tokens.peek_solid()
            if following.kind in (TokenKind.ASSIGN, TokenKind.DECLARE):
                self._tokens.next_solid()
                self._variables.append(variable.text)
                return (*names, variable.text), following.kind is TokenKind.ASSIGN
            if following.kind is not TokenKind.CHAR or following.text != ",":
                # Not a declaration. The space counts again: `$x .A` are two operands, `$x.A` one.
                if adjacent.kind is TokenKind.SPACE:
                    self._tokens.back(adjacent, variable)
                else:
                    self._tokens.back(variable)
                break
            self._tokens.next_solid()
            names.append(variable.text)
            self._variables.append(variable.text)
            if context != "range" or len(names) > 1:
                raise self._tokens.error(f"too many declarations in {context}")
            if self._tokens.peek_solid().kind not in (
                TokenKind.VARIABLE,
                TokenKind.RIGHT,
                TokenKind.CLOSE,
            ):
                raise self._tokens.error("range can only initialize variables")
        return tuple(names), False

    def _command(self) -> CommandNode:
        pos = self._tokens.peek_solid().pos
        operands: list[Operand] = []
        while True:
            self._tokens.peek_solid()
            operand = self._operand()
            if operand is not None:
                operands.append(operand)
            token = self._tokens.next()
            if token.kind is TokenKind.SPACE:
                continue
            if token.kind in (TokenKind.RIGHT, TokenKind.CLOSE):
                self._tokens.back()
            elif token.kind is not TokenKind.PIPE:
                raise self._tokens.unexpected(token, "operand")
            break
        if not operands:
            raise self._tokens.error("empty command")
        return CommandNode(tuple(operands), pos=pos)

    def _operand(self) -> Operand | None:
        """A term and the fields after it; None where no term begins."""
        node = self._term()
        if node is None or self._tokens.peek().kind is not TokenKind.FIELD:
            return node
        pos = self._tokens.peek().pos
        names: list[str] = []
        while self._tokens.peek().kind is TokenKind.FIELD:
            names.append(self._tokens.next().text[1:])
        match node:
            case FieldNode():
                return FieldNode((*node.names, *names), pos=pos)
            case VariableNode():
                return VariableNode(node.name, (*node.names, *names), pos=pos)
            case BoolNode() | StringNode() | NumberNode() | NilNode() | DotNode():
                raise self._tokens.error(f"unexpected . after term {quote(unparse(node))}")
        return ChainNode(node, tuple(names), pos=pos)

    def _term(self) -> Operand | None:
        token = self._tokens.next_solid()
        match token.kind:
            case TokenKind.IDENTIFIER:
                if token.text in UNSUPPORTED and token.text not in self._names:
                    raise self._tokens.error(f"function {quote(token.text)} is not supported")
                if token.text not in self._names:
                    raise self._tokens.error(f"function {quote(token.text)} not defined")
                return IdentifierNode(token.text, pos=token.pos)
            case TokenKind.VARIABLE:
                if token.text not in self._variables:
                    raise self._tokens.error(f"undefined variable {quote(token.text)}")
                return VariableNode(token.text, (), pos=token.pos)
            case TokenKind.FIELD:
                return FieldNode((token.text[1:],), pos=token.pos)
            case TokenKind.OPEN:
                return self._pipeline("parenthesized pipeline", TokenKind.CLOSE)
            case TokenKind.KEYWORD if token.text in (".", "nil"):
                return DotNode(pos=token.pos) if token.text == "." else NilNode(pos=token.pos)
            case TokenKind.BOOL:
                return BoolNode(token.text == "true", pos=token.pos)
            case TokenKind.STRING | TokenKind.RAW:
                return StringNode(self._unquoted(token), token.text, pos=token.pos)
            case TokenKind.RUNE | TokenKind.NUMBER:
                parse_constant = unquote_char if token.kind is TokenKind.RUNE else parse_number
                try:
                    return NumberNode(token.text, parse_constant(token.text), pos=token.pos)
                except ValueError as bad:
                    raise self._tokens.error(str(bad)) from bad
        self._tokens.back()
        return None

    def _unquoted(self, token: Token) -> str:
        try:
            return unquote(token.text)
        except ValueError as bad:
            raise self._tokens.error(str(bad)) from bad
