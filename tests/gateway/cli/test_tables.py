"""Tables, byte for byte."""

import pytest

from gateway.cli.tables import block, cells, flow, table


def test_header_and_row_have_their_trailing_blanks() -> None:
    text = table(
        ("name", "id", "size", "modified"), [["model1", "sha256:abc12", "1.0 KB", "24 hours ago"]]
    )
    assert text == (
        "NAME      ID              SIZE      MODIFIED     \n"
        "model1    sha256:abc12    1.0 KB    24 hours ago    \n"
    )


def test_no_rows_leave_the_header() -> None:
    assert table(("name", "id"), []) == "NAME    ID \n"


def test_wide_characters_take_two_cells() -> None:
    assert table(("a", "b"), [["\u6a21\u578b", "x"], ["y", "z"]]) == (
        "A       B \n\u6a21\u578b    x    \ny       z    \n"
    )


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("abc", 3),
        ("\u6a21", 2),
        ("e\u0301", 1),
        ("\x1b[1mab\x1b[0m", 2),
        ("a\u200bb", 2),
        ("\U0001f600", 2),
    ],
)
def test_cells(text: str, width: int) -> None:
    assert cells(text) == width


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("short one", ["short one"]),
        ("aaa bb cc ddddd", ["aaa", "bb cc", "ddddd"]),
        ("abcdefghij", ["abcdefghij"]),
        ("a abcdefghij b", ["a", "abcdefghij", "b"]),
        ("ab\ncd ef gh ij", ["ab", "cd ef", "gh ij"]),
        ("", [""]),
    ],
)
def test_a_long_cell_is_broken_evenly_between_words(text: str, lines: list[str]) -> None:
    assert flow(text, 6 if "short" not in text else 30) == lines


def test_a_broken_cell_makes_its_row_taller() -> None:
    assert table((), [["a", "bb cc dd ee"], ["f", "g"]], wrap=5) == (
        "a    bb cc    \n     dd ee    \nf    g        \n"
    )


def test_a_block_is_indented_and_ends_with_a_blank_line() -> None:
    assert block("Model", [["architecture", "llama"], ["parameters", "944K"]]) == (
        "  Model\n    architecture    llama    \n    parameters      944K     \n\n"
    )


def test_rows_may_differ_in_length() -> None:
    assert block("Parameters", [["stop", '"a', 'b"'], ["seed", "1"]]) == (
        '  Parameters\n    stop    "a    b"    \n    seed    1     \n\n'
    )
