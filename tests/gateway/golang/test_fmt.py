from typing import Any

import pytest

from gateway.golang.fmt import FormatSpec, format_value, sprint, sprintf, sprintln
from gateway.golang.values import MISSING, TemplateError


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
        ([1, "a", None, []], "[1 a <nil> []]"),
        ({"b": True, "a": {"x": 1.5}}, "map[a:map[x:1.5] b:true]"),
        (b"ab", "[97 98]"),
    ],
)
def test_values_print_as_go_prints_them(value: Any, text: str) -> None:
    assert format_value(value) == text


def test_source_form() -> None:
    spec = FormatSpec(source=True)
    assert format_value(["a", None], spec) == '[]interface {}{"a", interface {}(nil)}'
    assert format_value({"a": 1}, spec) == 'map[string]interface {}{"a":1}'


@pytest.mark.parametrize(
    ("form", "values", "text"),
    [
        ("%d|%5d|%-5d|%05d|%+d|% d", (1, 2, 3, 4, 5, 6), "1|    2|3    |00004|+5| 6"),
        ("%x %X %#x %o %#o", (255, 255, 255, 8, 8), "ff FF 0xff 10 010"),
        ("%.3d|%8.3d", (7, 7), "007|     007"),
        ("%c %q", (97, 97), "a 'a'"),
        ("%s|%5s|%-5s|%.2s", ("a", "b", "c", "abc"), "a|    b|c    |ab"),
        ("%q %#q %x % x", ('a"', "b", "hi", "hi"), '"a\\"" `b` 6869 68 69'),
        (
            "%f %.2f %8.3f %e %g %G",
            (1.5, 1.255, 1.5, 1.5, 1e6, 1e21),
            "1.500000 1.25    1.500 1.500000e+00 1e+06 1E+21",
        ),
        ("%06.2f|%+.1f", (-1.5, 2.0), "-01.50|+2.0"),
        ("%t %v %T %T", (True, False, 1, "a"), "true false int string"),
        ("%v %d", ([1, 2], [3, 4]), "[1 2] [3 4]"),
        ("%*d|%-*d|%.*f", (4, 1, 3, 2, 1, 2.55), "   1|2  |2.5"),
        ("%[2]d %[1]d", (1, 2), "2 1"),
        ("%%", (), "%"),
        ("%d", ("x",), "%!d(string=x)"),
        ("%s", (3,), "%!s(int=3)"),
        ("%s", (None,), "%!s(<nil>)"),
        ("%d", (), "%!d(MISSING)"),
        ("%z", (1,), "%!z(int=1)"),
        ("a", (1, "b"), "a%!(EXTRA int=1, string=b)"),
        ("%", (), "%!(NOVERB)"),
        ("%[5]d", (1,), "%!d(BADINDEX)"),
        ("%*d", ("x", 1), "%!(BADWIDTH)1"),
    ],
)
def test_sprintf(form: str, values: tuple[Any, ...], text: str) -> None:
    assert sprintf(form, values) == text


def test_sprint_parts_only_values_that_are_no_strings() -> None:
    assert sprint([1, 2, "a", "b", 3]) == "1 2ab3"
    assert sprintln(["a", 1, None]) == "a 1 <nil>\n"


@pytest.mark.parametrize("verb", ["U", "b", "O"])
def test_three_verbs_are_not_supported(verb: str) -> None:
    with pytest.raises(TemplateError, match=f"^the verb %{verb} is not supported$"):
        sprintf(f"%{verb}", (1,))
