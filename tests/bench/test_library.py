"""The large library is one that the server reads whole."""

from pathlib import Path

from bench.library import build
from gateway.names import parse
from gateway.store.gguf import Array
from gateway.store.library import Library


def test_every_name_is_listed_with_what_its_header_says(tmp_path: Path) -> None:
    build(tmp_path / "models", 20, 100)
    library = Library(tmp_path / "models")
    entries = library.entries()
    assert len({entry.name for entry in entries}) == 21
    assert len({entry.digest for entry in entries}) == 21
    outlines = [entry.outline for entry in entries]
    assert None not in outlines
    assert {(outline or {})["general.architecture"] for outline in outlines} == {"llama"}
    assert len({(outline or {})["general.name"] for outline in outlines}) == 11
    assert all(library.get(entry.name).header for entry in entries)


def test_the_vocabulary_has_its_size(tmp_path: Path) -> None:
    build(tmp_path / "models", 1, 100)
    header = Library(tmp_path / "models").get(parse("vocabulary")).header
    assert header is not None
    assert header.metadata["tokenizer.ggml.tokens"] == Array("string", 100)
    assert header.metadata["tokenizer.ggml.merges"] == Array("string", 100)
    assert header.tensors == ()
