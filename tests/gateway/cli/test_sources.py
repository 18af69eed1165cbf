"""Local files of a Modelfile."""

from pathlib import Path

import pytest

from gateway.cli.sources import gguf_files, local, needed, travelling
from gateway.errors import Invalid


def model(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"GGUF and so on")
    return path


def test_paths_are_relative_to_the_modelfile(tmp_path: Path) -> None:
    file = model(tmp_path / "sub" / "a.gguf")
    assert local("sub/a.gguf", tmp_path) == file
    assert local("./sub", tmp_path) == file.parent
    assert local(str(file), Path("/elsewhere")) == file
    assert local("llama3", tmp_path) is None


def test_a_tilde_is_the_home_folder(tmp_path: Path) -> None:
    assert local("~", tmp_path) == Path.home()


def test_a_missing_file_that_is_needed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        needed("a.gguf", tmp_path)
    assert caught.value.message == "a.gguf: no such file or directory"


def test_a_folder_stands_for_its_gguf_files(tmp_path: Path) -> None:
    second, first = model(tmp_path / "b.gguf"), model(tmp_path / "a.gguf")
    (tmp_path / "c.gguf").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    (tmp_path / "config.json").write_text("{}")
    assert gguf_files(tmp_path) == [first, second]
    assert gguf_files(first) == [first]


def test_a_folder_without_gguf_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(Invalid) as caught:
        gguf_files(tmp_path)
    assert caught.value.message == f"no Modelfile or GGUF files found in {tmp_path}"


def test_a_file_of_another_kind_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"{}")
    with pytest.raises(Invalid) as caught:
        gguf_files(file)
    assert caught.value.message == f"{file}: not a GGUF file, and only those are supported for now"


def test_a_link_may_point_inside_its_folder_only(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    target = model(folder / "blobs" / "x")
    (folder / "a.gguf").symlink_to(target)
    assert gguf_files(folder) == [folder / "a.gguf"]
    (folder / "b.gguf").symlink_to(model(tmp_path / "out"))
    with pytest.raises(Invalid) as caught:
        gguf_files(folder)
    assert caught.value.message == "insecure path: b.gguf"


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ([], []),
        (["/a/b/c.gguf"], ["c.gguf"]),
        (["/a/b/c.gguf", "/a/b/d.gguf"], ["c.gguf", "d.gguf"]),
        (["/a/b/c.gguf", "/a/d/e.gguf"], ["b/c.gguf", "d/e.gguf"]),
        (["/a/b/../c.gguf", "/a/d.gguf"], ["c.gguf", "d.gguf"]),
    ],
)
def test_files_travel_under_names_below_their_common_folder(
    files: list[str], names: list[str]
) -> None:
    assert list(travelling(map(Path, files))) == names
