"""A TEMPLATE layer ready for use: what it can do, and prompts by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from gateway.golang.template import TemplateError, execute, parse
from gateway.golang.template.nodes import Tree
from gateway.templates import introspect as inspect
from gateway.templates import legacy
from gateway.templates.functions import NAMES, functions
from gateway.templates.media import Rendered
from gateway.templates.merge_roles import collated, system_text
from gateway.templates.tools import tools_of
from gateway.templates.values import Message, Think, messages_of

_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Template:
    """A template that parsed. Rendering raises TemplateError where its execution fails."""

    tree: Tree
    names: frozenset[str]
    """The identifiers in it, lower-cased."""
    abilities: tuple[str, ...]
    """Of tools, insert and thinking those it shows, in this order."""
    tags: tuple[str, str] | None
    """What stands before and after thinking."""
    tool_tag: str
    """What stands before a tool call; `{` where that is not known."""
    round_trip: bool
    """Whether it shows tool calls and their results to the model."""

    def conversation(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        think: Think,
        *,
        today: date,
    ) -> Rendered:
        """The prompt for the next message; messages and tools as in the engine's completions."""
        found, media = messages_of(messages)
        if "messages" not in self.names:
            return Rendered(self._by_rounds(collated(found), think, today), media)
        data = {
            "System": system_text(found),
            "Messages": collated(found),
            "Tools": tools_of(tools),
            "Response": "",
        }
        return Rendered(self._run(self.tree, data, think, today), media)

    def insert(self, prompt: str, suffix: str, think: Think, *, today: date) -> str:
        """The prompt for what comes between two texts; for others than empty ones."""
        data = {"Prompt": prompt, "Suffix": suffix, "Response": ""}
        return self._run(self.tree, data, think, today)

    def _by_rounds(self, messages: Sequence[Message], think: Think, today: date) -> str:
        *past, last = legacy.rounds(messages)
        texts = [self._run(self.tree, one.data, think, today) for one in past]
        texts.append(self._run(legacy.unfinished(self.tree), last.data, think, today))
        return "".join(texts)

    def _run(self, tree: Tree, data: Mapping[str, Any], think: Think, today: date) -> str:
        return execute(tree, {**data, **think.data}, functions=functions(today))


@lru_cache(_REMEMBERED)
def compiled(text: str) -> Template:
    """The template of a text. Raises TemplateError, in Go's words, if it is none."""
    tree = parse(text, functions=NAMES)
    names = inspect.identifiers(tree)
    if not names & {"messages", "response"}:
        tree = legacy.with_response(tree)
    tags = inspect.thinking_tags(tree)
    return Template(
        tree=tree,
        names=names,
        abilities=inspect.abilities(names, tags),
        tags=tags,
        tool_tag=inspect.tool_tag(tree),
        round_trip=inspect.round_trip(names, text),
    )


def abilities(text: str) -> tuple[str, ...]:
    """Those of a template; none of a text that is no template, which can do nothing."""
    try:
        return compiled(text).abilities
    except TemplateError:
        return ()
