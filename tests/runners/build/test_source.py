"""The pinned archive, and what is unpacked from it or from a source of the user's own."""

import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from runners.build import source
from runners.build.pin import Pin, read_pin
from runners.build.source import BuildError, Origin, SourceMissing

FILES = {
    "CMakeLists.txt": "set(LLAMA_VERSION_MAJOR 0)\nset(LLAMA_VERSION_MINOR 5)\n"
    "set(LLAMA_VERSION_PATCH 0)\n",
    "ggml/CMakeLists.txt": "set(GGML_VERSION_MAJOR 0)\nset(GGML_VERSION_MINOR 25)\n"
    "set(GGML_VERSION_PATCH 3)\n",
    "src/llama.cpp": "int main;",
    "LICENSE": "MIT",
    "docs/build.md": "no",
    "tools/server/tests/unit.py": "no",
}
TREE = Path("/checkout/vendor/llama.cpp")
KEPT = {"CMakeLists.txt", "LICENSE", "ggml/CMakeLists.txt", "src/llama.cpp"}


def archive(path: Path, files: Mapping[str, str], prefix: str) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


def tree(path: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


def files_in(path: Path) -> set[str]:
    return {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}


def pin_of(path: Path) -> Pin:
    data = path.read_bytes()
    return Pin("some-source", "1.0", hashlib.sha256(data).hexdigest(), len(data), ())


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("CMakeLists.txt", True),
        ("LICENSE", True),
        ("licenses/LICENSE-jsonhpp", True),
        ("src/models/llama.cpp", True),
        ("ggml/src/ggml-cpu/amx/amx.cpp", True),
        ("tools/server/server.cpp", True),
        ("tools/ui/CMakeLists.txt", True),
        ("tools/ui/ui.cpp.in", True),
        ("tools/ui/sources.cmake", True),
        ("scripts/ui-assets.cmake", True),
        ("convert_hf_to_gguf.py", True),
        ("conversion/base.py", True),
        ("gguf-py/gguf/constants.py", True),
        ("models/ggml-vocab-llama-bpe.gguf", True),
        ("models/templates/README.md", True),
        ("tools/ui/src/app.html", False),
        ("tools/ui/package.json", False),
        ("tools/server/tests/unit/test_basic.py", False),
        ("tools/server/bench/bench.py", False),
        ("tools/mtmd/test-1.jpeg", False),
        ("tools/server/README.md", False),
        ("gguf-py/tests/test_quants.py", False),
        ("tests/test-backend-ops.cpp", False),
        ("docs/build.md", False),
        ("examples/simple/simple.cpp", False),
        ("benches/dgx.md", False),
        ("media/llama.png", False),
        ("README.md", False),
        ("src/../../escaped", False),
    ],
)
def test_what_is_kept(name: str, kept: bool) -> None:
    assert source.kept(name) is kept


def test_verify_accepts_the_pinned_bytes_only(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(b"right")
    pin = pin_of(path)
    source.verify(path, pin)
    path.write_bytes(b"wrong")
    with pytest.raises(BuildError, match=r"not the pinned source: 5 bytes, sha256 .*; expected 5"):
        source.verify(path, pin)


def test_tree_prefix_finds_llama_in_any_archive() -> None:
    inside = ["top/README.md", "top/vendor/llama.cpp/ggml/CMakeLists.txt", "top/CMakeLists.txt"]
    assert source.tree_prefix(inside) == "top/vendor/llama.cpp/"
    assert source.tree_prefix(["ggml/CMakeLists.txt", "x/ggml/CMakeLists.txt"]) == ""
    with pytest.raises(BuildError, match=r"no llama\.cpp in the source"):
        source.tree_prefix(["top/README.md", "top/myggml/CMakeLists.txt"])


def test_unpack_replaces_everything_but_our_own_files(tmp_path: Path) -> None:
    packed = archive(tmp_path / "a.tar.gz", {**FILES}, "top-1.0/vendor/llama.cpp/")
    into = tree(
        tmp_path / "into",
        {"README.md": "ours", "stale.txt": "", "stale/file": "", ".origin": "0"},
    )
    source.unpack(packed, into, "d1")
    assert files_in(into) == KEPT | {"README.md", ".origin"}
    assert (into / "src/llama.cpp").read_text() == "int main;"
    assert (into / "README.md").read_text() == "ours"
    assert (into / ".origin").read_text() == "d1"


def test_a_torn_tree_has_no_stamp(tmp_path: Path) -> None:
    into = tree(tmp_path / "into", {".origin": "d1", "src/llama.cpp": "whole"})
    torn = tmp_path / "torn.tar.gz"
    whole = archive(tmp_path / "a.tar.gz", {**FILES, "src/big": "x" * 100_000}, "").read_bytes()
    torn.write_bytes(whole[: len(whole) // 2])
    with pytest.raises((EOFError, tarfile.ReadError)):
        source.unpack(torn, into, "d1")
    assert not (into / ".origin").exists()


def test_materialise_unpacks_once(tmp_path: Path) -> None:
    packed = archive(tmp_path / "a.tar.gz", FILES, "llama.cpp-b1/")
    into, lines = tmp_path / "into", list[str]()
    into.mkdir()
    wanted = source.origin(read_pin(), packed, TREE)
    for _ in range(2):
        source.materialise(wanted, read_pin(), tmp_path / "none", into, lines.append)
    assert lines == [f"fetching and unpacking {wanted.label}"]
    assert files_in(into) == KEPT | {".origin"}


def test_origin_of_the_pin_needs_no_archive() -> None:
    pin = Pin("some-source", "1.0", "ab" * 32, 5, ())
    assert source.origin(pin, None, TREE) == Origin("ab" * 32, "some-source 1.0")


def test_origin_of_an_archive_is_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"x")
    digest = hashlib.sha256(b"x").hexdigest()
    expected = Origin(digest, f"local source {digest[:12]}", path.resolve())
    assert source.origin(read_pin(), path, TREE) == expected


def test_origin_of_a_tree_follows_the_kept_files_only(tmp_path: Path) -> None:
    root = tree(tmp_path / "llama", FILES)
    before = source.origin(read_pin(), root, TREE)
    (root / "docs" / "build.md").write_text("changed")
    assert source.origin(read_pin(), root, TREE) == before
    (root / "src" / "llama.cpp").write_text("changed")
    assert source.origin(read_pin(), root, TREE).digest != before.digest


def test_a_tree_unpacks_like_an_archive(tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    source.unpack(tree(tmp_path / "llama", FILES), into, "d2")
    assert files_in(into) == KEPT | {".origin"}


@pytest.mark.parametrize("inside", [TREE, TREE / "src"])
def test_the_folder_we_fill_is_no_source(inside: Path) -> None:
    with pytest.raises(BuildError, match="name a source that lies elsewhere"):
        source.origin(read_pin(), inside, TREE)


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match=f"there is no {tmp_path}/gone"):
        source.origin(read_pin(), tmp_path / "gone", TREE)


def test_fetch_takes_the_archive_it_has(tmp_path: Path) -> None:
    path = tmp_path / "some_source-1.0.tar.gz"
    path.write_bytes(b"right")

    def no_pip(arguments: Sequence[str]) -> None:
        raise AssertionError(arguments)

    assert source.fetch(pin_of(path), tmp_path, no_pip) == path


def test_fetch_has_pip_check_the_hash_and_replaces_a_damaged_archive(
    tmp_path: Path,
) -> None:
    path = tmp_path / "downloads" / "some_source-1.0.tar.gz"
    path.parent.mkdir()
    path.write_bytes(b"right")
    pin, received = pin_of(path), list[str]()
    path.write_bytes(b"wrong")

    def pip(arguments: Sequence[str]) -> None:
        received.extend(arguments[:5])
        received.append(Path(arguments[6]).read_text())
        Path(arguments[8], path.name).write_bytes(b"right")

    assert source.fetch(pin, path.parent, pip) == path
    assert path.read_bytes() == b"right"
    assert received == [
        *("download", "--no-deps", "--no-binary", "some-source", "--require-hashes"),
        f"some-source==1.0 --hash=sha256:{pin.sha256}\n",
    ]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_fetch_keeps_nothing_that_is_not_pinned(tmp_path: Path) -> None:
    pin = Pin("some-source", "1.0", "ab" * 32, 5, ())

    def pip(arguments: Sequence[str]) -> None:
        Path(arguments[8], "some_source-1.0.tar.gz").write_bytes(b"wrong")

    with pytest.raises(SourceMissing, match="is not the pinned source"):
        source.fetch(pin, tmp_path, pip)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_pip_is_quoted_with_the_remedy() -> None:
    with pytest.raises(SourceMissing, match=r"pip no-such-verb failed: .*\n.*--source PATH"):
        source.pip(["no-such-verb"])


def test_version(tmp_path: Path) -> None:
    root = tree(tmp_path, FILES)
    assert source.version(root, "x 1") == "llama.cpp 0.5.0 (ggml 0.25.3; x 1)"
    tree(tmp_path, {"CMakeLists.txt": ""})
    assert source.version(root, "x 1") == "llama.cpp unknown (ggml 0.25.3; x 1)"
