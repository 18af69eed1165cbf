"""Strings, booleans and numbers come out as Go would read and write them."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.golang.strconv import (
    format_float,
    parameter_size,
    parse_bool,
    parse_float,
    parse_int,
    parse_uint,
    quote,
    shortest_float32,
    unquote,
    unquote_char,
)


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("", '""'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("\a\b\f\n\r\t\v", r'"\a\b\f\n\r\t\v"'),
        ("\x01\x7f", r'"\x01\x7f"'),
        ("é😀", '"é😀"'),
        ("\u2028\U000e0001", r'"\u2028\U000e0001"'),
        ("\udcff", r'"\xff"'),
    ],
)
def test_text_is_quoted_and_read_back(text: str, literal: str) -> None:
    assert quote(text) == literal
    assert unquote(literal) == text


def test_plain_quotes_are_ascii() -> None:
    assert quote("é😀", ascii_only=True) == r'"\u00e9\U0001f600"'
    assert quote("'", "'") == r"'\''"


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        (r'"\n\t\"\\\x41\u00e9\U0001F600\101"', '\n\t"\\Aé😀A'),
        (r'"\xc3\xa9"', "é"),
        ("`a\\n\nb`", "a\\n\nb"),
        ("`a\r\nb`", "a\nb"),
    ],
)
def test_go_escapes_are_read(literal: str, text: str) -> None:
    assert unquote(literal) == text


@pytest.mark.parametrize(
    "literal", [r'"\q"', r'"\x4"', r'"\400"', r'"\uD800"', r'"\U00110000"', r'"\'"']
)
def test_other_escapes_are_refused(literal: str) -> None:
    with pytest.raises(ValueError, match="invalid syntax"):
        unquote(literal)


@pytest.mark.parametrize(
    ("literal", "code"),
    [("'a'", 97), (r"'\n'", 10), (r"'\''", 39), ("'é'", 233), (r"'\xff'", 255), (r"'\u00e9'", 233)],
)
def test_character_constants_are_codes(literal: str, code: int) -> None:
    assert unquote_char(literal) == code


@pytest.mark.parametrize("literal", ["'ab'", r"'\nb'"])
def test_two_characters_are_malformed(literal: str) -> None:
    with pytest.raises(ValueError, match="malformed character constant"):
        unquote_char(literal)


def test_no_character_is_invalid() -> None:
    with pytest.raises(ValueError, match="invalid syntax"):
        unquote_char("''")


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_six_spellings_are_true(text: str) -> None:
    assert parse_bool(text) is True


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False"])
def test_six_spellings_are_false(text: str) -> None:
    assert parse_bool(text) is False


@pytest.mark.parametrize("text", ["", "yes", "tRUE", " true"])
def test_others_are_no_booleans(text: str) -> None:
    with pytest.raises(ValueError, match="invalid syntax"):
        parse_bool(text)


@pytest.mark.parametrize(
    ("text", "base", "number"),
    [
        ("0", 10, 0),
        ("-9223372036854775808", 10, -(2**63)),
        ("+0000000000000000000000000012", 10, 12),
        ("012", 10, 12),
        ("012", 0, 10),
        ("0x1F", 0, 31),
        ("0b1_01", 0, 5),
    ],
)
def test_integers(text: str, base: int, number: int) -> None:
    assert parse_int(text, base) == number


@pytest.mark.parametrize(
    ("text", "base", "message"),
    [
        ("", 10, "invalid syntax"),
        ("1_0", 10, "invalid syntax"),
        ("0x1", 10, "invalid syntax"),
        ("1.0", 10, "invalid syntax"),
        ("9223372036854775808", 10, "value out of range"),
        ("9" * 5000, 10, "value out of range"),
        ("1__0", 0, "invalid syntax"),
        ("0x8000000000000000", 0, "value out of range"),
    ],
)
def test_what_is_no_integer(text: str, base: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_int(text, base)


def test_unsigned_integers_have_one_bit_more_and_no_sign() -> None:
    assert parse_uint("18446744073709551615") == 2**64 - 1
    with pytest.raises(ValueError, match="value out of range"):
        parse_uint("18446744073709551616")
    with pytest.raises(ValueError, match="invalid syntax"):
        parse_uint("+1")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1.", 1.0), (".5e1", 5.0), ("0x1.8p1", 3.0), ("1_23.50_0_0e+1_2", 1.235e14), ("-0", 0.0)],
)
def test_floats(text: str, value: float) -> None:
    assert parse_float(text) == value


@pytest.mark.parametrize("text", ["", ".", "e1", "0x1", "1e", "inf", "nan", "_1", "1_.5", " 1"])
def test_what_is_no_float(text: str) -> None:
    with pytest.raises(ValueError, match="invalid syntax"):
        parse_float(text)


@pytest.mark.parametrize("text", ["1e400", "0x1p9999"])
def test_floats_that_are_too_large(text: str) -> None:
    with pytest.raises(ValueError, match="value out of range"):
        parse_float(text)


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
def test_format_float_switches_to_an_exponent_at_a_million(value: float, text: str) -> None:
    assert format_float(value) == text


def test_shortest_float32_finds_the_short_decimal() -> None:
    assert shortest_float32(struct.unpack("<f", struct.pack("<f", 1e-05))[0]) == 1e-05
    assert shortest_float32(struct.unpack("<f", struct.pack("<f", 0.7))[0]) == 0.7
    assert shortest_float32(struct.unpack("<f", struct.pack("<f", 16777216.0))[0]) == 16777216.0
    assert shortest_float32(11.834640502929688) == 11.8346405
    assert shortest_float32(float("inf")) == float("inf")
    assert shortest_float32(2.0**-149) == 1e-45


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_shortest_float32_never_names_another_float32(value: float) -> None:
    assert struct.pack("<f", shortest_float32(value)) == struct.pack("<f", value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_survives_its_text(value: float) -> None:
    assert parse_float(format_float(value)) == value


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
