"""What embeddings and reranking share: calls of the engine with many inputs at once."""

from collections.abc import Awaitable, Callable, Iterator, Sequence

from gateway.llama.requests import Call

SendCall = Callable[[Call], Awaitable[bytes]]
"""The engine's reply to a call; EngineError if it refuses."""

# While one result follows another the engine does not look whether the client is still there, so
# what a client that has left still costs is the rest of one call.
_MOST_TEXTS = 64
_MOST_CHARACTERS = 1 << 16


def batches(inputs: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, as many in each list as go into one call."""
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
