"""Durations in Go's notation."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Invalid
from gateway.golang.duration import (
    format_duration,
    parse_duration,
    parse_keep_alive,
    parse_setting_duration,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("-0", 0.0),
        ("5s", 5.0),
        ("+5s", 5.0),
        ("1h30m", 5400.0),
        ("5m30.5s", 330.5),
        ("-1m", -60.0),
        (".5s", 0.5),
        ("1.s", 1.0),
        ("1500ms", 1.5),
        ("250us", 0.00025),
        ("250\u00b5s", 0.00025),
        ("250\u03bcs", 0.00025),
        ("7ns", 7e-9),
        ("0.9ns", 0.0),
        ("1.0000000000000000000000000000001s", 1.0),
        ("00000000000000000000000000005s", 5.0),
        ("-9223372036854775808ns", -9223372036.854775808),
    ],
)
def test_a_duration_is_read_in_go_syntax(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", 'time: invalid duration ""'),
        ("x", 'time: invalid duration "x"'),
        (" 5m", 'time: invalid duration " 5m"'),
        ("-", 'time: invalid duration "-"'),
        (".s", 'time: invalid duration ".s"'),
        ("--5s", 'time: invalid duration "--5s"'),
        ("5", 'time: missing unit in duration "5"'),
        ("1.2.3s", 'time: missing unit in duration "1.2.3s"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("5 m", 'time: unknown unit " m" in duration "5 m"'),
        ("5M", 'time: unknown unit "M" in duration "5M"'),
        ("3000000h", 'time: invalid duration "3000000h"'),
        ("9223372036854775808ns", 'time: invalid duration "9223372036854775808ns"'),
        ("99999999999999999999", 'time: invalid duration "99999999999999999999"'),
        ("2000000h2000000h", 'time: invalid duration "2000000h2000000h"'),
        ('a"\\\n\u00e9', 'time: invalid duration "a\\"\\\\\\x0a\\xc3\\xa9"'),
        ("5\u0663s", 'time: unknown unit "\\xd9\\xa3s" in duration "5\\xd9\\xa3s"'),
    ],
)
def test_a_bad_duration_is_refused_in_the_words_of_go(text: str, error: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_duration(text)
    assert caught.value.message == error


@given(st.text())
def test_any_text_is_a_number_of_seconds_or_invalid(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except Invalid:
        seconds = 0.0
    assert abs(seconds) <= 9223372036.854775808


@given(st.integers(min_value=-(2**50), max_value=2**50))
def test_a_formatted_duration_reads_back_the_same(nanoseconds: int) -> None:
    seconds = nanoseconds / 1e9
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        (60, 60.0),
        (2.5, 2.5),
        (0, 0.0),
        (-0.0, 0.0),
        (-1, math.inf),
        (-0.001, math.inf),
        (9_000_000_000, 9e9),
        (100_000_000_000, math.inf),
        (10**400, math.inf),
        ("10m", 600.0),
        ("0", 0.0),
        ("0s", 0.0),
        ("-0s", 0.0),
        ("-5m", math.inf),
    ],
)
def test_keep_alive_is_seconds_or_for_ever(value: Any, seconds: float | None) -> None:
    assert parse_keep_alive(value) == seconds


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("5", 'time: missing unit in duration "5"'),
        (True, "Unsupported type: 'bool'"),
        (False, "Unsupported type: 'bool'"),
        ({}, "Unsupported type: 'map[string]interface {}'"),
        ([], "Unsupported type: '[]interface {}'"),
    ],
)
def test_a_keep_alive_of_another_type_is_refused(value: Any, error: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_keep_alive(value)
    assert caught.value.message == error


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300.0), ("300", 300.0), ("-1", -1.0), ("+7", 7.0), ("-1m", -60.0), ("0", 0.0)],
)
def test_a_setting_may_be_a_plain_number_of_seconds(text: str, seconds: float) -> None:
    assert parse_setting_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "1.5", "5 m", "1_000", "\u0663"])
def test_a_setting_that_is_neither_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"^time: "):
        parse_setting_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (-0.0, "0s"),
        (1e-10, "0s"),
        (7e-9, "7ns"),
        (1.5e-6, "1.5\u00b5s"),
        (0.456789, "456.789ms"),
        (0.1, "100ms"),
        (1.0, "1s"),
        (1.5, "1.5s"),
        (10.0, "10s"),
        (60.0, "1m0s"),
        (90.0, "1m30s"),
        (3600.0, "1h0m0s"),
        (100 * 3600.0 + 1.25, "100h0m1.25s"),
        (-90.0, "-1m30s"),
        (math.inf, "forever"),
    ],
)
def test_a_duration_is_printed_as_go_does(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
