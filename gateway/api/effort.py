"""How hard to think, as OpenAI's requests say it."""

from collections.abc import Mapping
from typing import Any

from gateway.errors import Invalid

_EFFORTS: dict[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "max": "max",
    "xhigh": "max",
    "ultra": "max",
}


def effort(request: Mapping[str, Any]) -> bool | str | None:
    """How much the client wants the model to think: None if it does not say."""
    asked = request.get("reasoning", {}).get("effort") or request.get("reasoning_effort")
    if asked in (None, ""):
        return None
    if not isinstance(asked, str) or asked not in _EFFORTS:
        raise Invalid(
            f'invalid reasoning value: "{asked}" (must be "minimal", "low", "medium", "high", '
            '"xhigh", "ultra", "max", or "none")'
        )
    return _EFFORTS[asked]
