"""Images as the engine can take them: WebP made PNG, and none too large to be unpacked."""

import base64
import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from anyio.to_thread import run_sync

from gateway.errors import Invalid
from gateway.inference.types import Turn
from gateway.llama.pictures import is_webp

_MOST_PIXELS = 64_000_000
"""The engine unpacks an image whole; a file of one megabyte can hold gigabytes of nothing."""
_PREFIX = "data:image/png;base64,"


async def readable(turn: Turn) -> Turn:
    """The turn with images that the engine can read; the same turn if it has none.

    Raises Invalid for an image that is too large, and for a WebP image that is broken. What is no
    image at all the engine refuses itself.
    """
    if not any(_image(part) for message in turn.messages for part in _parts(message)):
        return turn
    return replace(turn, messages=[await _message(message) for message in turn.messages])


async def _message(message: Mapping[str, Any]) -> Mapping[str, Any]:
    parts = _parts(message)
    if not any(map(_image, parts)):
        return message
    made = [await run_sync(_part, part) if _image(part) else part for part in parts]
    return {**message, "content": made}


def _part(part: Mapping[str, Any]) -> Mapping[str, Any]:
    made = png(_image(part))
    return {"type": "image_url", "image_url": {"url": _PREFIX + made}} if made else part


def png(data: str) -> str | None:
    """A WebP image as PNG, base64 both; None for what can stay as it is. See `readable`."""
    # Loaded by those few who need it, not by every start of a gateway.
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


def _parts(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message.get("content")
    return content if isinstance(content, list) else []


def _image(part: Mapping[str, Any]) -> str:
    """The base64 data of an image; empty for any other part."""
    if part.get("type") != "image_url":
        return ""
    return str(part["image_url"]["url"]).partition(";base64,")[2]
