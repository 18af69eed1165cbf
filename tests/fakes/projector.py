"""Models that see colours and hear signs: a scripted model, an attention, and a projector.

No projector has layers. Each patch of an image becomes the mean of its red, green and blue, and the
strongest of the three decides which token of the model the patch looks like; the sign of the mean
of each 40 ms of sound decides which token those sound like. The attention heeds every such token of
the prompt alike and no others, so a model's next token says what it met most of.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from gateway.store.gguf import Header, read_arrays, read_header
from runners.build import scripted_model
from tests.fakes.gguf import TYPES, As, write

SIDE, PATCH = 16, 8
"""Pixels of an image as the tower sees it, and of one of its patches."""
TOKENS = (SIDE // PATCH) ** 2
"""What an image adds to a prompt."""
BLIND = ("I ", "see ", "nothing.")
"""What the model says without an image."""
COLOURS = {"<red>": "Red", "<green>": "Green", "<blue>": "Blue"}
"""What a patch looks like, and what the model says of it, over and over."""
RATE, FRAME = 16_000, 640
"""Samples of sound a second, and of those that become one token."""
SOUNDS = {"<high>": "High", "<low>": "Low"}
"""The same for sound."""

_MET = {**COLOURS, **SOUNDS}
_CHANNELS = 3
_WIDTH = 4
"""Of the tower; a row of fewer than four numbers is too short for the engine."""
_ATTENTION = 64.0
"""How much more an image counts than the last token: enough for prompts of a thousand tokens."""

Weights = Mapping[str, tuple[str, tuple[int, ...], Sequence[float]]]
"""Type, shape and numbers by a tensor's name."""


def model(path: Path, template: str | None = scripted_model.CHATML, context: int = 2048) -> Path:
    """Write the text model."""
    side = tuple(_MET.values())
    scripted_model.write(
        path, BLIND, template=template, context=context, name="sensing", side=side, jumps=_MET
    )
    header = read_header(path)
    width, met = header.embedding_length, _places(path, _MET)
    _replace(path, header, "blk.0.attn_v.weight", _diagonal(width, met, 1.0))
    _replace(path, header, "blk.0.attn_output.weight", _diagonal(width, met, _ATTENTION))
    return path


def vision(path: Path, text: Path) -> Path:
    """Write a projector that lets the model in the file `text` see."""
    width = read_header(text).embedding_length
    metadata = {
        **_metadata("vision", "mlp", width),
        "clip.use_gelu": True,
        "clip.vision.image_size": SIDE,
        "clip.vision.patch_size": PATCH,
        "clip.vision.image_mean": As("f32", [0.0, 0.0, 0.0]),
        "clip.vision.image_std": As("f32", [1.0, 1.0, 1.0]),
    }
    square = PATCH * PATCH
    means = [float(row == channel) / square for row, channel in _cells(_WIDTH, _CHANNELS)]
    same = [float(row == column) for row, column in _cells(_WIDTH, _WIDTH)]
    likeness = dict(enumerate(_places(text, COLOURS)))
    weights: Weights = {
        "v.patch_embd.weight": (
            "F16",
            (PATCH, PATCH, _CHANNELS, _WIDTH),
            [mean for mean in means for _ in range(square)],
        ),
        "v.position_embd.weight": ("F32", (_WIDTH, TOKENS), [0.0] * _WIDTH * TOKENS),
        "mm.0.weight": ("F32", (_WIDTH, _WIDTH), same),
        "mm.0.bias": ("F32", (_WIDTH,), [0.0] * _WIDTH),
        "mm.2.weight": (
            "F32",
            (_WIDTH, width),
            [float(likeness.get(column) == row) for row, column in _cells(width, _WIDTH)],
        ),
        "mm.2.bias": ("F32", (width,), [0.0] * width),
    }
    return _write(path, metadata, weights)


def audio(path: Path, text: Path) -> Path:
    """Write a projector that lets the model in the file `text` hear."""
    width = read_header(text).embedding_length
    metadata = {**_metadata("audio", "gemma4ua", width), "clip.audio.num_mel_bins": FRAME}
    signs = dict(zip(_places(text, SOUNDS), (1.0, -1.0), strict=True))
    rows = [sign for row in range(width) for sign in [signs.get(row, 0.0)] * FRAME]
    return _write(path, metadata, {"mm.a.input_projection.weight": ("F32", (FRAME, width), rows)})


def _metadata(sense: str, kind: str, width: int) -> dict[str, Any]:
    """What every projector says of itself."""
    return {
        "general.architecture": "clip",
        "general.type": "mmproj",
        f"clip.has_{sense}_encoder": True,
        "clip.projector_type": kind,
        f"clip.{sense}.embedding_length": _WIDTH,
        f"clip.{sense}.feed_forward_length": _WIDTH,
        f"clip.{sense}.projection_dim": width,
        f"clip.{sense}.block_count": 0,
        f"clip.{sense}.attention.head_count": 1,
        f"clip.{sense}.attention.layer_norm_epsilon": 1e-5,
    }


def _write(path: Path, metadata: Mapping[str, Any], weights: Weights) -> Path:
    return write(
        path,
        metadata,
        [(name, kind, shape) for name, (kind, shape, _) in weights.items()],
        data={name: _packed(kind, numbers) for name, (kind, _, numbers) in weights.items()},
    )


def _places(text: Path, pieces: Iterable[str]) -> list[int]:
    """The numbers of these tokens."""
    tokens = read_arrays(text)["tokenizer.ggml.tokens"]
    return [tokens.index(piece) for piece in pieces]


def _diagonal(width: int, places: Iterable[int], value: float) -> bytes:
    """A square matrix, half floats, that has `value` on some places of its diagonal."""
    data = bytearray(2 * width * width)
    for place in places:
        struct.pack_into("<e", data, 2 * (place * width + place), value)
    return bytes(data)


def _replace(path: Path, header: Header, name: str, data: bytes) -> None:
    """Write the numbers of one tensor over those in the file."""
    sizes = []
    for tensor in header.tensors:
        _, elements, width = TYPES[tensor.kind]
        size = prod(tensor.shape) // elements * width
        sizes.append(size + -size % 32)
    before = [tensor.name for tensor in header.tensors].index(name)
    with path.open("r+b") as file:
        file.seek(header.size - sum(sizes[before:]))
        file.write(data)


def _cells(rows: int, columns: int) -> Iterable[tuple[int, int]]:
    return ((row, column) for row in range(rows) for column in range(columns))


def _packed(kind: str, numbers: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(numbers)}{'e' if kind == 'F16' else 'f'}", *numbers)
