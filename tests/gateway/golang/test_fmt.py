"""Numbers come out as Go would print them."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.golang.fmt import display, exact, json_text, parameter_size, single
from gateway.golang.json_encode import dumps


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
    assert json_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4096, "4096"),
        (262144, "262144"),
        (999999, "999999"),
        (1000000, "1e+06"),
        (1048576, "1.048576e+06"),
        (12345678, "1.2345678e+07"),
        (0.5, "0.5"),
        (0.0001, "0.0001"),
        (1e-05, "1e-05"),
        (-1e100, "-1e+100"),
        (0, "0"),
        (float("inf"), "+Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_display_switches_to_an_exponent_at_a_million(value: float, text: str) -> None:
    assert display(value) == text


def test_single_finds_the_short_decimal() -> None:
    assert single(struct.unpack("<f", struct.pack("<f", 1e-05))[0]) == 1e-05
    assert single(struct.unpack("<f", struct.pack("<f", 0.7))[0]) == 0.7
    assert single(struct.unpack("<f", struct.pack("<f", 16777216.0))[0]) == 16777216.0
    assert single(11.834640502929688) == 11.8346405
    assert single(float("inf")) == float("inf")


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_single_never_names_another_float32(value: float) -> None:
    assert struct.pack("<f", single(value)) == struct.pack("<f", value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_both_texts_name_the_same_number(value: float) -> None:
    assert float(json_text(value)) == value
    assert float(display(value)) == value


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (7_241_732_096, "7.2B"),
        (8_030_261_248, "8.0B"),
        (1_000_000_000, "1B"),
        (22_713_216, "22.71M"),
        (137_000_000, "137M"),
        (999_999_999, "1000.00M"),
        (944_256, "944K"),
        (999_999, "1000K"),
        (42, "42"),
    ],
)
def test_parameter_sizes_are_rounded_by_their_magnitude(number: int, text: str) -> None:
    assert parameter_size(number) == text


def test_exact_reaches_every_float_and_nothing_else() -> None:
    value = {"a": [1.0, {"b": 1e-05}], "c": (2, True, None, "1.0"), "d": 10**15}
    assert dumps(exact(value)) == (
        b'{"a":[1,{"b":0.00001}],"c":[2,true,null,"1.0"],"d":1000000000000000}'
    )
