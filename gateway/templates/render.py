"""A TEMPLATE layer ready for use: its abilities, and prompts by it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from gateway.golang.json_encode import marshal
from gateway.golang.template import TemplateError, execute, parse
from gateway.golang.template.nodes import Tree
from gateway.templates import introspect as inspect
from gateway.templates import legacy
from gateway.templates.media import Rendered
from gateway.templates.merge_roles import merge_roles, system_text
from gateway.templates.messages import ThinkFlags, template_messages
from gateway.templates.tools import template_tools, typescript_type

FUNCTION_NAMES = ("json", "currentDate", "yesterdayDate", "toTypeScriptType")

# Every request for a model, and every line of /api/tags, needs its template compiled, which takes
# half a millisecond.
_CACHE_SIZE = 256


@dataclass(frozen=True, slots=True)
class Template:
    """A template that parsed. Rendering raises TemplateError where its execution fails."""

    tree: Tree
    names: frozenset[str]
    """The identifiers in it, lower-cased."""
    abilities: tuple[str, ...]
    """Of tools, insert and thinking those it shows, in this order."""
    tags: tuple[str, str] | None
    """The texts before and after thinking."""
    tool_tag: str
    """The text before a tool call; `{` where the template shows none."""
    round_trip: bool
    """Whether it shows tool calls and their results to the model."""

    def conversation(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        think: ThinkFlags,
        *,
        today: date,
    ) -> Rendered:
        """The prompt for the next message; messages and tools as in the engine's completions."""
        converted, media = template_messages(messages)
        if "messages" not in self.names:
            *past, last = legacy.rounds(merge_roles(converted))
            texts = [self._run(self.tree, one.data, think, today) for one in past]
            texts.append(self._run(legacy.unfinished(self.tree), last.data, think, today))
            return Rendered("".join(texts), media)
        data = {
            "System": system_text(converted),
            "Messages": merge_roles(converted),
            "Tools": template_tools(tools),
            "Response": "",
        }
        return Rendered(self._run(self.tree, data, think, today), media)

    def insert(self, prompt: str, suffix: str, think: ThinkFlags, *, today: date) -> str:
        """The prompt for the text between two others, which must not be empty."""
        data = {"Prompt": prompt, "Suffix": suffix, "Response": ""}
        return self._run(self.tree, data, think, today)

    def _run(self, tree: Tree, data: Mapping[str, object], think: ThinkFlags, today: date) -> str:
        return execute(tree, {**data, **think.data}, functions=template_functions(today))


@lru_cache(_CACHE_SIZE)
def compiled(text: str) -> Template:
    """The template of a text. Raises TemplateError, in Go's words, if it is none."""
    tree = parse(text, functions=FUNCTION_NAMES)
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


def template_functions(today: date) -> Mapping[str, Callable[..., object]]:
    """Ollama's functions beyond those of Go's template language, FUNCTION_NAMES.

    `today` is the local date. The dates take any arguments and ignore them.
    """
    yesterday = today - timedelta(days=1)
    return {
        "json": marshal,
        "currentDate": lambda *_: today.isoformat(),
        "yesterdayDate": lambda *_: yesterday.isoformat(),
        "toTypeScriptType": typescript_type,
    }
