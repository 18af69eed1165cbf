"""The random model: a valid file of known size whose silent tokens stay silent."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from bench.model import Size, cached, tensors, vocabulary, write
from gateway.store.gguf import read_header

TINY = Size(layers=2, width=64, hidden=96, head=32, words=29, context=128)
FIRST_WORD = 4 + 256 + 95


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.gguf"
    write(path, 1, TINY)
    return path


def data_of(path: Path, name: str) -> bytes:
    """The bytes of a tensor."""
    plan = tensors(TINY)
    padded = [tensor.size + -tensor.size % 32 for tensor in plan]
    index = [tensor.name for tensor in plan].index(name)
    start = path.stat().st_size - sum(padded[index:])
    return path.read_bytes()[start : start + plan[index].size]


def test_the_usual_model_has_about_a_fifth_of_a_billion_parameters() -> None:
    blocks = sum(tensor.size for tensor in tensors(Size())) / 34
    assert 32 * blocks == pytest.approx(0.214e9, rel=0.01)


def test_the_header_is_that_of_a_llama(model: Path) -> None:
    header = read_header(model)
    assert (header.architecture, header.block_count, header.context_length) == ("llama", 2, 128)
    assert header.file_type == "Q8_0"
    kinds = {tensor.name: (tensor.kind, tensor.shape) for tensor in header.tensors}
    assert kinds["blk.1.ffn_down.weight"] == ("Q8_0", (96, 64))
    assert kinds["output_norm.weight"] == ("F32", (64,))
    assert len(kinds) == 3 + 2 * 9


def test_a_model_for_embeddings_names_its_pooling(model: Path, tmp_path: Path) -> None:
    write(tmp_path / "pooled.gguf", 1, replace(TINY, pooling=3))
    assert read_header(tmp_path / "pooled.gguf").metadata["llama.pooling_type"] == 3
    assert "llama.pooling_type" not in read_header(model).metadata


def test_norms_are_one_and_weights_are_small(model: Path) -> None:
    assert set(struct.unpack("<64f", data_of(model, "blk.0.attn_norm.weight"))) == {1.0}
    block = data_of(model, "blk.1.ffn_up.weight")[:34]
    scale, *weights = struct.unpack("<e32b", block)
    assert scale == pytest.approx(3e-4, rel=0.01)
    assert min(weights) >= -127
    assert len(set(weights)) > 16


def test_only_words_can_be_said(model: Path) -> None:
    assert len(vocabulary(29)) == FIRST_WORD + 29
    output = data_of(model, "output.weight")
    row = 64 // 32 * 34
    assert set(output[: FIRST_WORD * row]) == {0}
    assert all(any(output[at : at + row]) for at in range(FIRST_WORD * row, len(output), row))


def test_equal_seeds_give_equal_bytes_and_a_cached_file_is_left_alone(tmp_path: Path) -> None:
    first = cached(tmp_path / "one", 7, TINY)
    again = cached(tmp_path / "two", 7, TINY)
    other = cached(tmp_path / "two", 8, TINY)
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()
    changed = first.stat().st_mtime_ns
    assert cached(tmp_path / "one", 7, TINY).stat().st_mtime_ns == changed
    assert [path.name for path in (tmp_path / "one").iterdir()] == [first.name]
