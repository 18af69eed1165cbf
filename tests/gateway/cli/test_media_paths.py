"""Paths of images and sounds in a prompt."""

import base64
import io
from pathlib import Path

import pytest

from gateway.cli.console import Console
from gateway.cli.media_paths import (
    MediaPath,
    extract_media,
    find_media_paths,
    is_media,
    load_media,
    may_name_media,
    remove_paths,
)
from gateway.errors import Invalid

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


@pytest.mark.parametrize(
    ("text", "files", "paths"),
    [
        ("what is /a/b.png?", ["/a/b.png"], [("/a/b.png", "/a/b.png")]),
        ("see ./x.JPG and ../y.webp", ["./x.JPG", "../y.webp"], ["./x.JPG", "../y.webp"]),
        ("and/or see /a/b.png", ["/a/b.png"], ["/a/b.png"]),
        ("/a b/c d.jpeg now", ["/a b/c d.jpeg"], ["/a b/c d.jpeg"]),
        ("/a\\ b/c\\(1\\).jpeg", ["/a b/c(1).jpeg"], [("/a\\ b/c\\(1\\).jpeg", "/a b/c(1).jpeg")]),
        ("C:\\pics\\a.png", ["C:\\pics\\a.png"], ["C:\\pics\\a.png"]),
        ("/a.png /a.png.wav", ["/a.png", "/a.png.wav"], ["/a.png", "/a.png"]),
        ("/missing.png", [], []),
        ("/a.pngs a.png", ["/a.png", "a.png"], []),
        ("/a\n.png", ["/a\n.png"], []),
    ],
)
def test_files_are_found_where_they_exist(
    text: str, files: list[str], paths: list[str | tuple[str, str]]
) -> None:
    pairs = [pair if isinstance(pair, tuple) else (pair, pair) for pair in paths]
    assert find_media_paths(text, files.__contains__) == [MediaPath(*pair) for pair in pairs]


def test_paths_are_cut_out_with_their_quotes() -> None:
    paths = [MediaPath("/a.png", "/a.png")]
    assert remove_paths("what is '/a.png' and /a.png ?\n", paths) == "what is  and  ?"


@pytest.mark.parametrize(
    ("text", "looks"), [("/x.png", True), ("/clear", False), ("/a b.WAV now", True)]
)
def test_what_looks_like_a_file(text: str, looks: bool) -> None:
    assert may_name_media(text) is looks


@pytest.mark.parametrize(
    ("start", "known"),
    [
        (b"\xff\xd8\xff\xe0", True),
        (PNG, True),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", True),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", True),
        (b"RIFF\x00\x00\x00\x00AVI LIST", False),
        (b"GIF89a", False),
        (b"", False),
    ],
)
def test_the_first_bytes_decide(start: bytes, known: bool) -> None:
    assert is_media(start) is known


def test_files_are_taken_from_the_prompt(tmp_path: Path) -> None:
    image, sound = tmp_path / "a b.png", tmp_path / "c.wav"
    image.write_bytes(PNG)
    sound.write_bytes(b"RIFF\x00\x00\x00\x00WAVE")
    err = io.StringIO()
    console = Console(None, io.StringIO(), err, {})
    assert extract_media(f"what is '{image}' and {sound}?", console) == (
        "what is  and ?",
        [base64.b64encode(PNG).decode(), base64.b64encode(sound.read_bytes()).decode()],
    )
    assert err.getvalue() == f"Added image '{image}'\nAdded audio '{sound}'\n"


def test_a_file_of_another_type_ends_it(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(b"text")
    err = io.StringIO()
    with pytest.raises(Invalid) as caught:
        extract_media(f"what is {image}", Console(None, io.StringIO(), err, {}))
    assert caught.value.message == f"invalid file type: {image}"
    assert err.getvalue() == f'Couldn\'t process file: "{image}"\n'


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    with image.open("wb") as file:
        file.truncate((100 << 20) + 1)
    with pytest.raises(Invalid) as caught:
        load_media(image)
    assert caught.value.message == "file size exceeds maximum limit (100MB)"
