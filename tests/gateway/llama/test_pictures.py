"""Images and sounds, by their first bytes."""

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.llama.pictures import is_webp, part


def encoded(data: bytes) -> str:
    return b64encode(data).decode()


REST = bytes(range(40))


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"GIF89a", "gif"),
        (b"GIF87a", "gif"),
        (b"BM", "bmp"),
        (b"\xff\xd8\xff\xe0", "jpeg"),
        (b"\x89PNG\n", "jpeg"),
        (b"RIFF....WEBP", "jpeg"),
        (b"", "jpeg"),
    ],
)
def test_an_image_is_named_by_its_first_bytes(head: bytes, kind: str) -> None:
    data = encoded(head + REST)
    url = f"data:image/{kind};base64,{data}"
    assert part(data) == {"type": "image_url", "image_url": {"url": url}}


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (b"RIFF\x10\x00\x00\x00WAVEfmt ", "wav"),
        (b"ID3\x04", "mp3"),
        (b"\xff\xfb\x90", "mp3"),
        (b"\xff\xf3\x90", "mp3"),
        (b"\xff\xf2\x90", "mp3"),
    ],
)
def test_a_sound_is_named_by_its_first_bytes(head: bytes, form: str) -> None:
    data = encoded(head + REST)
    assert part(data) == {"type": "input_audio", "input_audio": {"data": data, "format": form}}


def test_webp_is_known() -> None:
    assert is_webp(encoded(b"RIFF\x10\x00\x00\x00WEBPVP8 " + REST))
    assert not is_webp(encoded(b"RIFF\x10\x00\x00\x00WAVEfmt " + REST))
    assert not is_webp(encoded(b"....\x10\x00\x00\x00WEBPVP8 " + REST))


@pytest.mark.parametrize("data", ["", "A", "AB=C=", "é"])
def test_what_is_no_base64_may_be_a_jpeg(data: str) -> None:
    assert part(data)["image_url"]["url"] == f"data:image/jpeg;base64,{data}"
    assert not is_webp(data)


@given(st.binary(max_size=60))
def test_the_data_itself_passes_as_it_is(data: bytes) -> None:
    text = encoded(data)
    found: Any = part(text)
    if found["type"] == "input_audio":
        assert found["input_audio"]["data"] == text
    else:
        assert found["image_url"]["url"].endswith(f";base64,{text}")
