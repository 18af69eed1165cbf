"""GGUF files for tests: any metadata, any tensors. Standard library only."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

# Name -> (id, elements a block, bytes a block), as the format's description has them.
TYPES = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q8_0": (8, 32, 34)}

SCALARS = {
    "u8": (0, "B"),
    "i8": (1, "b"),
    "u16": (2, "H"),
    "i16": (3, "h"),
    "u32": (4, "I"),
    "i32": (5, "i"),
    "f32": (6, "f"),
    "bool": (7, "?"),
    "u64": (10, "Q"),
    "i64": (11, "q"),
    "f64": (12, "d"),
}

LLAMA: Mapping[str, Any] = {
    "general.architecture": "llama",
    "general.name": "tiny",
    "llama.context_length": 512,
    "llama.embedding_length": 64,
    "llama.block_count": 1,
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": ["<s>", "a", "b"],
    "general.file_type": 1,
}

TENSORS = (("token_embd.weight", "F16", (64, 3)), ("output_norm.weight", "F32", (64,)))


@dataclass(frozen=True)
class As:
    """A number, or an array of them, in a type of its own: `As("u64", 5)`, `As("f32", [1.0])`."""

    kind: str
    value: Any


def write(
    path: Path,
    metadata: Mapping[str, Any] = LLAMA,
    tensors: Sequence[tuple[str, str, tuple[int, ...]]] = TENSORS,
    *,
    order: str = "<",
    version: int = 3,
    missing: int = 0,
    data: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a GGUF file; `missing` bytes are left off its end.

    Plain values are stored as strings, bools, u32 or f32; lists as arrays of strings, i32 or f32.
    `order` is `<` or `>`, as in `struct`. Each tensor is a name, a type's name and a shape; its
    bytes are those that `data` has by its name, else zeros.
    """
    out = bytearray(b"GGUF" + struct.pack(f"{order}IQQ", version, len(tensors), len(metadata)))
    for key, value in metadata.items():
        out += _text(key, order) + _value(value, order)
    weights = bytearray()
    for name, kind, shape in tensors:
        number, elements, width = TYPES[kind]
        out += _text(name, order) + struct.pack(f"{order}I{len(shape)}Q", len(shape), *shape)
        out += struct.pack(f"{order}IQ", number, len(weights))
        size = prod(shape) // elements * width
        weights += (data or {}).get(name, bytes(size)) + bytes(-size % 32)
    out += bytes(-len(out) % 32) + weights
    path.write_bytes(out[: len(out) - missing])
    return path


def _text(text: str, order: str) -> bytes:
    data = text.encode()
    return struct.pack(f"{order}Q", len(data)) + data


def _value(value: Any, order: str) -> bytes:
    if isinstance(value, str):
        return struct.pack(f"{order}I", 8) + _text(value, order)
    if isinstance(value, list):
        return _array(value, order)
    if isinstance(value, As) and isinstance(value.value, list):
        number, code = SCALARS[value.kind]
        head = struct.pack(f"{order}IIQ", 9, number, len(value.value))
        return head + struct.pack(f"{order}{len(value.value)}{code}", *value.value)
    if not isinstance(value, As):
        kind = {bool: "bool", int: "u32", float: "f32"}[type(value)]
        value = As(kind, value)
    number, code = SCALARS[value.kind]
    return struct.pack(f"{order}I{code}", number, value.value)


def _array(values: list[Any], order: str) -> bytes:
    if values and not isinstance(values[0], str):
        return _value(As("f32" if isinstance(values[0], float) else "i32", values), order)
    head = struct.pack(f"{order}IIQ", 9, 8, len(values))
    return head + b"".join(_text(text, order) for text in values)
