"""The chat template in a GGUF against the TEMPLATE layer of the same model."""

from gateway.golang.template import TemplateError
from gateway.templates.render import compiled

_TOOL_CALL = ("tool_calls", "assistant_tool_call")
_TOOL_RESULT = (
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
_SPLITS = ("content.split('</think>')", 'content.split("</think>")')


def jinja_abilities(template: str) -> tuple[str, ...]:
    """The capabilities a chat template shows by what its text contains: tools, thinking."""
    signs = {
        "tools": "tools" in template or "tool_call" in template,
        "thinking": _thinks(template),
    }
    return tuple(ability for ability, shown in signs.items() if shown)


def prefers_jinja(go: str, jinja: str) -> bool:
    """Whether a model's own chat template does more than its TEMPLATE layer, or that is broken."""
    try:
        layer = compiled(go)
    except TemplateError:
        return True
    mine, own = set(layer.abilities), set(jinja_abilities(jinja))
    own_returns = _round_trip(jinja)
    if own > mine:
        return own_returns or not layer.round_trip
    return own == mine and "tools" in own and own_returns and not layer.round_trip


def _thinks(template: str) -> bool:
    if "<think>" in template and "</think>" in template:
        return True
    splits = _has(template, _SPLITS)
    return splits and "reasoning_content" not in template and "<SPECIAL_12>" not in template


def _round_trip(template: str) -> bool:
    """Whether a chat template shows tool calls and their results to the model."""
    shown = _has(template, _TOOL_CALL) and _has(template, _TOOL_RESULT)
    return shown and "tools" in jinja_abilities(template)


def _has(text: str, pieces: tuple[str, ...]) -> bool:
    return any(piece in text for piece in pieces)
