"""How many inputs a runner is given at once."""

from collections.abc import Iterator, Sequence

# As long as one result follows another the engine does not look whether anybody waits for them, so
# what a client that left still costs is what is asked for at once.
_MOST_TEXTS = 64
_MOST_CHARACTERS = 1 << 16


def batches(inputs: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, as many in each list as the engine is asked for at once."""
    batch: list[str] = []
    characters = 0
    for one in inputs:
        characters += len(one)
        if batch and (len(batch) == _MOST_TEXTS or characters > _MOST_CHARACTERS):
            yield batch
            batch, characters = [], len(one)
        batch.append(one)
    if batch:
        yield batch
