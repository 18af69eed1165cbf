"""JSON in Go's escaping, as literals and for any value."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.golang.json_encode import (
    dumps,
    escape,
    format_json_float,
    marshal,
    with_go_floats,
)
from gateway.golang.values import MISSING, GoMap, GoStruct

# orjson writes integers of up to 64 bits; nothing we send has more.
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ({"b": 1, "a": [True, None, 1.5]}, b'{"b":1,"a":[true,null,1.5]}'),
        ("<b>&</b>", b'"\\u003cb\\u003e\\u0026\\u003c/b\\u003e"'),
        ("a\u2028b\u2029c", b'"a\\u2028b\\u2029c"'),
        ({"<": ">"}, b'{"\\u003c":"\\u003e"}'),
        ("é 你 🦙 \u0085", '"é 你 🦙 \u0085"'.encode()),
        ('"\\/\n\t\x00\x7f', b'"\\"\\\\/\\n\\t\\u0000\x7f"'),
        ((1, 2), b"[1,2]"),
    ],
)
def test_json_is_compact_and_escaped_as_go_does(value: Any, data: bytes) -> None:
    assert dumps(value) == data


def test_keys_are_sorted_only_on_demand() -> None:
    value = {"b": 1, "a": {"d": 2, "c": 3}}
    assert dumps(value) == b'{"b":1,"a":{"d":2,"c":3}}'
    assert dumps(value, sort_keys=True) == b'{"a":{"c":3,"d":2},"b":1}'


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("a\ud800b", '"a\ufffdb"'),
        ({"k\udc00": ["\ud800", ("x\udfff",)], "n": 1}, '{"k\ufffd":["\ufffd",["x\ufffd"]],"n":1}'),
        ("\ud83e\udd99", '"🦙"'),
        ("\ud800<", '"\ufffd\\u003c"'),
    ],
)
def test_lone_surrogates_are_replaced_and_pairs_joined(value: Any, data: str) -> None:
    assert dumps(value) == data.encode()


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(orjson.JSONEncodeError):
        dumps({"x": object()})


@given(VALUES)
def test_a_value_survives_and_holds_nothing_that_needs_escaping(value: Any) -> None:
    data = dumps(value)
    assert json.loads(data) == value
    assert not any(plain in data.decode() for plain in "<>&\u2028\u2029")


def test_escaping_leaves_the_rest_alone() -> None:
    assert escape(b'{"a":"\\u003c b"}') == b'{"a":"\\u003c b"}'
    assert escape(b'"\\n<"') == b'"\\n\\u003c"'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"),
        (-1000.0, "-1000"),
        (0.7, "0.7"),
        (1e-05, "0.00001"),
        (1e-06, "0.000001"),
        (1e-07, "1e-7"),
        (1.25e-9, "1.25e-9"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (-2.5e300, "-2.5e+300"),
        (0.0, "0"),
        (float("nan"), "null"),
        (float("inf"), "null"),
    ],
)
def test_json_uses_an_exponent_only_far_from_one(value: float, text: str) -> None:
    assert format_json_float(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_survives_its_json(value: float) -> None:
    assert float(format_json_float(value)) == value


def test_go_floats_reach_every_float_and_nothing_else() -> None:
    value = {"a": [1.0, {"b": 1e-05}], "c": (2, True, None, "1.0"), "d": 10**15}
    assert dumps(with_go_floats(value)) == (
        b'{"a":[1,{"b":0.00001}],"c":[2,true,null,"1.0"],"d":1000000000000000}'
    )


class OrderedStruct(GoStruct):
    @property
    def fields(self) -> dict[str, object]:
        return {"Y": 1.0, "X": {"b": 2.0, "a": None}}


class SortedMap(GoMap):
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
        (SortedMap(b="x", a="y"), '{"a":"y","b":"x"}'),
        ((1, "a"), '[1,"a"]'),
        ((), "null"),
        ([], "[]"),
        (OrderedStruct(), '{"Y":1,"X":{"a":null,"b":2}}'),
        (MISSING, "null"),
        (1j, ""),
        ([1, {2: 3}], ""),
    ],
)
def test_marshal_writes_what_a_template_works_on(value: object, text: str) -> None:
    assert marshal(value) == text
