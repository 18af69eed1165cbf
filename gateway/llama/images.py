"""Images and sounds as the engine can take them: WebP made PNG, and none too large to unpack."""

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from typing import Any

from anyio.to_thread import run_sync

from gateway.errors import Invalid
from gateway.llama.requests import JsonObject, Message

# The engine unpacks an image whole; a file of one megabyte can hold gigabytes of nothing.
_MOST_PIXELS = 64_000_000
_PNG_PREFIX = "data:image/png;base64,"
_MP3 = (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")
_TYPES = ((b"\x89PNG\r\n\x1a\n", "png"), (b"GIF8", "gif"), (b"BM", "bmp"))
_HEAD = 32
"""Base64 digits that hold as many bytes as are looked at."""


def media_part(data: str) -> dict[str, object]:
    """The part of a message that `data`, base64, is; anything unknown may still be a JPEG."""
    # By its first bytes, for Ollama's clients send base64 without a type.
    head = _first_bytes(data)
    if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
        return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    if head.startswith(_MP3):
        return {"type": "input_audio", "input_audio": {"data": data, "format": "mp3"}}
    kind = next((name for mark, name in _TYPES if head.startswith(mark)), "jpeg")
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{data}"}}


def is_webp(data: str) -> bool:
    """WebP is what the engine cannot read."""
    head = _first_bytes(data)
    return head.startswith(b"RIFF") and head[8:12] == b"WEBP"


def _first_bytes(data: str) -> bytes:
    try:
        # What is no base64 the engine refuses itself.
        return binascii.a2b_base64(data[:_HEAD])
    except ValueError:
        return b""


async def readable(messages: Sequence[Message]) -> Sequence[Message]:
    """The messages with images that the engine can read.

    Raises Invalid for an image that is too large, and for a WebP image that is broken. What is no
    image at all the engine refuses itself.
    """
    changed = list(messages)
    for at, message in enumerate(messages):
        content = message.get("content")
        if not isinstance(content, list) or not any(map(_image_data, content)):
            continue
        parts: list[JsonObject] = []
        for part in content:
            # An image takes up to a second to decode; in the event loop every other stream would
            # wait.
            data = _image_data(part)
            if data and (converted := await run_sync(png, data)):
                part = {"type": "image_url", "image_url": {"url": _PNG_PREFIX + converted}}
            parts.append(part)
        changed[at] = {**message, "content": parts}
    return changed


def png(data: str) -> str | None:
    """A WebP image as PNG, base64 both; None for what can stay as it is. See `readable`."""
    # Loaded by those few requests that need it, not at every start of a server.
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # our own limit comes first, and is an error, not a warning
    try:
        image = Image.open(io.BytesIO(base64.b64decode(data)))
    except (OSError, ValueError) as exc:
        if is_webp(data):
            raise Invalid(f"decode WebP image: {exc}") from exc
        return None
    with image:
        if image.width * image.height > _MOST_PIXELS:
            raise Invalid(f"an image of {image.width}x{image.height} pixels is too large")
        if image.format != "WEBP":
            return None
        out = io.BytesIO()
        try:
            image.save(out, "PNG")
        except (OSError, ValueError) as exc:
            raise Invalid(f"decode WebP image: {exc}") from exc
    return base64.b64encode(out.getvalue()).decode()


def _image_data(part: Mapping[str, Any]) -> str:
    """The base64 data of an image; empty for any other part."""
    if part.get("type") != "image_url":
        return ""
    return str(part["image_url"]["url"]).partition(";base64,")[2]
