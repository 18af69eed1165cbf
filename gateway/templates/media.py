"""Images and sound in prompts: a marker in the text stands for each, until the engine's own does.

Markers read `[img-N]`, N counting from 0 over all messages of the prompt.
"""

import re
from dataclasses import dataclass
from typing import Any

_PLACE = "[img]"
_MARKER = re.compile(r"\[img-(\d+)\]")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt with markers, and the base64 data that marker N stands for, at N."""

    text: str
    media: tuple[str, ...]


def marked(content: Any, first: int) -> tuple[str, tuple[str, ...]]:
    """A message's content as text with markers from `first` on, and the data they stand for.

    `content` is a text, None, or parts as in the engine's chat completions. Each image takes the
    next `[img]` in the message's text. Without one its marker stands before the text; but where
    images stand among several texts, it stays in its place.
    """
    if not isinstance(content, list):
        return content or "", ()
    texts = [at for at, part in enumerate(content) if "text" in part]
    segments = [str(part.get("text", "")) for part in content]
    media: list[str] = []
    front = ""
    for at, part in enumerate(content):
        if "text" in part:
            continue
        marker = f"[img-{first + len(media)}]"
        if part["type"] == "input_audio":
            media.append(str(part["input_audio"]["data"]))
        else:
            media.append(str(part["image_url"]["url"]).partition(",")[2])
        place = next((text for text in texts if _PLACE in segments[text]), None)
        if place is not None:
            segments[place] = segments[place].replace(_PLACE, marker, 1)
        elif len(texts) > 1:
            segments[at] = marker
        else:
            front += marker
    # A blank line parts texts that follow each other, also where a marker between them has moved.
    joined, after_text = "", False
    for at, segment in enumerate(segments):
        joined += "\n\n" + segment if after_text and at in texts else segment
        after_text = at in texts or (after_text and not segment)
    return front + joined, tuple(media)


def placed(rendered: Rendered, marker: str) -> tuple[str, tuple[str, ...]]:
    """The prompt with the engine's `marker`s, and the data in the order of these.

    The first marker of each number counts; data without one in the prompt is left out, for the
    engine wants as many data as markers. It exits over a prompt that ends with one, so then a
    newline follows.
    """
    order: list[int] = []

    def engine_marker(match: re.Match[str]) -> str:
        number = int(match[1])
        if number >= len(rendered.media) or number in order:
            return match[0]
        order.append(number)
        return marker

    text = _MARKER.sub(engine_marker, rendered.text)
    if order and text.endswith(marker):
        text += "\n"
    return text, tuple(rendered.media[number] for number in order)
