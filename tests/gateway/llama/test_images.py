"""WebP becomes PNG; everything else stays as it is."""

import base64
import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from gateway.errors import Invalid
from gateway.inference.types import Turn
from gateway.llama.images import png, readable

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
    turn = Turn(messages=[before, {"role": "user", "content": [TEXT, image(webp()), TEXT]}])
    made = await readable(turn)
    assert made.messages[0] == before
    first, picture, last = made.messages[1]["content"]
    assert (first, last) == (TEXT, TEXT)
    assert picture["image_url"]["url"] == f"data:image/png;base64,{png(webp())}"


async def test_a_webp_under_another_name_is_still_one() -> None:
    turn = Turn(messages=[{"role": "user", "content": [image(webp(), "jpeg")]}])
    made = await readable(turn)
    assert made.messages[0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    "content",
    ["hi", None, [TEXT], [{"type": "input_audio"}], [image("iVBORw0KGgo=", "png")]],
)
async def test_a_turn_without_webp_is_left_alone(content: Any) -> None:
    turn = Turn(messages=[{"role": "user", "content": content}])
    assert await readable(turn) == turn
