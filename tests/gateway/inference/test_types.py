"""What of a prompt was left out, as a header says it."""

import pytest

from gateway.inference.types import PromptState


@pytest.mark.parametrize(
    ("messages", "tokens", "text"),
    [(0, 0, ""), (3, 0, "3 messages"), (0, 20, "20 tokens"), (3, 20, "3 messages, 20 tokens")],
)
def test_a_state_says_what_was_left_out(messages: int, tokens: int, text: str) -> None:
    assert PromptState([], dropped_messages=messages, dropped_tokens=tokens).truncated == text
