"""The params layer: a model's own option values, checked on create, written as Ollama does."""

import math
from collections.abc import Mapping
from typing import Any

from gateway.errors import Invalid
from gateway.golang.json_encode import dumps, with_go_floats
from gateway.modelfile import BOOLEANS, FLOATS, INTEGERS, LISTS
from gateway.store import json_files as document

_KINDS = {
    **dict.fromkeys(INTEGERS, "integer"),
    **dict.fromkeys(FLOATS, "float32"),
    **dict.fromkeys(BOOLEANS, "boolean"),
    **dict.fromkeys(LISTS, "array"),
}


def checked(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """`parameters` fit to be stored. Unknown names pass, for old ones are still about.

    A known option of the wrong kind raises Invalid: stored, it would fail every later request.
    A single `stop` string becomes a list of one.
    """
    return {name: _checked(name, value) for name, value in parameters.items()}


def encode(parameters: Mapping[str, Any]) -> bytes:
    """The layer's bytes: keys sorted, numbers as Go prints them."""
    return dumps(with_go_floats(parameters), sort_keys=True) + b"\n"


def decode(data: bytes) -> dict[str, Any]:
    """Read a params layer. ValueError when it is no JSON object."""
    found = document.decode(data)
    if not isinstance(found, dict):
        raise ValueError("params must be a JSON object")
    return found


def _checked(name: str, value: Any) -> Any:
    kind = _KINDS.get(name)
    if kind == "array" and isinstance(value, str):
        return [value]
    if value is None or kind is None:
        return value
    if not _fits(kind, value):
        raise Invalid(f'option "{name}" must be of type {kind}')
    if kind == "array" and not all(isinstance(item, str) for item in value):
        raise Invalid(f'option "{name}" must be of an array of strings')
    return value


def _fits(kind: str, value: Any) -> bool:
    if kind == "array":
        return isinstance(value, list)
    if kind == "boolean" or isinstance(value, bool):
        return kind == "boolean" and isinstance(value, bool)
    # An integer may come as a float: it is cut off when the model loads.
    return isinstance(value, int | float) and abs(value) < math.inf
