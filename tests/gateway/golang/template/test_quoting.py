import pytest

from gateway.golang.template.quoting import quote, rune, unquote


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
    assert quote("é😀", plain=True) == r'"\u00e9\U0001f600"'
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
    assert rune(literal) == code


@pytest.mark.parametrize("literal", ["'ab'", r"'\nb'"])
def test_two_characters_are_malformed(literal: str) -> None:
    with pytest.raises(ValueError, match="malformed character constant"):
        rune(literal)


def test_no_character_is_invalid() -> None:
    with pytest.raises(ValueError, match="invalid syntax"):
        rune("''")
