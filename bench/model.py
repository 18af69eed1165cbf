"""A model of about 0.2 B parameters with random weights, for speed and nothing else.

Q8_0 blocks are a scale and 32 whole numbers, so random bytes are valid weights and the file is
written as fast as the disk takes it. Only words can come out of it: the rows of every other token
in the output matrix are zero, while the best of some thousand random words is far above that. So
every reply runs to its limit, one event a token.
"""

import random
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from tests.fakes.scripts import NATIVE

_F32, _Q8_0 = 0, 8
_BLOCK, _BLOCK_BYTES = 32, 34
_ALIGNMENT = 32
_SPECIALS = ("<unk>", "<s>", "<|im_end|>", "<|im_start|>")
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
# A prime number of blocks: no two rows of a matrix start at the same one.
_TILE = 30_011
_SCALE = 3e-4
"""Bytes spread evenly have a deviation of 74; weights get one of about 0.02."""


@dataclass(frozen=True, slots=True)
class Size:
    """Widths are multiples of 32."""

    layers: int = 16
    width: int = 1024
    hidden: int = 2816
    head: int = 64
    words: int = 3741
    context: int = 512
    """Tokens."""
    pooling: int | None = None
    """The GGUF's number of a way to pool: then the model is one for embeddings."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """`shape` is in GGUF order, fastest first; `silent` rows at its start are zeros."""

    name: str
    shape: tuple[int, ...]
    silent: int = 0

    @property
    def kind(self) -> int:
        return _F32 if len(self.shape) == 1 else _Q8_0

    @property
    def size(self) -> int:
        """Bytes without padding."""
        count = prod(self.shape)
        return 4 * count if self.kind == _F32 else count // _BLOCK * _BLOCK_BYTES


def cached(folder: Path, seed: int, size: Size | None = None) -> Path:
    """The model of this seed, written if `folder` does not have it yet."""
    size = size or Size()
    path = (
        folder / f"random-native-{size.layers}x{size.width}x{size.hidden}-{size.words}-{seed}.gguf"
    )
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        write(temporary, seed, size)
        temporary.replace(path)
    return path


def write(path: Path, seed: int, size: Size) -> None:
    """A GGUF file, version 3; equal seeds give equal bytes."""
    fields, plan = metadata(size), tensors(size)
    head = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(plan), len(fields)))
    for key, value in fields.items():
        head += _text(key) + _value(value)
    offset = 0
    for tensor in plan:
        head += _text(tensor.name) + struct.pack("<I", len(tensor.shape))
        head += struct.pack(f"<{len(tensor.shape)}QIQ", *tensor.shape, tensor.kind, offset)
        offset += tensor.size + -tensor.size % _ALIGNMENT
    with path.open("wb") as out:
        out.write(head + bytes(-len(head) % _ALIGNMENT))
        weights = _Weights(seed)
        for tensor in plan:
            _write(out, tensor, weights)
            out.write(bytes(-tensor.size % _ALIGNMENT))


def tensors(size: Size) -> list[Tensor]:
    """Those of a llama."""
    width, hidden = size.width, size.hidden
    tokens, silent = len(vocabulary(size.words)), len(vocabulary(0))
    made = [
        Tensor("token_embd.weight", (width, tokens)),
        Tensor("output_norm.weight", (width,)),
        Tensor("output.weight", (width, tokens), silent),
    ]
    for layer in range(size.layers):
        block = f"blk.{layer}."
        made += [Tensor(f"{block}attn_{name}.weight", (width, width)) for name in "qkv"]
        made += [
            Tensor(f"{block}attn_norm.weight", (width,)),
            Tensor(f"{block}attn_output.weight", (width, width)),
            Tensor(f"{block}ffn_norm.weight", (width,)),
            Tensor(f"{block}ffn_gate.weight", (width, hidden)),
            Tensor(f"{block}ffn_up.weight", (width, hidden)),
            Tensor(f"{block}ffn_down.weight", (hidden, width)),
        ]
    return made


def vocabulary(words: int) -> list[tuple[str, int]]:
    """Tokens with their types: specials, bytes and letters so that any prompt can be read, words.

    A word begins with a blank, as words of real vocabularies do.
    """
    first = [(text, _UNKNOWN if text == "<unk>" else _CONTROL) for text in _SPECIALS]
    first += [(f"<0x{byte:02X}>", _BYTE) for byte in range(256)]
    first += [(text, _NORMAL) for text in ("\u2581", *map(chr, range(33, 127)))]
    return first + [(f"\u2581word{number:x}", _NORMAL) for number in range(words)]


def metadata(size: Size) -> Mapping[str, Any]:
    heads = size.width // size.head
    tokens = vocabulary(size.words)
    return {
        "general.architecture": "llama",
        "general.name": "random",
        "llama.context_length": size.context,
        "llama.embedding_length": size.width,
        "llama.block_count": size.layers,
        "llama.feed_forward_length": size.hidden,
        "llama.attention.head_count": heads,
        "llama.attention.head_count_kv": heads,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": size.head,
        **({} if size.pooling is None else {"llama.pooling_type": size.pooling}),
        "llama.vocab_size": len(tokens),
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [text for text, _ in tokens],
        "tokenizer.ggml.scores": [0.0 if kind == _NORMAL else -1000.0 for _, kind in tokens],
        "tokenizer.ggml.token_type": [kind for _, kind in tokens],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.chat_template": NATIVE,
        "general.quantization_version": 2,
        "general.file_type": 7,
    }


class _Weights:
    """Random blocks without end: a tile of them, again and again."""

    def __init__(self, seed: int) -> None:
        noise = random.Random(seed).randbytes(_TILE * _BLOCK)
        # Quantising gives -127 to 127, and some kernels rely on it.
        noise = noise.replace(b"\x80", b"\x81")
        scale = struct.pack("<e", _SCALE)
        self._tile = b"".join(
            scale + noise[at : at + _BLOCK] for at in range(0, len(noise), _BLOCK)
        )
        self._at = 0

    def take(self, count: int) -> Iterator[bytes]:
        """The next `count` bytes."""
        while count > 0:
            piece = self._tile[self._at : self._at + count]
            self._at = (self._at + len(piece)) % len(self._tile)
            count -= len(piece)
            yield piece


def _write(out: BinaryIO, tensor: Tensor, weights: _Weights) -> None:
    if tensor.kind == _F32:
        out.write(struct.pack("<f", 1.0) * tensor.shape[0])
        return
    silent = tensor.silent * tensor.shape[0] // _BLOCK * _BLOCK_BYTES
    out.write(bytes(silent))
    for piece in weights.take(tensor.size - silent):
        out.write(piece)


def _value(value: Any) -> bytes:
    """With its type before it; whole numbers are unsigned in a field and signed in an array."""
    match value:
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
        case str():
            return struct.pack("<I", 8) + _text(value)
        case [str(), *_]:
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_text, value))
        case _:
            kind, code = (6, "f") if isinstance(value[0], float) else (5, "i")
            return struct.pack(f"<IIQ{len(value)}{code}", 9, kind, len(value), *value)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data
