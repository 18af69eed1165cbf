"""Separates thinking from text, for a model whose TEMPLATE shows the tags around thinking.

Only a reply that opens with the tag thinks, and it thinks once: a tag later on is text. White space
after either tag is dropped; white space before the closing one is kept.
"""

from enum import Enum, auto


class _ReasoningState(Enum):
    BEFORE = auto()
    OPENED = auto()
    INSIDE = auto()
    CLOSED = auto()
    AFTER = auto()


class ReasoningParser:
    """Output in, thinking and text out; how the output was cut into pieces does not matter.

    `inside` says that the prompt ended with the opening tag already.
    """

    def __init__(self, opening: str, closing: str, *, inside: bool = False) -> None:
        self._opening = opening
        self._closing = closing
        self._state = _ReasoningState.OPENED if inside else _ReasoningState.BEFORE
        # Blank pieces at the start: dropped if a tag follows, else text. A list, for joining each
        # piece to those before it would be quadratic.
        self._space: list[str] = []
        # The end of the output that may be the beginning of a tag.
        self._held = ""

    def feed(self, text: str) -> tuple[str, str]:
        """Thinking and text that a further piece of output makes certain."""
        if self._state is _ReasoningState.BEFORE:
            text = self._before(text)
        thinking = ""
        if self._state is _ReasoningState.OPENED:
            text = text.lstrip()
            if text:
                self._state = _ReasoningState.INSIDE
        if self._state is _ReasoningState.INSIDE:
            thinking, closing, text = (self._held + text).partition(self._closing)
            self._held = ""
            if closing:
                self._state = _ReasoningState.CLOSED
            else:
                kept = len(thinking) - partial_tag_length(thinking, self._closing)
                thinking, self._held = thinking[:kept], thinking[kept:]
        if self._state is _ReasoningState.CLOSED:
            text = text.lstrip()
            if text:
                self._state = _ReasoningState.AFTER
        return thinking, text

    def flush(self) -> tuple[str, str]:
        """The rest at the end of the output: the beginning of a tag that did not come is text."""
        held, self._held = "".join(self._space) + self._held, ""
        self._space.clear()
        return (held, "") if self._state is _ReasoningState.INSIDE else ("", held)

    def _before(self, text: str) -> str:
        """The output for the state that follows; empty while the state is still open."""
        if not self._held and (not text or text.isspace()):
            self._space.append(text)
            return ""
        text = self._held + text
        body = text.lstrip()
        self._space.append(text[: len(text) - len(body)])
        self._held = ""
        if body.startswith(self._opening):
            self._space.clear()
            self._state = _ReasoningState.OPENED
            return body[len(self._opening) :]
        if self._opening.startswith(body):
            self._held = body
            return ""
        self._state = _ReasoningState.AFTER
        text = "".join(self._space) + body
        self._space.clear()
        return text


def partial_tag_length(text: str, tag: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`, short of all of it.

    >>> partial_tag_length("2 <", "<think>")
    1
    """
    for size in range(min(len(text), len(tag) - 1), 0, -1):
        if text.endswith(tag[:size]):
            return size
    return 0
