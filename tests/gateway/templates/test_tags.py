"""Tags in a text that comes in pieces."""

import pytest

from gateway.templates.tags import beginning


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", 0),
        ("text", 0),
        ("a <", 1),
        ("<think", 6),
        ("<think>", 0),
        ("<<th", 3),
        ("<th ", 0),
    ],
)
def test_the_end_of_a_text_may_begin_a_tag(text: str, size: int) -> None:
    assert beginning(text, "<think>") == size


def test_a_tag_of_one_character_has_no_beginning() -> None:
    assert beginning("{", "{") == 0
