"""How hard to think, as OpenAI says it."""

from typing import Any

import pytest

from gateway.api.effort import think_level
from gateway.errors import Invalid


@pytest.mark.parametrize(
    ("word", "effort"),
    [
        ("none", False),
        ("minimal", "low"),
        ("low", "low"),
        ("medium", "medium"),
        ("high", "high"),
        ("max", "max"),
        ("xhigh", "max"),
        ("ultra", "max"),
        ("", None),
    ],
)
def test_effort_is_ollamas_thinking_in_either_spelling(word: str, effort: Any) -> None:
    assert think_level(word) == effort


def test_no_effort_leaves_it_to_the_model() -> None:
    assert think_level(None) is None


@pytest.mark.parametrize("word", ["bogus", "LOW", 5, True, ["low"], {}])
def test_another_effort_is_refused(word: Any) -> None:
    with pytest.raises(Invalid) as caught:
        think_level(word)
    assert caught.value.message == (
        f'invalid reasoning value: "{word}" (must be "minimal", "low", "medium", "high", '
        '"xhigh", "ultra", "max", or "none")'
    )


# ---- errors
