"""Markers for images and sound."""

from typing import Any

import pytest

from gateway.templates.media import Rendered, marked, placed


def image(data: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


SOUND = {"type": "input_audio", "input_audio": {"data": "S", "format": "wav"}}


@pytest.mark.parametrize(
    ("content", "result"),
    [
        ("text [img]", "text [img]"),
        (None, ""),
        ([], ""),
        ([text("a")], "a"),
        ([text("a"), text("b")], "a\n\nb"),
        ([text("a"), image("A"), image("B")], "[img-3][img-4]a"),
        ([image("A")], "[img-3]"),
        ([text("what is [img] this"), image("A"), image("B")], "[img-4]what is [img-3] this"),
        ([text("[img] [img] [img]"), image("A"), image("B")], "[img-3] [img-4] [img]"),
        ([text("one"), image("A"), text("two"), image("B")], "one[img-3]two[img-4]"),
        ([text("a"), text("b [img]"), image("A"), text("c")], "a\n\nb [img-3]\n\nc"),
        ([SOUND, text("hear")], "[img-3]hear"),
    ],
)
def test_a_marker_stands_for_each_image(content: Any, result: str) -> None:
    assert marked(content, 3)[0] == result


def test_media_come_in_the_order_of_their_numbers() -> None:
    content = [text("a [img]"), image("A"), SOUND, image("B")]
    assert marked(content, 0) == ("[img-1][img-2]a [img-0]", ("A", "S", "B"))


def test_the_engines_markers_stand_in_the_order_of_the_text() -> None:
    rendered = Rendered("[img-1]a [img-0] [img-1] [img-7]", ("A", "B", "never shown"))
    assert placed(rendered, "<media>") == ("<media>a <media> [img-1] [img-7]", ("B", "A"))


def test_no_prompt_ends_with_media() -> None:
    assert placed(Rendered("this: [img-0]", ("A",)), "<media>") == ("this: <media>\n", ("A",))
    assert placed(Rendered("this: <media>", ()), "<media>") == ("this: <media>", ())


def test_without_media_a_prompt_stays_as_it_is() -> None:
    assert placed(Rendered("[img-0] and [img]", ()), "<media>") == ("[img-0] and [img]", ())
