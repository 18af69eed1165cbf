"""GGUF headers are read without their arrays, and unsound files are refused."""

import struct
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import Invalid
from gateway.store.gguf import (
    ARRAY_TYPE,
    FILE_TYPES,
    SCALAR_TYPES,
    STRING_TYPE,
    TENSOR_TYPES,
    Array,
    Header,
    TensorInfo,
    read_arrays,
    read_header,
    read_outline,
)
from tests.fakes import gguf
from tests.fakes.gguf import LLAMA, As


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.gguf"


def header(metadata: dict[str, Any], *tensors: TensorInfo) -> Header:
    return Header(metadata, tensors, 0)


def test_metadata_and_tensors_are_read_in_file_order(path: Path) -> None:
    gguf.write(path)
    parsed = read_header(path)
    assert list(parsed.metadata) == list(LLAMA)
    assert parsed.metadata["tokenizer.ggml.tokens"] == Array("string", 3)
    assert parsed.tensors == (
        TensorInfo("token_embd.weight", "F16", (64, 3)),
        TensorInfo("output_norm.weight", "F32", (64,)),
    )
    assert parsed.size == path.stat().st_size


def test_every_kind_of_value_is_understood(path: Path) -> None:
    values: dict[str, Any] = {
        "u8": As("u8", 200),
        "i8": As("i8", -5),
        "u16": As("u16", 60000),
        "i16": As("i16", -300),
        "u32": 7,
        "i32": As("i32", -7),
        "u64": As("u64", 1 << 40),
        "i64": As("i64", -(1 << 40)),
        "f32": 0.1,
        "f64": As("f64", 0.1),
        "yes": True,
        "text": "hé <llo>",
        "empty": [],
    }
    gguf.write(path, values)
    plain = {key: value.value if isinstance(value, As) else value for key, value in values.items()}
    assert dict(read_header(path).metadata) == plain | {"empty": Array("string", 0)}


@pytest.mark.parametrize("kind", ["u8", "i16", "u32", "i64", "f32", "f64", "bool"])
def test_arrays_are_stepped_over_and_can_be_read_in_full(path: Path, kind: str) -> None:
    gguf.write(path, {"a": As(kind, [1, 0, 1]), "t": ["x", "yy"], "end": 5}, ())
    assert read_header(path).metadata == {"a": Array(kind, 3), "t": Array("string", 2), "end": 5}
    assert read_arrays(path) == {"a": [1, 0, 1], "t": ["x", "yy"]}


def test_an_array_of_floats_has_short_decimals(path: Path) -> None:
    gguf.write(path, {"a": [0.1, 1e-05]}, ())
    assert read_arrays(path) == {"a": [0.1, 1e-05]}


def test_a_vocabulary_longer_than_the_window_is_stepped_over(path: Path) -> None:
    words = ["word" * (number % 40) for number in range(20_000)]
    long = "x" * 200_000
    gguf.write(path, {"words": words, "long": [long, long], "scores": [1.0] * 50_000, "end": long})
    parsed = read_header(path)
    assert parsed.metadata["words"] == Array("string", 20_000)
    assert parsed.metadata["scores"] == Array("f32", 50_000)
    assert parsed.metadata["end"] == long
    assert len(parsed.tensors) == 2
    assert read_arrays(path)["words"] == words


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [2, 3])
def test_both_byte_orders_and_versions_are_read(path: Path, order: str, version: int) -> None:
    gguf.write(path, order=order, version=version)
    assert read_header(path).context_length == 512


def test_turned_magic_bytes_mean_big_endian(path: Path) -> None:
    gguf.write(path, order=">")
    path.write_bytes(b"FUGG" + path.read_bytes()[4:])
    assert read_header(path).context_length == 512


def test_the_outline_ends_before_the_tokenizer(path: Path) -> None:
    gguf.write(path)
    assert dict(read_outline(path)) == {
        "general.architecture": "llama",
        "general.name": "tiny",
        "llama.context_length": 512,
        "llama.embedding_length": 64,
        "llama.block_count": 1,
    }


@pytest.mark.parametrize("data", [b"", b"GGU", b"PK\x03\x04 and more", b"ggjt" + bytes(60)])
def test_what_is_no_gguf_is_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(Invalid, match=r"^invalid file magic$"):
        read_header(path)


@pytest.mark.parametrize("version", [1, 4])
def test_other_versions_are_refused(path: Path, version: int) -> None:
    gguf.write(path, version=version)
    with pytest.raises(Invalid, match=rf"^GGUF version {version} is not supported$"):
        read_header(path)


def test_no_prefix_of_a_header_passes_for_one(path: Path) -> None:
    whole = gguf.write(path, tensors=()).read_bytes()
    # Only padding follows the header of a file without tensors.
    end = len(whole.rstrip(b"\0"))
    for length in range(8, end - 4):
        path.write_bytes(whole[:length])
        with pytest.raises(Invalid, match="the file ends inside its header"):
            read_header(path)


def test_weights_that_are_cut_off_are_noticed(path: Path) -> None:
    gguf.write(path, missing=1)
    with pytest.raises(Invalid, match=r'^tensor "output_norm.weight" runs past the end'):
        read_header(path)
    assert len(read_outline(path)) == 5


@pytest.mark.parametrize(
    ("metadata", "tensors", "text"),
    [
        ({"general.alignment": 0}, (), "general.alignment must be a positive number"),
        ({}, (("t", "Q4_0", (16, 2)),), 'tensor "t" does not fill whole blocks of Q4_0'),
        ({}, (("t", "F32", (1, 1, 1, 1, 1)),), 'tensor "t" has 5 dimensions'),
    ],
)
def test_unsound_files_are_refused(path: Path, metadata: Any, tensors: Any, text: str) -> None:
    gguf.write(path, metadata, tensors)
    with pytest.raises(Invalid) as caught:
        read_header(path)
    assert caught.value.message == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (struct.pack("<I", 13), "a GGUF value cannot have type 13"),
        (struct.pack("<IIQ", 9, 9, 1), "a GGUF array cannot hold type 9"),
        (struct.pack("<IIQ", 9, 8, 1 << 60), f"an array of {1 << 60} elements is too long"),
        (struct.pack("<IIQ", 9, 6, 1000), "the file ends inside its header"),
        (struct.pack("<IQ", 8, 1 << 60), f"a string of {1 << 60} bytes is too long"),
    ],
)
def test_absurd_values_are_refused(path: Path, value: bytes, text: str) -> None:
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k" + value)
    with pytest.raises(Invalid, match=text):
        read_header(path)


def test_a_tensor_type_of_the_future_is_left_to_the_engine(path: Path) -> None:
    gguf.write(path, {}, (("t", "F32", (8,)),))
    data = path.read_bytes()
    old = struct.pack("<QI", 8, 0)
    path.write_bytes(data.replace(old, struct.pack("<QI", 8, 99)))
    assert read_header(path).tensors == (TensorInfo("t", "unknown(99)", (8,)),)


def test_a_tensor_type_of_the_future_cannot_claim_more_than_the_file_holds(path: Path) -> None:
    gguf.write(path, {}, (("t", "F32", (8, 8)),))
    data = path.read_bytes()
    old = struct.pack("<QQI", 8, 8, 0)
    path.write_bytes(data.replace(old, struct.pack("<QQI", 1 << 63, 1 << 63, 99)))
    with pytest.raises(Invalid, match=r'^tensor "t" runs past the end of the file$'):
        read_header(path)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("lengths", [[5], [0, 127, 128, 300, 70_000], [1, 2, 3, 40], [200_000]])
@pytest.mark.parametrize("count", [1, 63, 64, 65, 5000])
def test_strings_of_any_length_are_stepped_over(
    path: Path, order: str, lengths: list[int], count: int
) -> None:
    texts = ["x" * lengths[number % len(lengths)] for number in range(count)]
    if sum(map(len, texts)) > 20_000_000:
        texts = texts[:65]
    gguf.write(path, {"a": texts, "b": "after"}, order=order)
    assert read_header(path).metadata == {"a": Array("string", len(texts)), "b": "after"}


def test_strings_that_run_past_the_end_are_refused(path: Path) -> None:
    gguf.write(path, {"a": ["abc"] * 200}, (), missing=0)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"abc" + b"\3") + 1000])
    with pytest.raises(Invalid, match=r"^the file ends inside its header$"):
        read_header(path)


def test_keys_belong_to_the_architecture() -> None:
    metadata = {"general.architecture": "qwen3", "qwen3.a": 1, "general.b": 2, "tokenizer.c": 3}
    parsed = header(metadata)
    assert [parsed.get(key) for key in ("a", "general.b", "tokenizer.c", "qwen3.a")] == [
        1,
        2,
        3,
        None,
    ]
    assert parsed.get("d") is None


def test_facts_of_a_text_model() -> None:
    parsed = header(
        {
            "general.architecture": "llama",
            "general.file_type": 15,
            "general.parameter_count": 1,
            "llama.context_length": 4096,
            "llama.embedding_length": 64,
            "llama.block_count": 2,
            "tokenizer.chat_template": "{{ messages }}",
        },
        TensorInfo("a", "F32", (64, 3)),
        TensorInfo("b", "F32", (64,)),
    )
    assert parsed.architecture == "llama"
    assert parsed.file_type == "Q4_K_M"
    assert parsed.parameter_count == 256
    assert (parsed.context_length, parsed.embedding_length, parsed.block_count) == (4096, 64, 2)
    assert parsed.chat_template == "{{ messages }}"
    assert not parsed.pooling


def test_facts_that_are_missing() -> None:
    parsed = header({})
    assert parsed.architecture == "unknown"
    assert parsed.file_type == "unknown"
    assert parsed.parameter_count == 0
    assert (parsed.context_length, parsed.embedding_length, parsed.block_count) == (0, 0, 0)
    assert parsed.chat_template is None


@pytest.mark.parametrize(("pooling", "ranks"), [(None, False), (1, False), (3, False), (4, True)])
def test_pooling_of_one_kind_ranks(pooling: int | None, ranks: bool) -> None:
    assert header({"general.architecture": "bert", "bert.pooling_type": pooling}).ranks is ranks


@pytest.mark.parametrize("pooling", [0, 1])
def test_any_pooling_makes_an_embedding_model(pooling: int) -> None:
    assert header({"general.architecture": "bert", "bert.pooling_type": pooling}).pooling


@pytest.mark.parametrize(
    ("value", "name"), [(0, "unknown"), (1, "F16"), (32, "BF16"), (4, "unknown"), ("1", "unknown")]
)
def test_the_file_type_is_the_declared_one(value: Any, name: str) -> None:
    assert header({"general.file_type": value}).file_type == name


# ---- the tables of the format


def test_block_sizes_of_known_types() -> None:
    # Bits a weight, as the names promise: a scale of 16 bits to 32 weights adds half a bit.
    bits = {name: 8 * width / elements for name, elements, width in TENSOR_TYPES.values()}
    assert bits["F16"] == 16
    assert bits["Q4_0"] == 4.5
    assert bits["Q8_0"] == 8.5
    assert bits["Q4_K"] == 4.5
    assert bits["Q6_K"] == 6.5625
    assert bits["MXFP4"] == 4.25


def test_names_are_unique() -> None:
    assert len({name for name, _, _ in TENSOR_TYPES.values()}) == len(TENSOR_TYPES)
    assert len(set(FILE_TYPES.values())) == len(FILE_TYPES)
    assert len({name for name, _ in SCALAR_TYPES.values()}) == len(SCALAR_TYPES)


def test_strings_and_arrays_are_no_scalars() -> None:
    assert not {STRING_TYPE, ARRAY_TYPE} & SCALAR_TYPES.keys()
