"""From samples to rows, and from rows to the table and its JSON. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `gateway` and `direct` are the medians behind `value`."""

    name: str
    value: float
    unit: str
    target: float | None = None
    least: bool = False
    """The target is a lower bound, not an upper one."""
    gateway: float | None = None
    direct: float | None = None
    quartiles: tuple[float, float] | None = None
    """Of the pairs, or of the samples where nothing is paired."""
    note: str = ""

    @property
    def verdict(self) -> str:
        """`ok` or `miss`; empty without a target."""
        if self.target is None:
            return ""
        met = self.value >= self.target if self.least else self.value <= self.target
        return "ok" if met else "miss"


def quartiles(samples: Sequence[float]) -> tuple[float, float] | None:
    """The first and the third, if there are enough samples to tell."""
    if len(samples) < 4:
        return None
    first, _, third = quantiles(samples, n=4, method="inclusive")
    return first, third


def ratio(
    name: str,
    gateway: Sequence[float],
    direct: Sequence[float],
    *,
    target: float | None = None,
    note: str = "",
) -> Row:
    """Gateway over direct: the median of the ratios of neighbours in time; more is better."""
    ratios = [a / b for a, b in zip(gateway, direct, strict=True)]
    return Row(
        name,
        median(ratios),
        "x",
        target,
        True,
        median(gateway),
        median(direct),
        quartiles(ratios),
        note,
    )


def added(
    name: str,
    gateway: Sequence[float],
    direct: Sequence[float],
    *,
    target: float | None = None,
    note: str = "",
) -> Row:
    """Gateway minus direct, milliseconds: the median of the differences of neighbours in time."""
    more = [a - b for a, b in zip(gateway, direct, strict=True)]
    return Row(
        name,
        median(more),
        "ms",
        target,
        False,
        median(gateway),
        median(direct),
        quartiles(more),
        note,
    )


def plain(
    name: str,
    samples: Sequence[float],
    unit: str,
    *,
    target: float | None = None,
    direct: Sequence[float] = (),
    note: str = "",
) -> Row:
    """The median of what was measured at the gateway; less is better."""
    return Row(
        name,
        median(samples),
        unit,
        target,
        False,
        median(samples),
        median(direct) if direct else None,
        quartiles(samples),
        note,
    )


def text(value: float | None) -> str:
    """Three figures that count."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 999.5 else f"{value:#.3g}".rstrip(".")


def grid(cells: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns of equal width under a line of dashes; the first `left` stand at the left edge."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]

    def line(row: Sequence[str]) -> str:
        parts = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(parts).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(cells[0]), rule, *(line(row) for row in cells[1:])])


def table(rows: Sequence[Row]) -> str:
    """For people; the notes are below it."""
    head = ("measurement", "value", "unit", "target", "", "gateway", "direct", "quartiles")
    lines = [
        (
            row.name,
            text(row.value),
            row.unit,
            "" if row.target is None else f"{'>=' if row.least else '<='} {text(row.target)}",
            row.verdict,
            text(row.gateway),
            text(row.direct),
            " .. ".join(text(value) for value in row.quartiles or ()),
        )
        for row in rows
    ]
    notes = [f"{row.name}: {row.note}" for row in rows if row.note]
    return "\n".join([grid([head, *lines]), "", *notes]).rstrip()


def document(
    rows: Sequence[Row], machine: Mapping[str, Any], failures: Sequence[str]
) -> dict[str, Any]:
    """For programs: the same, and where it was measured."""
    return {
        "machine": dict(machine),
        "rows": [asdict(row) | {"verdict": row.verdict} for row in rows],
        "failures": list(failures),
    }
