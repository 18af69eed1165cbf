from typing import Any

import pytest

from gateway.golang.template.formatting import Spec, formatted
from gateway.golang.template.values import MISSING


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "<nil>"),
        (MISSING, "<nil>"),
        (True, "true"),
        (-3, "-3"),
        (1e6, "1e+06"),
        (12345678.0, "1.2345678e+07"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (float("inf"), "+Inf"),
        (1 - 2j, "(1-2i)"),
        ([1, "a", None, []], "[1 a <nil> []]"),
        ({"b": True, "a": {"x": 1.5}}, "map[a:map[x:1.5] b:true]"),
        (b"ab", "[97 98]"),
    ],
)
def test_values_print_as_go_prints_them(value: Any, text: str) -> None:
    assert formatted(value) == text


def test_source_form() -> None:
    spec = Spec(source=True)
    assert formatted(["a", None], spec) == '[]interface {}{"a", interface {}(nil)}'
    assert formatted({"a": 1}, spec) == 'map[string]interface {}{"a":1}'
