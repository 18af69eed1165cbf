"""JSON text in the eyes of Go's decoder."""

import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Invalid
from gateway.golang.json_syntax import MAX_DEPTH, JsonNumber, first_value

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def plain(value: object) -> object:
    """`value` with its numbers resolved."""
    if isinstance(value, JsonNumber):
        return value.value()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


@given(JSON)
def test_it_reads_what_orjson_writes(value: object) -> None:
    data = orjson.dumps(value)
    assert plain(first_value(data)) == orjson.loads(data)


@given(JSON, st.binary())
def test_whatever_follows_the_first_value_is_ignored(value: object, rest: bytes) -> None:
    data = orjson.dumps({"value": value})
    assert plain(first_value(data + rest)) == orjson.loads(data)


@given(st.binary() | st.text(alphabet='{}[]",:\\u0dtrfn1eE.+- \n').map(str.encode))
def test_any_bytes_give_a_value_or_invalid(data: bytes) -> None:
    try:
        value = first_value(data)
    except Invalid:
        value = None
    assert isinstance(orjson.dumps(plain(value)), bytes)


@given(JSON.map(orjson.dumps) | st.text(alphabet='{}[]",:\\u0dDcC8tfn1e.- ').map(str.encode))
def test_a_long_document_is_read_alike(inner: bytes) -> None:
    data = b'{"a":1,"b":2,"value":' + inner + b',"a":"\xff\\\\ud800\\ud800\\ud800\\udc00"}'
    read: list[object] = []
    for text in (data, data + b" " * 70_000):
        try:
            read.append(list(plain(first_value(text)).items()))  # type: ignore[attr-defined]
        except Invalid:
            read.append(None)
    assert read[0] == read[1]


@pytest.mark.parametrize(
    ("start", "error"),
    [
        (b'{"a":1', "unexpected EOF"),
        (b'{"a":"', "unexpected EOF"),
        (b'{"a":NaN,', "invalid character 'N' looking for beginning of value"),
        (b'{"a"-', "invalid character '-' in JSON"),
        (b'{"a":"\x01"', "invalid character '\\x01' in JSON"),
        (b"[" * 100_000, "invalid character '[' exceeded max depth"),
        (b"[" * 300 + b"]" * 300, "invalid character '[' exceeded max depth"),
    ],
)
def test_a_long_document_is_refused_in_fewer_words(start: bytes, error: str) -> None:
    with pytest.raises(Invalid, match=f"^{re.escape(error)}$"):
        first_value(start + b" " * 70_000)


def test_what_is_no_int_keeps_its_text_in_a_long_document_too() -> None:
    numbers = first_value(b"[" + b"0," * 500_000 + b"1" * 30 + b"]")
    assert isinstance(numbers, list)
    number = numbers[-1]
    assert (type(number), number) == (JsonNumber, "1" * 30)


@given(JSON, st.data())
def test_every_cut_of_a_document_is_an_unexpected_end(value: object, data: st.DataObject) -> None:
    text = orjson.dumps({"value": value})
    cut = data.draw(st.integers(min_value=1, max_value=len(text) - 1))
    with pytest.raises(Invalid, match=r"^unexpected EOF$"):
        first_value(text[:cut])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"", "missing request body"),
        (b" \t\r\n", "missing request body"),
        (b"{", "unexpected EOF"),
        (b'"', "unexpected EOF"),
        (b"-", "unexpected EOF"),
        (b"1.", "unexpected EOF"),
        (b"tru", "unexpected EOF"),
        (b'"\\u12', "unexpected EOF"),
        (b"hello", "invalid character 'h' looking for beginning of value"),
        (b"\xef\xbb\xbf{}", "invalid character '\u00ef' looking for beginning of value"),
        (b"\x1f\x8b\x08", "invalid character '\\x1f' looking for beginning of value"),
        (b"\xad", "invalid character '\\u00ad' looking for beginning of value"),
        (b'{"a":NaN}', "invalid character 'N' looking for beginning of value"),
        (b'{"a":}', "invalid character '}' looking for beginning of value"),
        (b"[1,]", "invalid character ']' looking for beginning of value"),
        (b"{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
        (b"{a:1}", "invalid character 'a' looking for beginning of object key string"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        (b'{"a":01}', "invalid character '1' after object key:value pair"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"[1}", "invalid character '}' after array element"),
        (b'{"a":tru}', "invalid character '}' in literal true (expecting 'e')"),
        (b"fabel", "invalid character 'b' in literal false (expecting 'l')"),
        (b"nil", "invalid character 'i' in literal null (expecting 'u')"),
        (b'"a\x01"', "invalid character '\\x01' in string literal"),
        (b'"a\tb"', "invalid character '\\t' in string literal"),
        (b'"a\nb"', "invalid character '\\n' in string literal"),
        (b'"\\x"', "invalid character 'x' in string escape code"),
        (b'"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape"),
        (b"-x", "invalid character 'x' in numeric literal"),
        (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
        (b"1ex", "invalid character 'x' in exponent of numeric literal"),
        (b"[1e+]", "invalid character ']' in exponent of numeric literal"),
    ],
)
def test_a_syntax_error_has_gos_words(text: bytes, error: str) -> None:
    with pytest.raises(Invalid) as caught:
        first_value(text)
    assert caught.value.message == error


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'"x"junk', "x"),
        (b"5x", "5"),
        (b"01", "0"),
        (b"trueabc", True),
        (b"nullx", None),
        (b"-1.5e+3", "-1.5e+3"),
        (b' {"a":1,"b":2,"a":3} ', {"b": "2", "a": "3"}),
        (b'"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9"', '"\\/\b\f\n\r\t\u00e9'),
    ],
)
def test_the_first_value_is_read(text: bytes, value: object) -> None:
    assert first_value(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\ud800"', "\ufffd"),
        (b'"\\udc00\\ud800"', "\ufffd\ufffd"),
        (b'"\\ud800\\u0041"', "\ufffdA"),
        (b'"\\ud800A"', "\ufffdA"),
        (b'"pl\xffain"', "pl\ufffdain"),
        (b'"\xe2\x82"', "\ufffd\ufffd"),
        (b'"\xed\xa0\x80"', "\ufffd\ufffd\ufffd"),
        (b'"\\ud83d\xb8"', "\ufffd\ufffd"),
        ('"\ufeff\u00e9\\n"'.encode(), "\ufeff\u00e9\n"),
    ],
)
def test_what_is_no_text_becomes_the_replacement_character(text: bytes, value: str) -> None:
    assert first_value(text) == value


def test_a_repeated_key_counts_where_it_was_last_written() -> None:
    value = first_value(b'{"a":1,"b":2,"a":3}')
    assert isinstance(value, dict)
    assert list(value.items()) == [("b", "2"), ("a", "3")]


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_is_bounded(opening: bytes, closing: bytes) -> None:
    first_value(opening * MAX_DEPTH + b"1" + closing * MAX_DEPTH)
    with pytest.raises(Invalid) as caught:
        first_value(opening * 100_000)
    assert caught.value.message == f"invalid character '{opening[:1].decode()}' exceeded max depth"


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("1.0", 1.0),
        ("1e2", 100.0),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", 2.0**64),
        ("-9223372036854775808", -(2**63)),
        ("-9223372036854775809", -(2.0**63)),
        ("1" * 5000, float("inf")),
    ],
)
def test_a_number_is_an_int_when_64_bits_hold_it(literal: str, value: float) -> None:
    number = JsonNumber(literal).value()
    assert number == value
    assert type(number) is type(value)
