"""The parts of a blob: sizes and state files as Ollama has them, so that either may go on."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

MOST_AT_ONCE = 16
_LEAST = 100_000_000
_LARGEST = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """`size` bytes from `offset` on; the first `completed` of them are there."""

    number: int
    offset: int
    size: int
    completed: int = 0


def plan(total: int) -> tuple[Part, ...]:
    """The parts of a blob of `total` bytes: a sixteenth each, within limits; none when empty."""
    size = min(max(total // MOST_AT_ONCE, _LEAST), _LARGEST)
    offsets = range(0, total, size)
    return tuple(
        Part(number, offset, min(size, total - offset)) for number, offset in enumerate(offsets)
    )


def encode(part: Part) -> bytes:
    """The state file of a part."""
    state = {
        "N": part.number,
        "Offset": part.offset,
        "Size": part.size,
        "Completed": part.completed,
    }
    return json.dumps(state, separators=(",", ":")).encode() + b"\n"


def decode(data: bytes) -> Part:
    """Read a state file; raises ValueError when it is none."""
    found = json.loads(data)
    if not isinstance(found, dict):
        raise ValueError("the state of a part must be a JSON object")
    numbers = [found.get(key, 0) for key in ("N", "Offset", "Size", "Completed")]
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("the state of a part must be numbers")
    part = Part(*numbers)
    if part.completed > part.size:
        raise ValueError("a part cannot have more bytes than its size")
    return part


def joined(parts: Iterable[Part]) -> tuple[Part, ...] | None:
    """The parts in order, or None when they do not cover a blob from its first byte on."""
    ordered = tuple(sorted(parts, key=lambda part: part.number))
    end = 0
    for number, part in enumerate(ordered):
        if (part.number, part.offset) != (number, end):
            return None
        end += part.size
    return ordered or None


def total(parts: Iterable[Part]) -> int:
    """Bytes of the blob."""
    return sum(part.size for part in parts)
