from typing import Any

import pytest

from gateway.golang.template.printf import sprint, sprintf, sprintln


@pytest.mark.parametrize(
    ("form", "values", "text"),
    [
        ("%d|%5d|%-5d|%05d|%+d|% d", (1, 2, 3, 4, 5, 6), "1|    2|3    |00004|+5| 6"),
        ("%x %X %#x %o %#o %O %b", (255, 255, 255, 8, 8, 8, 5), "ff FF 0xff 10 010 0o10 101"),
        ("%.3d|%8.3d", (7, 7), "007|     007"),
        ("%c %q %U %#U", (97, 97, 97, 97), "a 'a' U+0061 U+0061 'a'"),
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
