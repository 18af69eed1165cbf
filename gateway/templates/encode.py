"""JSON text of the values a template works on, as Go's encoder writes it."""

import base64
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from gateway.golang.fmt import exact
from gateway.golang.json_encode import dumps
from gateway.golang.template import MISSING

_LARGEST = 2**63


@runtime_checkable
class Plain(Protocol):
    """A value with a JSON form of its own; if that is an object, its members stay in order."""

    def plain(self) -> Any: ...


def encoded(value: Any) -> str:
    """Compact JSON; maps are sorted by key. Empty for what JSON cannot say, as in Ollama.

    A list that holds nothing because nothing was given is nil in Go and `null` in JSON; here that
    is an empty tuple.
    """
    try:
        return dumps(exact(_plain(value))).decode()
    except TypeError:  # orjson's errors are of this class too
        return ""


def _plain(value: Any) -> Any:
    match value:
        case tuple() if not value:
            return None
        case None | bool() | str() | float():
            return value
        case int():
            return value if abs(value) < _LARGEST else float(value)
        case bytes():
            return base64.b64encode(value).decode()
        case Plain():
            own = value.plain()
            return _members(own) if isinstance(own, Mapping) else _plain(own)
        case Mapping():
            return _members({key: value[key] for key in sorted(value)})
        case list() | tuple():
            return [_plain(item) for item in value]
    return None if value is MISSING else value


def _members(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _plain(item) for key, item in value.items()}
