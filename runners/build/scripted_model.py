"""Scripted models: small GGUF files whose every reply is known beforehand.

The weights are a first-order Markov chain. Embeddings are one-hot, attention and feed-forward are
zero, and the output matrix sends each token to its successor, so a real engine answers with exactly
the script. The trial of a new engine, the demo, the tests and the measurements run on such files.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

GGUFValue = bool | int | float | str | Sequence[int] | Sequence[float] | Sequence[str]

CHATML = (
    "{%- for m in messages -%}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|im_start|>assistant\n{%- endif -%}"
)

DEMO = (
    "Hello! ",
    "I am ",
    "a scripted ",
    "demo model: ",
    "my weights ",
    "spell out ",
    "this one ",
    "fixed answer, ",
    "whatever ",
    "you ask. ",
    "Nothing ",
    "in it ",
    "was learned; ",
    "it only ",
    "shows that ",
    "the engine, ",
    "the server ",
    "and the ",
    "command line ",
    "work together. ",
    "To make ",
    "a model ",
    "of your own, ",
    "write ",
    "a Modelfile ",
    "and run: ",
    "paddock ",
    "create ",
    "NAME ",
    "-f Modelfile",
)

_SPECIALS = ("<unk>", "<s>", "<|im_end|>", "<|im_start|>")
_BEGIN, _END = 1, 2
# Token types of the GGUF vocabulary.
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 1, 2, 3, 4, 6
F32, F16 = 0, 1
_ALIGNMENT = 32
"""Bytes; what GGUF readers assume of a file that names no other."""
_HEAD = 32
"""Width of an attention head, and of the blocks in which rows are quantised."""


@dataclass(frozen=True, slots=True)
class TensorData:
    """A tensor to write; `shape` is in GGUF order (fastest first), `data` None means zeros."""

    name: str
    shape: tuple[int, ...]
    kind: int
    data: bytes | bytearray | None = None

    @property
    def size(self) -> int:
        """Bytes on disk, padding included."""
        count = 4 if self.kind == F32 else 2
        for extent in self.shape:
            count *= extent
        return _rounded(count, _ALIGNMENT)


def write(
    path: Path,
    pieces: Sequence[str],
    *,
    template: str | None = CHATML,
    loop: bool = False,
    context: int = 2048,
    dim: int | None = None,
    layers: int = 1,
    name: str = "scripted",
    architecture: str = "llama",
    side: Sequence[str] = (),
    jumps: Mapping[str, str] | None = None,
    tail: str | None = None,
    metadata: Mapping[str, GGUFValue] | None = None,
) -> Path:
    """Write a model that answers every prompt with the pieces in order, one token each.

    After the last piece the reply ends, or goes back to the first (`loop`) or to the piece `tail`.
    `side` is a second script reached only through `jumps` (piece -> next piece); a prompt that ends
    with a key of `jumps` goes there at once. The width is rounded up to a multiple of `dim` (32 by
    default; K-quants need 256). `metadata` adds or replaces GGUF keys.

    Raises ValueError for a piece that repeats or that is already a token of the vocabulary.
    """
    jumps = jumps or {}
    tokens, kinds, index = _vocabulary(pieces, side, jumps)
    # At least as wide as there are tokens, since each is a dimension of its own.
    width = _rounded(len(tokens), max(dim or 0, _HEAD))
    # The feed-forward part is zero and can be narrow, but K-quants want rows of 256.
    hidden = 256 if width % 256 == 0 else 64
    back = pieces[0] if loop and tail is None else tail
    following = _successors(len(tokens), index, pieces, side, jumps, back)
    fields: dict[str, GGUFValue] = {
        "general.architecture": architecture,
        "general.name": name,
        f"{architecture}.context_length": context,
        f"{architecture}.embedding_length": width,
        f"{architecture}.block_count": layers,
        f"{architecture}.feed_forward_length": hidden,
        f"{architecture}.attention.head_count": width // _HEAD,
        f"{architecture}.attention.head_count_kv": width // _HEAD,
        f"{architecture}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{architecture}.rope.dimension_count": _HEAD,
        f"{architecture}.vocab_size": len(tokens),
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0 if kind == _NORMAL else -1000.0 for kind in kinds],
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.bos_token_id": _BEGIN,
        "tokenizer.ggml.eos_token_id": _END,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
        # The engine would put a space before each prompt, and count it as a token.
        "tokenizer.ggml.add_space_prefix": False,
        **({} if template is None else {"tokenizer.chat_template": template}),
        **(metadata or {}),
        "general.quantization_version": 2,
        "general.file_type": 1,
    }
    write_gguf(path, fields, _tensors(width, hidden, layers, following))
    return path


def _vocabulary(
    pieces: Sequence[str], side: Sequence[str], jumps: Mapping[str, str]
) -> tuple[list[str], list[int], dict[str, int]]:
    """Tokens and their types, and the number of each piece."""
    # Bytes make any prompt readable; printable ASCII as normal tokens gives the tokenizer something
    # to start from.
    tokens = [*_SPECIALS, *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += ["\u2581", *(chr(code) for code in range(33, 127))]
    kinds = [_UNKNOWN, _CONTROL, _CONTROL, _CONTROL, *[_BYTE] * 256, *[_NORMAL] * 95]
    known = set(tokens)
    index: dict[str, int] = {}
    extra = (key for key in jumps if key not in pieces and key not in side)
    for piece in (*pieces, *side, *extra):
        if piece in known:
            raise ValueError(f"piece repeats a token: {piece!r}")
        known.add(piece)
        index[piece] = len(tokens)
        tokens.append(piece)
        # The only type that is recognised whole in any text, blanks and all.
        kinds.append(_USER_DEFINED)
    return tokens, kinds, index


def _successors(
    size: int,
    index: Mapping[str, int],
    pieces: Sequence[str],
    side: Sequence[str],
    jumps: Mapping[str, str],
    back: str | None,
) -> list[int]:
    """The successor of each token; whatever a prompt ends with, the script starts.

    `back` follows the last piece, if given.
    """
    following = [index[pieces[0]]] * size
    for script in (pieces, side):
        ids = [index[piece] for piece in script]
        for token, successor in zip(ids, [*ids[1:], _END], strict=False):
            following[token] = successor
    links = {**({} if back is None else {pieces[-1]: back}), **jumps}
    for piece, target in links.items():
        following[index[piece]] = index[target]
    return following


def _tensors(width: int, hidden: int, layers: int, following: Sequence[int]) -> list[TensorData]:
    """Every weight, in the order in which llama-quantize writes them.

    That order and the key order of `write` make `llama-quantize IN OUT COPY` leave the bytes alone.
    """
    size = len(following)
    ones = struct.pack(f"<{width}f", *[1.0] * width)
    tensors = [
        TensorData("output.weight", (width, size), F16, _sparse(width, following, 8.0)),
        TensorData("output_norm.weight", (width,), F32, ones),
        TensorData("token_embd.weight", (width, size), F16, _sparse(width, range(size), 1.0)),
    ]
    for layer in range(layers):
        block = f"blk.{layer}."
        tensors += [
            TensorData(block + "attn_k.weight", (width, width), F16),
            TensorData(block + "attn_norm.weight", (width,), F32, ones),
            TensorData(block + "attn_output.weight", (width, width), F16),
            TensorData(block + "attn_q.weight", (width, width), F16),
            TensorData(block + "attn_v.weight", (width, width), F16),
            TensorData(block + "ffn_down.weight", (hidden, width), F16),
            TensorData(block + "ffn_gate.weight", (width, hidden), F16),
            TensorData(block + "ffn_norm.weight", (width,), F32, ones),
            TensorData(block + "ffn_up.weight", (width, hidden), F16),
        ]
    return tensors


def _sparse(width: int, rows: Iterable[int], value: float) -> bytearray:
    """Half floats, `width` to a row: the n-th of `rows` names the row that holds `value` at n."""
    rows = list(rows)
    data = bytearray(2 * width * len(rows))
    cell = struct.pack("<e", value)
    for column, row in enumerate(rows):
        start = 2 * (row * width + column)
        data[start : start + 2] = cell
    return data


def write_gguf(path: Path, fields: Mapping[str, GGUFValue], tensors: Sequence[TensorData]) -> None:
    """A GGUF version 3 file. Tensors of zeros are holes in it, which take no room on the disk."""
    header = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(fields)))
    for key, value in fields.items():
        header += _text(key) + _value(value)
    offset = 0
    for tensor in tensors:
        header += _text(tensor.name) + struct.pack("<I", len(tensor.shape))
        header += struct.pack(f"<{len(tensor.shape)}QIQ", *tensor.shape, tensor.kind, offset)
        offset += tensor.size
    position = _rounded(len(header), _ALIGNMENT)
    with path.open("wb") as out:
        out.write(header)
        for tensor in tensors:
            if tensor.data is not None:
                out.seek(position)
                out.write(tensor.data)
            position += tensor.size
        out.truncate(position)


def _value(value: GGUFValue) -> bytes:
    """A GGUF value with its type before it; integers are unsigned, floats single."""
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    if isinstance(value[0], str):
        return _array(8, value, b"".join(_text(str(item)) for item in value))
    if isinstance(value[0], float):
        return _array(6, value, struct.pack(f"<{len(value)}f", *value))
    return _array(5, value, struct.pack(f"<{len(value)}i", *value))


def _array(kind: int, value: Sequence[object], data: bytes) -> bytes:
    return struct.pack("<IIQ", 9, kind, len(value)) + data


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _rounded(count: int, step: int) -> int:
    return -(-count // step) * step
