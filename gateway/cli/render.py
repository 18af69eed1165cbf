"""A streamed answer as terminal text: thinking set apart, long lines broken between words.

Pure: pieces of the answer in, text for standard output out.
"""

from gateway.cli.json_fields import JsonMapping, integer_field
from gateway.cli.tables import cell, cells
from gateway.golang.duration import format_duration

GREY, BOLD, PLAIN = "\x1b[38;5;245m", "\x1b[1m", "\x1b[0m"
NARROWEST = 10  # a terminal with fewer columns gets its lines as they are
MARGIN = 5
TAB = 8


class WordWrap:
    """Breaks lines before they reach the edge of a terminal of `width` columns."""

    # By hand, because rich wraps texts that are complete, and this one comes token by token: the
    # word that would stick out is already on the screen, so it is erased there and written again on
    # the next line.

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
        """What to write for one character: itself, perhaps after a break."""
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
        # Scripts with double-width characters have no blanks: a line may end after each of them.
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
        # Back to the start of the word, erase it, and write it again one line below.
        return (f"\x1b[{taken}D" if taken else "") + "\x1b[K\n" + word


class AnswerRenderer:
    """One answer. `hide` drops its thinking, `color` greys it, `wrap` breaks its lines."""

    def __init__(self, *, wrap: WordWrap | None = None, color: bool = False, hide: bool = False):
        self._wrap = wrap
        self._color = color
        self._hide = hide
        self._thinking_open = False
        self.thinking = ""
        self.content = ""

    def feed(self, thinking: str, content: str) -> str:
        """The text for the next piece; either part of it may be empty."""
        out = ""
        self.thinking += thinking
        if thinking and not self._hide:
            if not self._thinking_open:
                self._thinking_open = True
                out += self._title("Thinking...\n", then=GREY)
            out += self._flow(thinking)
        if content:
            self.content += content
            if self._thinking_open:
                self._thinking_open = False
                # Thinking may end in the middle of a line, and the answer begins a new one.
                if self._wrap:
                    self._wrap.reset()
                out += "" if self.thinking.endswith("\n") else "\n"
                out += self._title("...done thinking.\n\n", then="")
            out += self._flow(content)
        return out

    def finish(self) -> str:
        """What ends an answer that was cut off while the model thought."""
        return PLAIN if self._thinking_open and self._color else ""

    def _title(self, text: str, *, then: str) -> str:
        return f"{GREY}{BOLD}{text}{PLAIN}{then}" if self._color else text

    def _flow(self, text: str) -> str:
        return self._wrap.feed(text) if self._wrap else text


def statistics(last: JsonMapping) -> str:
    """The `--verbose` block from the last object of a stream: a line per number above zero.

    Durations are in nanoseconds.
    """

    def row(label: str, value: str) -> str:
        return f"{label + ':':<22}{value}\n"

    def duration(label: str) -> str:
        nanoseconds = integer_field(last, label.replace(" ", "_"))
        return row(label, format_duration(nanoseconds / 1e9)) if nanoseconds > 0 else ""

    lines = [duration("total duration"), duration("load duration")]
    for name in ("prompt eval", "eval"):
        key = name.replace(" ", "_")
        count = integer_field(last, f"{key}_count")
        nanoseconds = integer_field(last, f"{key}_duration")
        if count > 0:
            lines.append(row(f"{name} count", f"{count} token(s)"))
        lines.append(duration(f"{name} duration"))
        if count > 0 and nanoseconds > 0:
            lines.append(row(f"{name} rate", f"{count / nanoseconds * 1e9:.2f} tokens/s"))
    return "".join(lines)
