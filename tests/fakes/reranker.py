"""A reranker whose every score is known: only the last digit of a document counts.

Its tokens are bytes, its embeddings one-hot, attention and feed-forward zero. The classifier looks
at the last token: a digit d says yes with a log-odds of d - 5, anything else with -9.
"""

import math
import struct
from pathlib import Path

from tests.fakes.gguf import As, write

PROMPT = "q:{query} d:{document}"
"""How a query and a document become one text; there is no token but those of its bytes."""

_SPECIALS = ("<unk>", "<s>", "</s>")
_TOKENS = [*_SPECIALS, *(f"<0x{byte:02X}>" for byte in range(256))]
_UNKNOWN, _CONTROL, _BYTE = 2, 3, 6
_TYPES = [_UNKNOWN, _CONTROL, _CONTROL, *[_BYTE] * 256]
_WIDTH = 288
_HEAD = 32
_TINY = 1e-12


def score(document: str) -> float:
    """The probability of yes."""
    last = document[-1:]
    return 1 / (1 + math.exp(9 if not last.isdigit() else 5 - int(last)))


def tokens(query: str, document: str) -> int:
    """What a pair counts as; the vocabulary writes a blank with three bytes."""
    return len(PROMPT.format(query=query, document=document).replace(" ", "\u2581").encode())


def reranker(path: Path, context: int = 512) -> Path:
    metadata = {
        "general.architecture": "qwen3",
        "general.name": "reranker",
        "qwen3.context_length": context,
        "qwen3.embedding_length": _WIDTH,
        "qwen3.block_count": 1,
        "qwen3.feed_forward_length": _HEAD,
        "qwen3.attention.head_count": 1,
        "qwen3.attention.head_count_kv": 1,
        "qwen3.attention.key_length": _HEAD,
        "qwen3.attention.value_length": _HEAD,
        "qwen3.attention.layer_norm_rms_epsilon": _TINY,
        "qwen3.rope.dimension_count": _HEAD,
        "qwen3.pooling_type": 4,
        "qwen3.classifier.output_labels": ["yes", "no"],
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": _TOKENS,
        "tokenizer.ggml.scores": As("f32", [0.0] * len(_TOKENS)),
        "tokenizer.ggml.token_type": _TYPES,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.chat_template.rerank": PROMPT,
        "general.file_type": 0,
    }
    rows = len(_TOKENS)
    embeddings = [float(row == column) for row in range(rows) for column in range(_WIDTH)]
    # A one-hot row has, once it is normalised, the root of its width in its place.
    odds = [_odds(token) / math.sqrt(_WIDTH) for token in range(_WIDTH)]
    floats = {
        "token_embd.weight": embeddings,
        "output_norm.weight": [1.0] * _WIDTH,
        "cls.output.weight": [*odds, *[0.0] * _WIDTH],
    }
    block = "blk.0."
    tensors = [
        ("token_embd.weight", (_WIDTH, rows)),
        ("output_norm.weight", (_WIDTH,)),
        ("cls.output.weight", (_WIDTH, 2)),
        (f"{block}attn_norm.weight", (_WIDTH,)),
        (f"{block}attn_q.weight", (_WIDTH, _HEAD)),
        (f"{block}attn_k.weight", (_WIDTH, _HEAD)),
        (f"{block}attn_v.weight", (_WIDTH, _HEAD)),
        (f"{block}attn_output.weight", (_HEAD, _WIDTH)),
        (f"{block}attn_q_norm.weight", (_HEAD,)),
        (f"{block}attn_k_norm.weight", (_HEAD,)),
        (f"{block}ffn_norm.weight", (_WIDTH,)),
        (f"{block}ffn_gate.weight", (_WIDTH, _HEAD)),
        (f"{block}ffn_up.weight", (_WIDTH, _HEAD)),
        (f"{block}ffn_down.weight", (_HEAD, _WIDTH)),
    ]
    return write(
        path,
        metadata,
        [(name, "F32", shape) for name, shape in tensors],
        data={name: struct.pack(f"<{len(row)}f", *row) for name, row in floats.items()},
    )


def _odds(token: int) -> float:
    letter = chr(token - len(_SPECIALS)) if len(_SPECIALS) <= token < len(_TOKENS) else ""
    return float(letter) - 5 if letter in "0123456789" and letter else -9.0
