"""JSON text of template values."""

from typing import Any

import pytest

from gateway.golang.template import MISSING, Fields, Struct
from gateway.templates.encode import encoded


class Point(Struct):
    @property
    def fields(self) -> dict[str, Any]:
        return {"Y": 1.0, "X": {"b": 2.0, "a": None}}


class Named(Fields):
    def text(self) -> str:
        return "unused"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (3, "3"),
        (1e6, "1000000"),
        (1.5, "1.5"),
        (1e21, "1e+21"),
        (10**30, "1e+30"),
        ("<a & b>\u2028", '"\\u003ca \\u0026 b\\u003e\\u2028"'),
        ("é🦙", '"é🦙"'),
        (b"\x00\xff", '"AP8="'),
        ({"b": 1, "a": [1.0, {"d": 1, "c": 2}]}, '{"a":[1,{"c":2,"d":1}],"b":1}'),
        (Named(b="x", a="y"), '{"a":"y","b":"x"}'),
        ((1, "a"), '[1,"a"]'),
        ((), "null"),
        ([], "[]"),
        (Point(), '{"Y":1,"X":{"a":null,"b":2}}'),
        (MISSING, "null"),
        (1j, ""),
        ([1, {2: 3}], ""),
    ],
)
def test_json_is_as_go_writes_it(value: Any, text: str) -> None:
    assert encoded(value) == text
