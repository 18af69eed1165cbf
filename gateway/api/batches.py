"""How many inputs a runner is given at once."""

from collections.abc import Iterator, Sequence

# Between the results of one call the engine does not notice that the client has left, so a batch is
# what a client that left still costs.
_MOST_TEXTS = 64
_MOST_CHARACTERS = 1 << 16


def batches(inputs: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, as many in each list as go to the engine at once."""
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
