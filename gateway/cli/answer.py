"""A streamed answer as terminal text: thinking set apart, long lines broken between words.

Pure: pieces of the answer in, text for standard output out.
"""

from collections.abc import Mapping
from typing import Any

from gateway.cli.tables import cell, cells
from gateway.golang.duration import format_duration

GREY, BOLD, PLAIN = "\x1b[38;5;245m", "\x1b[1m", "\x1b[0m"
NARROWEST = 10  # a terminal with fewer columns gets its lines as they are
MARGIN = 5
TAB = 8


class Wrap:
    """Breaks lines before they reach the edge of a terminal of `width` columns.

    The word that would stick out is already on the screen, so it is erased there and written
    again on the next line.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._used = 0
        self._word = ""

    def feed(self, text: str) -> str:
        if self._width < NARROWEST:
            return text
        return "".join(map(self._place, text))

    def reset(self) -> None:
        """The cursor is at the start of a line again."""
        self._used, self._word = 0, ""

    def _place(self, char: str) -> str:
        if char in "\r\n":
            self.reset()
            return char
        width = TAB - self._used % TAB if char == "\t" else cell(char)
        broken = ""
        if self._used + width > self._width - MARGIN:
            broken = self._break(char)
            if broken and char in " \t":
                return broken
        self._used += width
        self._word = "" if char in " \t" or width > 1 else self._word + char
        return broken + char

    def _break(self, char: str) -> str:
        """What starts a new line before `char`; nothing inside a word too long for any line."""
        word, taken = self._word, cells(self._word)
        if char in " \t":
            self.reset()
            return "\n"
        if taken > self._width - 2 * MARGIN:
            self._used = 0
            return ""
        self._used = taken
        return (f"\x1b[{taken}D" if taken else "") + "\x1b[K\n" + word


class Answer:
    """One answer. `hide` drops its thinking, `color` greys it, `wrap` breaks its lines."""

    def __init__(self, *, wrap: Wrap | None = None, color: bool = False, hide: bool = False):
        self._wrap = wrap
        self._color = color
        self._hide = hide
        self._open = False
        self.thinking = ""
        self.content = ""

    def feed(self, thinking: str, content: str) -> str:
        """The next piece; either text may be empty."""
        out = ""
        self.thinking += thinking
        if thinking and not self._hide:
            if not self._open:
                self._open = True
                out += self._title("Thinking...\n", then=GREY)
            out += self._flow(thinking)
        if content:
            self.content += content
            out += self._close() + self._flow(content)
        return out

    def finish(self) -> str:
        """What ends an answer that was cut off while the model thought."""
        return PLAIN if self._open and self._color else ""

    def _close(self) -> str:
        if not self._open:
            return ""
        self._open = False
        if self._wrap:
            self._wrap.reset()
        newline = "" if self.thinking.endswith("\n") else "\n"
        return newline + self._title("...done thinking.\n\n", then="")

    def _title(self, text: str, *, then: str) -> str:
        return f"{GREY}{BOLD}{text}{PLAIN}{then}" if self._color else text

    def _flow(self, text: str) -> str:
        return self._wrap.feed(text) if self._wrap else text


def statistics(final: Mapping[str, Any]) -> str:
    """The `--verbose` block from the last object of a stream: a line per number above zero."""

    def number(key: str) -> int:
        return int(final.get(key) or 0)

    lines = [_duration("total duration", number("total_duration"))]
    lines.append(_duration("load duration", number("load_duration")))
    for name in ("prompt eval", "eval"):
        key = name.replace(" ", "_")
        count, taken = number(f"{key}_count"), number(f"{key}_duration")
        if count > 0:
            lines.append(_row(f"{name} count", f"{count} token(s)"))
        if taken > 0:
            lines.append(_duration(f"{name} duration", taken))
            if count > 0:
                lines.append(_row(f"{name} rate", f"{count / taken * 1e9:.2f} tokens/s"))
    return "".join(lines)


def _duration(label: str, nanoseconds: int) -> str:
    return _row(label, format_duration(nanoseconds / 1e9)) if nanoseconds > 0 else ""


def _row(label: str, value: str) -> str:
    return f"{label + ':':<22}{value}\n"
