"""The chunks of a blob: sizes and state files as Ollama has them, so that either may go on."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

# Ollama's numbers, decimal and not powers of two. State files name sizes, so others could be read,
# but the same plan makes what either server leaves look alike.
MAX_CONCURRENT = 16
_LEAST = 100_000_000
_LARGEST = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """`size` bytes from `offset` on; the first `completed` of them are there."""

    number: int
    offset: int
    size: int
    completed: int = 0


def plan(total: int) -> tuple[Chunk, ...]:
    """The chunks of a blob of `total` bytes: a sixteenth each, within limits; none when empty."""
    size = min(max(total // MAX_CONCURRENT, _LEAST), _LARGEST)
    offsets = range(0, total, size)
    return tuple(
        Chunk(number, offset, min(size, total - offset)) for number, offset in enumerate(offsets)
    )


def encode(chunk: Chunk) -> bytes:
    """The state file of a chunk."""
    # Capitals, because Ollama reads and writes these keys so.
    state = {
        "N": chunk.number,
        "Offset": chunk.offset,
        "Size": chunk.size,
        "Completed": chunk.completed,
    }
    return json.dumps(state, separators=(",", ":")).encode() + b"\n"


def decode(data: bytes) -> Chunk:
    """Read a state file; raises ValueError when it is none."""
    state = json.loads(data)
    if not isinstance(state, dict):
        raise ValueError("the state of a chunk must be a JSON object")
    # A key that is missing is 0 where Ollama reads it.
    numbers = [state.get(key, 0) for key in ("N", "Offset", "Size", "Completed")]
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("the state of a chunk must be numbers")
    chunk = Chunk(*numbers)
    if chunk.completed > chunk.size:
        raise ValueError("a chunk cannot have more bytes than its size")
    return chunk


def joined(chunks: Iterable[Chunk]) -> tuple[Chunk, ...] | None:
    """The chunks in order, or None when they do not cover a blob from its first byte on."""
    ordered = tuple(sorted(chunks, key=lambda chunk: chunk.number))
    # Ollama goes on from whatever state files there are. With a gap between them the blob would be
    # complete by its count and wrong by its digest, after gigabytes.
    end = 0
    for number, chunk in enumerate(ordered):
        if (chunk.number, chunk.offset) != (number, end):
            return None
        end += chunk.size
    return ordered or None


def total(chunks: Iterable[Chunk]) -> int:
    """Bytes of the blob."""
    return sum(chunk.size for chunk in chunks)
