"""JSON files of the store. Whoever published a model wrote them, so they may hold anything."""

import json
import os
from typing import Any

from gateway.golang.json_encode import dumps


def decode(data: bytes) -> Any:
    """The first JSON value of `data`; ValueError when there is none that could be written again.

    As in Go, an integer beyond 64 bits is a float, a lone surrogate is U+FFFD, and what follows the
    value does not count.
    """
    text = data.decode().lstrip()
    try:
        value, _ = _DECODER.raw_decode(text)
        written = dumps(value)
    except (RecursionError, TypeError) as error:
        raise ValueError("it is nested too deeply") from error
    return json.loads(written) if "\\ud" in text.lower() else value


def _integer(text: str) -> int | float:
    # A longer one may be no number that Python would read.
    return int(text) if len(text) < 19 else float(text)


_DECODER = json.JSONDecoder(parse_int=_integer)


def reason(error: Exception) -> str:
    """What went wrong, for an answer: files by their names, for folders are nobody's business."""
    if isinstance(error, OSError) and error.strerror:
        name = os.path.basename(str(error.filename or ""))
        return f"{name}: {error.strerror}" if name else error.strerror
    return str(error)
