"""Embedding vectors: unit length, fewest digits, text and base64."""

import math
import struct
from array import array

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.embeddings.vectors import Vector, length, packed, shortest, text, unit, unpacked
from gateway.errors import Invalid

SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False)
NOT_FINITE = "embedding contains NaN or Inf values"


def vector(*values: float) -> Vector:
    return array("f", values)


def fewest(value: float) -> float:
    """The first of 1, 2, ... digits that comes back as the same 32-bit float."""
    image = struct.pack("f", value)
    rounded = (float(f"{value:.{digits}g}") for digits in range(1, 18))
    return next(short for short in rounded if struct.pack("f", short) == image)


def test_a_vector_is_divided_by_its_length() -> None:
    assert unit(vector(3, 0, -4)) == vector(0.6, 0, -0.8)


def test_a_vector_of_zeros_stays() -> None:
    assert unit(vector(0, 0)) == vector(0, 0)
    assert unit(vector(1e-20, 0)) == vector(1e-8, 0)


def test_squares_neither_overflow_nor_vanish() -> None:
    assert unit(vector(3e38, 3e38)) == vector(0.5**0.5, 0.5**0.5)
    assert unit(vector(3e-10, 4e-10)).tolist() == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize(
    ("dimensions", "expected"),
    [
        (1, [1.0]),
        (2, [0.6, 0.8]),
        (3, [3 / 13, 4 / 13, 12 / 13]),
        (4, [3 / 13, 4 / 13, 12 / 13]),
        (0, [3 / 13, 4 / 13, 12 / 13]),
        (-1, [3 / 13, 4 / 13, 12 / 13]),
    ],
)
def test_a_cut_vector_has_unit_length_again(dimensions: int, expected: list[float]) -> None:
    assert unit(vector(3, 4, 12), dimensions).tolist() == pytest.approx(expected)


@given(st.lists(SINGLE, min_size=1, max_size=50))
def test_lengths_are_one_or_nothing(values: list[float]) -> None:
    norm = math.hypot(*unit(array("f", values)))
    assert norm == pytest.approx(1, abs=1e-6) or length(array("f", values)) < 1e-11


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused(wrong: float) -> None:
    for refused in (unit, length):
        with pytest.raises(Invalid) as error:
            refused(vector(1, wrong))
        assert error.value.message == NOT_FINITE


def test_a_length_is_euclids() -> None:
    assert length(vector(3, 4)) == 5


@pytest.mark.parametrize(
    ("value", "short"),
    [
        (0.1, 0.1),
        (0.00001, 0.00001),
        (-0.011493379, -0.011493379),
        (0.1603202, 0.1603202),
        (0.5, 0.5),
        (2.0**-20, 9.536743e-07),
        (2.0**-120, 7.523164e-37),
        (16777216.0, 16777216.0),
        (3.4028235e38, 3.4028235e38),
        (1e-45, 1e-45),
        (1e-13, 1e-13),
        (0.0, 0.0),
    ],
)
def test_numbers_have_the_digits_of_32_bits(value: float, short: float) -> None:
    assert shortest(vector(value)) == [short]


@given(st.lists(SINGLE, max_size=50))
def test_no_number_has_more_digits_than_it_needs(values: list[float]) -> None:
    doubles = shortest(array("f", values))
    assert [len(repr(short)) for short in doubles if short] == [
        len(repr(fewest(value))) for value in values if value
    ]
    assert array("f", doubles) == array("f", values)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1e-6, b"[0.000001]"),
        (-1.25e-6, b"[-0.00000125]"),
        (9.999e-6, b"[0.000009999]"),
        (0.00001, b"[0.00001]"),
        (1.5e-7, b"[1.5e-7]"),
        (1e-10, b"[1e-10]"),
        (1e-60, b"[1e-60]"),
        (0.25, b"[0.25]"),
    ],
)
def test_small_numbers_have_an_exponent_only_below_a_millionth(
    value: float, expected: bytes
) -> None:
    assert orjson.dumps(text([value])) == expected


def test_text_may_be_lists_of_lists() -> None:
    assert orjson.dumps(text([[0.5, 2e-6], []])) == b"[[0.5,0.000002],[]]"


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_text_is_the_same_numbers(values: list[float]) -> None:
    assert orjson.loads(orjson.dumps(text(values))) == values


def test_base64_is_little_endian() -> None:
    assert packed(vector(1, -2)) == "AACAPwAAAMA="
    assert unpacked("AACAPwAAAMA=") == vector(1, -2)


@given(st.lists(SINGLE))
def test_base64_and_back(values: list[float]) -> None:
    assert unpacked(packed(array("f", values))) == array("f", values)
