"""Durations in Go's notation, as requests, environment variables and replies write them.

`1h30m`, `5m30.5s`, `-1m`: signed sequences of decimal numbers with a unit. Inside this program a
duration is a float of seconds; `math.inf` stands for "never ends".
"""

import math
import re

from gateway.errors import Invalid

_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,  # micro sign
    "\u03bcs": 10**3,  # Greek small mu
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_LIMIT = 1 << 63  # Go counts nanoseconds in a signed 64-bit integer
_LONGEST = (_LIMIT - 1) / 1e9
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_GO_TYPES = {bool: "bool", dict: "map[string]interface {}", list: "[]interface {}"}


def parse_duration(text: str) -> float:
    """Seconds of a duration in Go's syntax; Invalid with the words of Go's parser."""
    sign, rest = (text[0], text[1:]) if text[:1] in ("+", "-") else ("", text)
    if rest == "0":
        return 0.0
    if not rest:
        raise _invalid(text)
    total, position = 0, 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None or not (part[1] or part[2]):
            raise _invalid(text)
        whole, fraction, unit = part[1].lstrip("0"), part[2] or "", part[3]
        # The length first: Python refuses to read numbers of thousands of digits.
        if len(whole) > 19 or int(whole or 0) > _LIMIT:
            raise _invalid(text)
        if not unit:
            raise Invalid(f"time: missing unit in duration {_quoted(text)}")
        if unit not in _NANOSECONDS:
            raise Invalid(f"time: unknown unit {_quoted(unit)} in duration {_quoted(text)}")
        scale = _NANOSECONDS[unit]
        # Go drops digits that its 64 bits cannot hold; eighteen always fit.
        digits = fraction[:18]
        divisor: int = 10 ** len(digits)
        total += int(whole or 0) * scale + int(digits or 0) * scale // divisor
        position = part.end()
        if total > _LIMIT:
            raise _invalid(text)
    # 2**63 itself fits a signed integer only as a negative number.
    if total == _LIMIT and sign != "-":
        raise _invalid(text)
    return (-total if sign == "-" else total) / 1e9


def parse_keep_alive(value: object) -> float | None:
    """Seconds a model stays loaded after its last use, from a decoded JSON value.

    None for null, `math.inf` for a model that stays: any negative value, and any number of seconds
    that does not fit Go's 64 bits of nanoseconds.
    """
    if value is None:
        return None
    if isinstance(value, str):
        seconds = parse_duration(value)
        return seconds if seconds >= 0 else math.inf
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if 0 <= value <= _LONGEST else math.inf
    kind = _GO_TYPES.get(type(value), type(value).__name__)
    raise Invalid(f"Unsupported type: '{kind}'")


def parse_setting_duration(text: str) -> float:
    """Seconds of a setting: a Go duration, else a whole number of seconds. May be negative."""
    try:
        return parse_duration(text)
    except Invalid:
        if _INTEGER.fullmatch(text):
            return float(int(text))
        raise


def format_duration(seconds: float) -> str:
    """`seconds` as Go prints a duration: `1m30s`, `456.789ms`, `0s`; "forever" for `math.inf`."""
    if seconds == math.inf:
        return "forever"
    total = round(abs(seconds) * 1e9)
    sign = "-" if seconds < 0 and total else ""
    if total >= 10**9:
        minutes, rest = divmod(total, 60 * 10**9)
        hours, minutes = divmod(minutes, 60)
        larger = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
        return f"{sign}{larger}{_decimal(rest, 9)}s"
    if total >= 10**6:
        return f"{sign}{_decimal(total, 6)}ms"
    if total >= 10**3:
        return f"{sign}{_decimal(total, 3)}\u00b5s"
    return f"{sign}{total}ns" if total else "0s"


def _invalid(text: str) -> Invalid:
    return Invalid(f"time: invalid duration {_quoted(text)}")


def _quoted(text: str) -> str:
    # Not `strconv.quote`: Go's time package does not import strconv and has a quoting of its own,
    # which writes every byte outside ASCII, and every control character, as `\x`.
    out = []
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif " " <= char <= "\x7f":
            out.append(char)
        else:
            out += [f"\\x{byte:02x}" for byte in char.encode("utf-8", "replace")]
    return '"' + "".join(out) + '"'


def _decimal(value: int, places: int) -> str:
    """`value` / 10**`places` in decimal digits, trailing zeros trimmed."""
    whole, rest = divmod(value, 10**places)
    return f"{whole}.{rest:0{places}d}".rstrip("0").rstrip(".")
