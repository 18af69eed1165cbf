"""WebP becomes PNG; everything else stays as it is."""

import base64
import io
import struct
import zlib
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gateway.errors import Invalid
from gateway.llama.images import is_webp, media_part, png, readable

pytestmark = pytest.mark.anyio

TEXT = {"type": "text", "text": "what is this?"}


def picture(kind: str, size: tuple[int, int] = (3, 2), colour: Any = (255, 0, 0)) -> str:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind, lossless=True)
    return base64.b64encode(out.getvalue()).decode()


def webp(colour: tuple[int, int, int] = (255, 0, 0)) -> str:
    return picture("WEBP", colour=colour)


def empty_png(width: int, height: int) -> str:
    """A PNG that says how large it is, and has nothing else."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    idat = struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunk + idat).decode()


def image(data: str, kind: str = "webp") -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{data}"}}


def test_a_picture_keeps_its_pixels() -> None:
    made_of = png(webp((1, 2, 3)))
    assert made_of is not None
    with Image.open(io.BytesIO(base64.b64decode(made_of))) as made:
        assert (made.format, made.size, made.getpixel((2, 1))) == ("PNG", (3, 2), (1, 2, 3))


def test_what_is_no_picture_is_refused_by_its_reason() -> None:
    broken = base64.b64encode(base64.b64decode(webp())[:20]).decode()
    with pytest.raises(Invalid, match=r"^decode WebP image: "):
        png(broken)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP"])
def test_what_the_engine_can_read_stays_as_it_is(kind: str) -> None:
    assert png(picture(kind)) is None


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_unpacked() -> None:
    assert png(empty_png(8000, 8000)) is None
    with pytest.raises(Invalid, match=r"^an image of 16000x16000 pixels is too large$"):
        png(empty_png(16000, 16000))


async def test_webp_parts_of_a_turn_are_replaced_in_their_places() -> None:
    before = {"role": "system", "content": "s"}
    messages: Any = [before, {"role": "user", "content": [TEXT, image(webp()), TEXT]}]
    made: Any = await readable(messages)
    assert made[0] == before
    first, picture, last = made[1]["content"]
    assert (first, last) == (TEXT, TEXT)
    assert picture["image_url"]["url"] == f"data:image/png;base64,{png(webp())}"


async def test_a_webp_under_another_name_is_still_one() -> None:
    messages = [{"role": "user", "content": [image(webp(), "jpeg")]}]
    made: Any = await readable(messages)
    assert made[0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    "content",
    ["hi", None, [TEXT], [{"type": "input_audio"}], [image("iVBORw0KGgo=", "png")]],
)
async def test_a_turn_without_webp_is_left_alone(content: Any) -> None:
    messages = [{"role": "user", "content": content}]
    assert await readable(messages) == messages


# ---- kinds


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
    assert media_part(data) == {"type": "image_url", "image_url": {"url": url}}


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
    assert media_part(data) == {
        "type": "input_audio",
        "input_audio": {"data": data, "format": form},
    }


def test_webp_is_known() -> None:
    assert is_webp(encoded(b"RIFF\x10\x00\x00\x00WEBPVP8 " + REST))
    assert not is_webp(encoded(b"RIFF\x10\x00\x00\x00WAVEfmt " + REST))
    assert not is_webp(encoded(b"....\x10\x00\x00\x00WEBPVP8 " + REST))


@pytest.mark.parametrize("data", ["", "A", "AB=C=", "é"])
def test_what_is_no_base64_may_be_a_jpeg(data: str) -> None:
    url = f"data:image/jpeg;base64,{data}"
    assert media_part(data) == {"type": "image_url", "image_url": {"url": url}}
    assert not is_webp(data)


@given(st.binary(max_size=60))
def test_the_data_itself_passes_as_it_is(data: bytes) -> None:
    text = encoded(data)
    result: Any = media_part(text)
    if result["type"] == "input_audio":
        assert result["input_audio"]["data"] == text
    else:
        assert result["image_url"]["url"].endswith(f";base64,{text}")
