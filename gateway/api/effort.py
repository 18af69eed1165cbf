"""How hard to think, as OpenAI's requests say it."""

from gateway.errors import Invalid
from gateway.llama.requests import ThinkLevel

_LEVELS: dict[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "max": "max",
    "xhigh": "max",
    "ultra": "max",
}


def think_level(effort: object) -> ThinkLevel:
    """None where there is no `effort`, False for "none". Invalid for a level that is not known."""
    if effort in (None, ""):
        return None
    if not isinstance(effort, str) or effort not in _LEVELS:
        raise Invalid(
            f'invalid reasoning value: "{effort}" (must be "minimal", "low", "medium", "high", '
            '"xhigh", "ultra", "max", or "none")'
        )
    return _LEVELS[effort]
