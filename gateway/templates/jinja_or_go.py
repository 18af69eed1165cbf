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
    """The capabilities of a chat template, tools and thinking, by words in its text."""
    thinks = "<think>" in template and "</think>" in template
    if not thinks and _has(template, _SPLITS):
        thinks = "reasoning_content" not in template and "<SPECIAL_12>" not in template
    signs = {"tools": "tools" in template or "tool_call" in template, "thinking": thinks}
    return tuple(ability for ability, present in signs.items() if present)


def prefers_jinja(go: str, jinja: str) -> bool:
    """Whether a model's own chat template does more than its TEMPLATE layer, or that is broken."""
    try:
        layer = compiled(go)
    except TemplateError:
        return True
    of_go, of_jinja = set(layer.abilities), set(jinja_abilities(jinja))
    jinja_round_trip = "tools" in of_jinja and _has(jinja, _TOOL_CALL) and _has(jinja, _TOOL_RESULT)
    if of_jinja > of_go:
        # More abilities do not make up for tool results that only the TEMPLATE would show.
        return jinja_round_trip or not layer.round_trip
    return of_jinja == of_go and "tools" in of_jinja and jinja_round_trip and not layer.round_trip


def _has(text: str, pieces: tuple[str, ...]) -> bool:
    return any(piece in text for piece in pieces)
