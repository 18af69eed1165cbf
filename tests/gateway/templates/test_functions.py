"""Functions that templates have beyond Go's."""

from datetime import date
from typing import Any

import pytest

from gateway.templates.functions import NAMES, functions, typescript
from gateway.templates.tools import tools_of

TODAY = date(2026, 3, 1)


def parameter(schema: dict[str, Any]) -> Any:
    tools = tools_of([{"function": {"name": "f", "parameters": {"properties": {"p": schema}}}}])
    return tools[0].fields["Function"].fields["Parameters"].fields["Properties"]["p"]


def test_every_function_has_its_name() -> None:
    assert tuple(functions(TODAY)) == NAMES


def test_dates_are_of_the_day_given() -> None:
    ours = functions(TODAY)
    assert ours["currentDate"]() == "2026-03-01"
    assert ours["yesterdayDate"]() == "2026-02-28"
    assert ours["currentDate"]("ignored", 1) == "2026-03-01"


def test_json_is_an_encoder() -> None:
    assert functions(TODAY)["json"]({"b": 1.0, "a": "<"}) == '{"a":"\\u003c","b":1}'


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string"}, "string"),
        ({"type": "number"}, "number"),
        ({"type": "integer"}, "number"),
        ({"type": "boolean"}, "boolean"),
        ({"type": "array", "items": {"type": "string"}}, "any[]"),
        ({"type": "object"}, "Record<string, any>"),
        ({"type": "null"}, "null"),
        ({"type": "date"}, "any"),
        ({}, "any"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"anyOf": [{"type": "string"}, {"type": ["integer", "null"]}]}, "string | number | null"),
    ],
)
def test_a_property_has_a_type_in_typescript(schema: dict[str, Any], text: str) -> None:
    assert typescript(parameter(schema)) == text


def test_what_is_no_property_is_any() -> None:
    assert typescript("string") == "any"
