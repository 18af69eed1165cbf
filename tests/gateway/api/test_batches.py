"""How many inputs go into one call."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.api.batches import batches


def test_a_batch_has_at_most_64_texts_of_65536_characters_together() -> None:
    assert [len(batch) for batch in batches(["a"] * 130)] == [64, 64, 2]
    half = "b" * 32_768
    assert [len(batch) for batch in batches([half, half, "c", half, half, half])] == [2, 2, 2]
    assert list(batches(["d" * 100_000, "e", "f" * 100_000])) == [
        ["d" * 100_000],
        ["e"],
        ["f" * 100_000],
    ]
    assert list(batches([])) == []


@given(st.lists(st.integers(0, 40_000).map("x".__mul__), max_size=20))
def test_batches_are_all_texts_in_order(inputs: list[str]) -> None:
    result = list(batches(inputs))
    assert [text for batch in result for text in batch] == inputs
    assert all(result)
