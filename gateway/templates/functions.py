"""The functions that templates have beyond those of Go's template language."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

from gateway.golang.json_encode import marshal
from gateway.templates.tools import Property

NAMES = ("json", "currentDate", "yesterdayDate", "toTypeScriptType")
_TYPES = {
    "string": "string",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "array": "any[]",
    "object": "Record<string, any>",
    "null": "null",
}


def functions(today: date) -> Mapping[str, Callable[..., Any]]:
    """Each of NAMES; `today` is the local date. The dates ignore their arguments."""
    yesterday = today - timedelta(days=1)
    return {
        "json": marshal,
        "currentDate": lambda *_: today.isoformat(),
        "yesterdayDate": lambda *_: yesterday.isoformat(),
        "toTypeScriptType": typescript,
    }


def typescript(value: Any) -> str:
    """A property's type in TypeScript; `any` for whatever is no property."""
    if not isinstance(value, Property):
        return "any"
    if value.any_of:
        return " | ".join(typescript(one) for one in value.any_of)
    return " | ".join(_TYPES.get(kind, "any") for kind in value.kinds) or "any"
