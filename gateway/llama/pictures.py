"""Images and sounds as parts of a message, told apart by their first bytes."""

import binascii
from typing import Any

_MP3 = (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")
_TYPES = ((b"\x89PNG\r\n\x1a\n", "png"), (b"GIF8", "gif"), (b"BM", "bmp"))
_HEAD = 32
"""Base64 digits that hold as many bytes as are looked at."""


def part(data: str) -> dict[str, Any]:
    """What `data`, base64, is to the engine; anything unknown may still be a JPEG."""
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
        return binascii.a2b_base64(data[:_HEAD])
    except ValueError:
        return b""
