"""Scripted models, read back byte by byte, and answered by the real engine."""

import os
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runners.build import scripted_model, trial
from runners.build.locations import locations

PROGRAMS = locations(os.environ).link / "bin"
FIRST_PIECE = 4 + 256 + 95
END = 2


@dataclass
class WrittenTensor:
    shape: tuple[int, ...]
    kind: int
    offset: int


class GGUFReader:
    """A GGUF file: `fields`, `tensors`, and the cells of a tensor that are not zero."""

    def __init__(self, path: Path) -> None:
        self.data, self.at = path.read_bytes(), 0
        assert self.take("<4sI") == (b"GGUF", 3)
        tensors, fields = self.take("<QQ")
        self.fields = {self.text(): self.value(*self.take("<I")) for _ in range(fields)}
        self.tensors = {self.text(): self.tensor() for _ in range(tensors)}
        self.start = -(-self.at // 32) * 32

    def take(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values

    def text(self) -> str:
        [length] = self.take("<Q")
        return str(self.take(f"<{length}s")[0].decode())

    def value(self, kind: int) -> Any:
        if kind == 8:
            return self.text()
        if kind == 9:
            item, length = self.take("<IQ")
            return [self.value(item) for _ in range(length)]
        return self.take({4: "<I", 5: "<i", 6: "<f", 7: "<?"}[kind])[0]

    def tensor(self) -> WrittenTensor:
        [dimensions] = self.take("<I")
        return WrittenTensor(self.take(f"<{dimensions}Q"), *self.take("<IQ"))

    def cells(self, name: str) -> dict[tuple[int, int], float]:
        """(row, column) -> value of a matrix of half floats."""
        tensor = self.tensors[name]
        width, rows = tensor.shape
        first = self.start + tensor.offset
        values = struct.unpack_from(f"<{width * rows}e", self.data, first)
        return {divmod(n, width): value for n, value in enumerate(values) if value}

    def successors(self) -> dict[str, str]:
        """Piece -> what follows it."""
        tokens = self.fields["tokenizer.ggml.tokens"]
        links = {column: row for row, column in self.cells("output.weight")}
        return {tokens[n]: tokens[links[n]] for n in range(FIRST_PIECE, len(tokens))}


def written(folder: Path, *pieces: str, **options: Any) -> GGUFReader:
    return GGUFReader(scripted_model.write(folder / "model.gguf", pieces, **options))


def test_fields_describe_the_model(tmp_path: Path) -> None:
    model = written(tmp_path, "a b", "c d", context=99, layers=2, name="n")
    expected = {
        "general.architecture": "llama",
        "general.name": "n",
        "llama.context_length": 99,
        "llama.embedding_length": 384,
        "llama.block_count": 2,
        "llama.feed_forward_length": 64,
        "llama.attention.head_count": 12,
        "llama.vocab_size": 357,
        "tokenizer.ggml.eos_token_id": END,
        "tokenizer.chat_template": scripted_model.CHATML,
        "general.file_type": 1,
    }
    assert {key: model.fields[key] for key in expected} == expected
    assert model.fields["tokenizer.ggml.tokens"][FIRST_PIECE:] == ["a b", "c d"]
    assert model.fields["tokenizer.ggml.token_type"][FIRST_PIECE - 1 :] == [1, 4, 4]
    assert len(model.tensors) == 3 + 2 * 9


def test_metadata_and_architecture_are_taken(tmp_path: Path) -> None:
    extra = {"general.name": "x", "a.flag": True, "a.half": 0.5, "a.list": [1, 2]}
    model = written(tmp_path, "a b", architecture="qwen2", template=None, metadata=extra)
    assert {key: model.fields[key] for key in extra} == extra
    assert model.fields["qwen2.context_length"] == 2048
    assert "tokenizer.chat_template" not in model.fields


def test_every_token_starts_the_script_and_the_script_ends(tmp_path: Path) -> None:
    model = written(tmp_path, "one ", "two ", "three ")
    assert model.cells("token_embd.weight") == {(n, n): 1.0 for n in range(FIRST_PIECE + 3)}
    first, second, third = range(FIRST_PIECE, FIRST_PIECE + 3)
    assert model.cells("output.weight") == {
        **{(first, token): 8.0 for token in range(FIRST_PIECE)},
        (second, first): 8.0,
        (third, second): 8.0,
        (END, third): 8.0,
    }


@pytest.mark.parametrize(
    ("options", "links"),
    [
        ({}, {"one ": "two ", "two ": "<|im_end|>"}),
        ({"loop": True}, {"one ": "two ", "two ": "one "}),
        ({"tail": "two "}, {"one ": "two ", "two ": "two "}),
        (
            {"side": ["aside "], "jumps": {"two ": "aside ", "go": "two "}},
            {"one ": "two ", "two ": "aside ", "aside ": "<|im_end|>", "go": "two "},
        ),
        ({"loop": True, "jumps": {"two ": "two "}}, {"one ": "two ", "two ": "two "}),
    ],
)
def test_what_follows_what(tmp_path: Path, options: dict[str, Any], links: dict[str, str]) -> None:
    assert written(tmp_path, "one ", "two ", **options).successors() == links


@pytest.mark.parametrize(("dim", "width"), [(None, 384), (64, 384), (256, 512), (4096, 4096)])
def test_width_is_a_multiple_of_dim(tmp_path: Path, dim: int | None, width: int) -> None:
    model = written(tmp_path, "one ", dim=dim)
    assert model.fields["llama.embedding_length"] == width
    assert model.tensors["blk.0.attn_q.weight"].shape == (width, width)


def test_a_file_ends_with_its_last_tensor(tmp_path: Path) -> None:
    model = written(tmp_path, "one ")
    last = model.tensors["blk.0.ffn_up.weight"]
    assert len(model.data) == model.start + last.offset + 2 * last.shape[0] * last.shape[1]


@pytest.mark.parametrize(
    ("pieces", "options"),
    [
        (("one", "one"), {}),
        (("a",), {}),
        (("<s>",), {}),
        (("one",), {"side": ["one"]}),
    ],
)
def test_a_piece_that_repeats_is_refused(
    tmp_path: Path, pieces: tuple[str, ...], options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="piece repeats a token"):
        written(tmp_path, *pieces, **options)


def test_demo_says_how_to_make_a_model() -> None:
    text = "".join(scripted_model.DEMO)
    assert "scripted demo model" in text
    assert text.endswith("paddock create NAME -f Modelfile")


@pytest.mark.engine
@pytest.mark.parametrize(
    "pieces", [scripted_model.DEMO, ("Héllo ", "🦙", "\n\n", "  two  ", "</end>", "\u2028")]
)
def test_the_engine_answers_with_exactly_the_script(
    tmp_path: Path, pieces: tuple[str, ...]
) -> None:
    model = scripted_model.write(tmp_path / "model.gguf", pieces)
    assert trial.answer(PROGRAMS / "llama-server", model, [], "F16") == "".join(pieces)


@pytest.mark.engine
@pytest.mark.parametrize("dim", [None, 256])
def test_copying_with_the_engines_own_tool_changes_nothing(tmp_path: Path, dim: int | None) -> None:
    model = scripted_model.write(tmp_path / "model.gguf", scripted_model.DEMO, dim=dim, layers=2)
    copy = tmp_path / "copy.gguf"
    command = [str(path) for path in (PROGRAMS / "llama-quantize", model, copy, "COPY")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert copy.read_bytes() == model.read_bytes()
