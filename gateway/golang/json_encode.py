"""JSON as Go's encoder writes it: compact, with `<`, `>`, `&` and two line separators escaped.

Clients compare bytes, and some split streams at U+2028 (spec of `encoding/json`, HTML escaping on).
"""

import base64
import math
from collections.abc import Mapping
from decimal import Decimal

import orjson

from gateway.golang.strconv import format_exponent
from gateway.golang.values import MISSING, GoList, GoMap, GoStruct

_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)
_LARGEST = 1 << 63


def dumps(value: object, *, sort_keys: bool = False) -> bytes:
    """Compact UTF-8 JSON in Go's escaping; lone surrogates become U+FFFD.

    Floats are written as orjson does, which differs from Go far from one: `with_go_floats` helps.
    """
    option = orjson.OPT_SORT_KEYS if sort_keys else 0
    try:
        data = orjson.dumps(value, option=option)
    except orjson.JSONEncodeError:
        # Looking for surrogates costs more than the encoding; they are one input in a million.
        data = orjson.dumps(_without_surrogates(value), option=option)
    return escape(data)


def escape(data: bytes) -> bytes:
    """Apply Go's HTML escapes to JSON text."""
    for plain, escaped in _ESCAPES:
        if plain in data:
            data = data.replace(plain, escaped)
    return data


def marshal(value: object) -> str:
    """JSON of a template's value; empty for one that JSON cannot express, as in Ollama.

    Maps are sorted by key; structs, and whatever has a `plain` form that is an object, keep the
    order of their fields. A list that was never made is nil in Go and `null` in JSON; here that is
    an empty tuple.
    """
    try:
        return dumps(with_go_floats(_json_form(value))).decode()
    except TypeError:  # orjson's errors are of this class too
        return ""


def with_go_floats(value: object) -> object:
    """`value` with every float replaced by its text in Go's form, ready for `dumps`."""
    if isinstance(value, float):
        return orjson.Fragment(format_json_float(value))
    if isinstance(value, Mapping):
        return {key: with_go_floats(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [with_go_floats(item) for item in value]
    return value


def format_json_float(value: float) -> str:
    """`value` as Go's JSON encoder writes a float: no exponent from 1e-6 up to 1e21.

    Go's refuses infinities and NaN; they are `null` here, as orjson writes them.
    """
    if not math.isfinite(value):
        return "null"
    exact = Decimal(repr(float(value)))
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return format(exact.normalize(), "f")
    return format_exponent(exact, width=1)


def _json_form(value: object) -> object:
    match value:
        case tuple() if not value:
            return None
        case None | bool() | str() | float():
            return value
        case int():
            return value if abs(value) < _LARGEST else float(value)
        case bytes():
            return base64.b64encode(value).decode()
        case GoStruct() | GoList() | GoMap():
            own = value.plain()
            if isinstance(own, Mapping):
                return {key: _json_form(item) for key, item in own.items()}
            return _json_form(own)
        case Mapping():
            return {key: _json_form(value[key]) for key in sorted(value)}
        case list() | tuple():
            return [_json_form(item) for item in value]
    return None if value is MISSING else value


def _without_surrogates(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    return value
