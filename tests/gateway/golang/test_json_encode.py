"""JSON in Go's escaping, as literals and for any value."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.golang.json_encode import dumps, escape

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
