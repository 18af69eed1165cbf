"""What can be told about a TEMPLATE layer or a chat template without running it."""

import re

_ACTION = re.compile(r"\{\{-?(.*?)-?\}\}", re.DOTALL)
_COMMENT = re.compile(r"\s*/\*.*\*/\s*", re.DOTALL)
_LITERAL = re.compile(r'"(?:\\.|[^"\\\n])*"|`[^`]*`')
_CHAIN = re.compile(r"(?<![\w)])(?:\$\w*)?((?:\.\w+)+)")
_THINKING = re.compile(
    r"\}\}(?P<open>[^{}]*)\{\{-?\s*\.Thinking\s*-?\}\}(?P<close>[^{}]*)\{\{", re.DOTALL
)
_BLOCKS = ("if", "range", "with", "define", "block")

_GO_TOOL_RESULT = ('eq .Role "tool"', "tool_response", "TOOL_RESULTS")
_JINJA_TOOL_CALL = ("tool_calls", "assistant_tool_call")
_JINJA_TOOL_RESULT = (
    "tool_response",
    "tool_results",
    "ipython",
    "role'] == 'tool'",
    'role\'] == "tool"',
    "role\"] == 'tool'",
    'role"] == "tool"',
    "message.role == 'tool'",
    'message.role == "tool"',
)


def fault(template: str) -> str | None:
    """Why `template` is no Go template, in Go's words, or None. Only blocks are looked at."""
    opened: list[str] = []
    position = 0
    while (start := template.find("{{", position)) >= 0:
        line = template.count("\n", 0, start) + 1
        action = _ACTION.match(template, start)
        if action is None:
            return f"template: :{line}: unclosed action"
        position = action.end()
        if _COMMENT.fullmatch(action[1]):
            continue
        problem = _block_fault(action[1].split(), opened)
        if problem:
            return f"template: :{line}: {problem}"
    if opened:
        line = template.count("\n") + 1
        return f"template: :{line}: unexpected EOF"
    return None


def _block_fault(words: list[str], opened: list[str]) -> str | None:
    """Keep the stack of open blocks; what is wrong with an action of these words, if anything."""
    word = words[0] if words else ""
    if not word:
        return "missing value for command"
    if word in _BLOCKS:
        opened.append(word)
        return f"missing value for {word}" if len(words) == 1 else None
    if word in ("end", "else") and not opened:
        return f"unexpected {{{{{word}}}}}"
    if word == "end":
        opened.pop()
    return None


def variables(template: str) -> frozenset[str]:
    """Names in the field and variable chains of a Go template, lower-cased: `messages`."""
    found: set[str] = set()
    for action in _ACTION.finditer(template):
        if _COMMENT.fullmatch(action[1]):
            continue
        for chain in _CHAIN.finditer(_LITERAL.sub("", action[1])):
            found.update(name.lower() for name in chain[1].split(".")[1:])
    return frozenset(found)


def thinking_tags(template: str) -> tuple[str, str] | None:
    """The texts right around `.Thinking` in a Go template over messages: its reasoning tags."""
    if "messages" not in variables(template):
        return None
    for found in _THINKING.finditer(template):
        tags = found["open"].strip(), found["close"].strip()
        if all(tags):
            return tags
    return None


def go_abilities(template: str) -> tuple[str, ...]:
    """The capabilities a Go template shows: tools, insert, thinking."""
    names = variables(template)
    signs = {
        "tools": "tools" in names,
        "insert": "suffix" in names,
        "thinking": thinking_tags(template) is not None,
    }
    return tuple(ability for ability, shown in signs.items() if shown)


def jinja_abilities(template: str) -> tuple[str, ...]:
    """The capabilities a chat template shows by what its text contains: tools, thinking."""
    signs = {
        "tools": "tools" in template or "tool_call" in template,
        "thinking": _jinja_thinks(template),
    }
    return tuple(ability for ability, shown in signs.items() if shown)


def prefers_jinja(go: str, jinja: str) -> bool:
    """Whether a model's own chat template does more than its TEMPLATE layer."""
    mine, own = set(go_abilities(go)), set(jinja_abilities(jinja))
    go_returns = _go_round_trip(go)
    own_returns = _jinja_round_trip(jinja)
    if own > mine:
        return own_returns or not go_returns
    return own == mine and "tools" in own and own_returns and not go_returns


def _jinja_thinks(template: str) -> bool:
    if "<think>" in template and "</think>" in template:
        return True
    splits = "content.split('</think>')" in template or 'content.split("</think>")' in template
    return splits and "reasoning_content" not in template and "<SPECIAL_12>" not in template


def _go_round_trip(template: str) -> bool:
    """Whether a Go template shows tool calls and their results back to the model."""
    return {"tools", "toolcalls"} <= variables(template) and _has(template, _GO_TOOL_RESULT)


def _jinja_round_trip(template: str) -> bool:
    """The same for a chat template."""
    return (
        "tools" in jinja_abilities(template)
        and _has(template, _JINJA_TOOL_CALL)
        and _has(template, _JINJA_TOOL_RESULT)
    )


def _has(text: str, pieces: tuple[str, ...]) -> bool:
    return any(piece in text for piece in pieces)
