"""Numbers and times as the tables show them. Pure: the caller passes the time."""

import math
from collections.abc import Mapping
from datetime import datetime

_YEARS_20 = 20 * 365 * 24 * 3600


def size(count: int) -> str:
    """Bytes in steps of 1000: `999 B`, `1.5 KB`, `25 GB`. From ten upward the rest is cut off."""
    value, unit = float(count), "B"
    for limit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "KB")):
        if count >= limit:
            value, unit = count / limit, name
            break
    if value >= 10 or value.is_integer():
        return f"{int(value)} {unit}"
    return f"{value:.1f} {unit}"


def moment(text: str) -> float | None:
    """Unix seconds of an RFC 3339 time; None for the zero time, nothing, or no time at all."""
    try:
        seconds = datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
    # Go's zero time, in which Ollama writes "never".
    return None if text.startswith("0001-01-01T00:00:00") else seconds


def relative(when: float | None, now: float, fallback: str) -> str:
    """`3 minutes ago`, `4 minutes from now`; `Forever` when more than 20 years ahead."""
    if when is None:
        return fallback
    if when - now > _YEARS_20:
        return "Forever"
    return f"{span(abs(when - now))} {'from now' if when > now else 'ago'}"


def span(seconds: float) -> str:
    """A distance in time in one unit."""
    # Minutes are cut off and hours rounded, and days have no singular: these are Ollama's texts.
    whole, minutes, hours = int(seconds), int(seconds / 60), _round(seconds / 3600)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    if hours < 14 * 24:
        return f"{hours // 24} days"
    if hours < 60 * 24:
        return f"{hours // (7 * 24)} weeks"
    if hours < 2 * 365 * 24:
        return f"{hours // (30 * 24)} months"
    return f"{hours // (365 * 24)} years"


def processor(total: int, vram: int) -> str:
    """Where a model of `total` bytes lies when `vram` of them are on a GPU."""
    # First, so that 0 of 0 bytes are on the CPU and not unknown.
    if vram == 0:
        return "100% CPU"
    if vram == total:
        return "100% GPU"
    if vram > total or total == 0:
        return "Unknown"
    share = _round((total - vram) / total * 100)
    return f"{share}%/{100 - share}% CPU/GPU"


def scalar(value: object) -> str:
    """One metadata value: booleans and text as they are, numbers without a needless fraction."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, str | int | float):
        return str(value)
    return "null" if value is None else type(value).__name__


def metadata(value: object, width: int = 10) -> str:
    """Like `scalar`; a list becomes `[a b ...+N more]` with about `width` cells of items."""
    if not isinstance(value, list):
        return "object" if isinstance(value, Mapping) else scalar(value)
    shown: list[str] = []
    used = 1
    for item in value:
        text = metadata(item)
        used += len(text) + (2 if shown else 0)
        if shown and used > width:
            break
        shown.append(text)
    rest = len(value) - len(shown)
    return f"[{' '.join(shown)}" + (f" ...+{rest} more]" if rest else "]")


def _round(value: float) -> int:
    """To the nearest whole number, halves upward; `value` is not negative."""
    # Python's own round() takes halves to the even neighbour, Go's does not.
    return math.floor(value + 0.5)
