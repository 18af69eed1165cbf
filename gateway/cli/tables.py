"""Tables of text without rules or borders, byte for byte as scripts expect them.

A column is as wide as its widest cell. Every body cell, the last one too, is followed by four
spaces; after the last header cell there is one. Made by hand, because rich has neither these gaps
nor cells whose lines are broken this evenly, and every `list` would have to import it.
"""

import re
import unicodedata
from collections.abc import Sequence

GAP = "    "
WRAP = 30  # cells longer than this are broken at spaces

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def cells(text: str) -> int:
    """How many terminal cells `text` takes: wide characters two, marks and colours none."""
    # Nearly every text is ASCII, which spares looking each character up.
    if text.isascii() and "\x1b" not in text:
        return len(text)
    return sum(cell(char) for char in _ANSI.sub("", text))


def cell(char: str) -> int:
    """Cells of one character."""
    if unicodedata.combining(char) or unicodedata.category(char) in ("Cc", "Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def table(header: Sequence[str], rows: Sequence[Sequence[str]], wrap: int = WRAP) -> str:
    """The rows under an upper-cased header; without a header only the rows."""
    body = [[flow(text, wrap) for text in row] for row in rows]
    widths = [cells(text) for text in header]
    for row in body:
        widths += [0] * (len(row) - len(widths))
        for i, texts in enumerate(row):
            widths[i] = max(widths[i], *map(cells, texts))
    lines = []
    if header:
        titles = [_pad(text.upper(), width) for text, width in zip(header, widths, strict=True)]
        lines.append(GAP.join(titles) + " ")
    for row in body:
        # A cell of several lines makes its row taller than one.
        for y in range(max(map(len, row), default=0)):
            parts = [texts[y] if y < len(texts) else "" for texts in row]
            lines.append("".join(_pad(part, widths[i]) + GAP for i, part in enumerate(parts)))
    return "".join(f"{line}\n" for line in lines)


def block(title: str, rows: Sequence[Sequence[str]], wrap: int = WRAP) -> str:
    """A titled table whose first column is empty, and a blank line."""
    return f"  {title}\n{table((), [('', *row) for row in rows], wrap)}\n"


def flow(text: str, wrap: int) -> list[str]:
    """`text` as lines of at most `wrap` cells, broken at spaces as evenly as they allow.

    A single word is never cut: the longest one may widen the limit.
    """
    if "\n" in text:
        return [line for part in text.splitlines() for line in flow(part, wrap)]
    if cells(text) <= wrap:
        return [text]
    return even_lines(text.split(), wrap)


def even_lines(words: Sequence[str], wrap: int) -> list[str]:
    """Words on lines so that the sum of the squares of what is left free is smallest."""
    widths = [cells(word) for word in words]
    limit = max(wrap, *widths) if words else wrap
    cost = [0.0] * (len(words) + 1)  # of laying out words[i:]
    stop = [len(words)] * (len(words) + 1)
    for i in range(len(words) - 1, -1, -1):
        cost[i] = float("inf")
        used = -1
        for j in range(i, len(words)):
            used += 1 + widths[j]
            if used > limit:
                break
            # The last line may be short.
            here = 0 if j + 1 == len(words) else (limit - used) ** 2
            if here + cost[j + 1] < cost[i]:
                cost[i], stop[i] = here + cost[j + 1], j + 1
    lines, at = [], 0
    while at < len(words):
        lines.append(" ".join(words[at : stop[at]]))
        at = stop[at]
    return lines or [""]


def _pad(text: str, width: int) -> str:
    return text + " " * (width - cells(text))
