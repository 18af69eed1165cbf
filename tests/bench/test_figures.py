"""Rows and tables from known samples."""

import pytest

from bench.figures import Row, added, document, grid, plain, quartiles, ratio, table, text


def test_a_ratio_is_the_median_of_neighbours_not_the_ratio_of_medians() -> None:
    row = ratio("r", [10.0, 40.0, 90.0], [20.0, 40.0, 60.0], target=0.97)
    assert (row.value, row.gateway, row.direct) == (1.0, 40.0, 40.0)
    row = ratio("r", [1.0, 2.0, 9.0], [2.0, 1.0, 10.0])
    assert (row.value, row.gateway, row.direct) == (0.9, 2.0, 2.0)


def test_what_is_added_is_the_median_of_the_differences() -> None:
    row = added("a", [3.0, 9.0, 5.0], [1.0, 6.0, 4.0], target=2.0)
    assert (row.value, row.unit, row.gateway, row.direct) == (2.0, "ms", 5.0, 4.0)


def test_samples_that_are_not_paired_raise() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio("r", [1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("value", "target", "least", "verdict"),
    [
        (1.0, 1.0, False, "ok"),
        (1.1, 1.0, False, "miss"),
        (1.0, 1.0, True, "ok"),
        (0.9, 1.0, True, "miss"),
        (0.9, None, True, ""),
    ],
)
def test_verdict(value: float, target: float | None, least: bool, verdict: str) -> None:
    assert Row("x", value, "ms", target, least).verdict == verdict


def test_quartiles_need_four_samples() -> None:
    assert quartiles([1.0, 2.0, 3.0]) is None
    assert quartiles([5.0, 1.0, 2.0, 4.0, 3.0]) == (2.0, 4.0)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (0.0512, "0.0512"),
        (1.0, "1.00"),
        (48.46, "48.5"),
        (150.0, "150"),
        (12345.6, "12346"),
        (-3.456, "-3.46"),
        (999.96, "1000"),
        (0.0, "0.00"),
    ],
)
def test_three_figures_are_shown(value: float | None, shown: str) -> None:
    assert text(value) == shown


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert grid([("name", "n"), ("a", "10")]) == "name   n\n----  --\na     10"


def test_the_table_has_a_line_for_each_row_and_the_notes_below() -> None:
    rows = [
        plain("start", [0.5, 0.7, 0.6, 0.9], "s", target=0.8, note="of seven"),
        Row("ratio", 0.95, "x", 0.97, True, 9.5, 10.0),
    ]
    assert table(rows).splitlines() == [
        "measurement  value  unit    target        gateway  direct       quartiles",
        "-----------  -----  ----  --------  ----  -------  ------  --------------",
        "start        0.650     s  <= 0.800    ok    0.650          0.575 .. 0.750",
        "ratio        0.950     x  >= 0.970  miss     9.50    10.0",
        "",
        "start: of seven",
    ]


def test_the_document_holds_rows_with_verdicts_machine_and_failures() -> None:
    reported = document([Row("r", 2.0, "ms", 1.0)], {"cores": 2}, ["r: late"])
    assert reported["machine"] == {"cores": 2}
    assert reported["failures"] == ["r: late"]
    [row] = reported["rows"]
    assert (row["name"], row["value"], row["target"], row["verdict"]) == ("r", 2.0, 1.0, "miss")
