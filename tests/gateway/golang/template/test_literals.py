import pytest

from gateway.golang.template.literals import parse_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-3", -3),
        ("+73", 73),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0X_1f", 31),
        ("-0x10", -16),
        ("017", 15),
        ("0o17", 15),
        ("0b101", 5),
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
    ],
)
def test_integers_of_every_base(text: str, value: int) -> None:
    value_read = parse_number(text)
    assert value_read == value
    assert type(value_read) is int


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e3", 1000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-1.5e-3", -0.0015),
        ("0x1p4", 16.0),
        ("0x1.8p1", 3.0),
        ("08.5", 8.5),
    ],
)
def test_floats(text: str, value: float) -> None:
    value_read = parse_number(text)
    assert value_read == value
    assert type(value_read) is float


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("99999999999999999999", 'integer overflow: "99999999999999999999"'),
        ("-9223372036854775809", 'integer overflow: "-9223372036854775809"'),
        ("+", 'illegal number syntax: "[+]"'),
        ("0x", 'illegal number syntax: "0x"'),
        ("08", "integer overflow"),
        ("1__0", 'illegal number syntax: "1__0"'),
        ("1_", 'illegal number syntax: "1_"'),
        ("1e400", 'illegal number syntax: "1e400"'),
    ],
)
def test_what_go_refuses(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_number(text)
