"""Fields of the server's JSON by kind. One that is missing, or of another kind, reads as empty.

Older servers leave fields out and write null for an empty list, so none of it is an error here.
"""

from collections.abc import Mapping

JsonMapping = Mapping[str, object]


def text_field(value: JsonMapping, name: str) -> str:
    field = value.get(name)
    return field if isinstance(field, str) else ""


def integer_field(value: JsonMapping, name: str) -> int:
    field = value.get(name)
    return int(field) if isinstance(field, int | float) else 0


def object_field(value: JsonMapping, name: str) -> JsonMapping:
    field = value.get(name)
    return field if isinstance(field, dict) else {}


def list_field(value: JsonMapping, name: str) -> list[object]:
    field = value.get(name)
    return field if isinstance(field, list) else []


def objects_field(value: JsonMapping, name: str) -> list[JsonMapping]:
    """The objects of a list; what else is in it is skipped."""
    return [item for item in list_field(value, name) if isinstance(item, dict)]
