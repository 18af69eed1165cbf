"""Numbers the way Go prints them, for texts and blobs that must match Ollama's byte for byte.

Every number that went through Go's `map[string]any` is a float64 there, integers included.
"""

import math
import struct
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

_SINGLE = struct.Struct("<f")


def json_text(value: float) -> str:
    """`value` as Go's JSON encoder writes a float: no exponent from 1e-6 up to 1e21."""
    if not math.isfinite(value):
        return "null"
    exact = Decimal(repr(float(value)))
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return format(exact.normalize(), "f")
    return _scientific(exact, width=1)


def display(value: float) -> str:
    """`value` as Go's `%v` prints a float64: an exponent from 1e+06 upward and below 1e-04."""
    if not math.isfinite(value):
        return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN")
    exact = Decimal(repr(float(value))).normalize()
    if value == 0 or -4 <= exact.adjusted() < 6:
        return format(exact, "f")
    return _scientific(exact, width=2)


def single(value: float) -> float:
    """The shortest decimal that names the same 32-bit float: 1e-05, not 9.999999747378752e-06."""
    if not math.isfinite(value):
        return value
    image = _SINGLE.pack(value)
    # Six digits always survive a trip through a float32, nine always identify it.
    for digits in range(6, 9):
        short = float(f"{value:.{digits}g}")
        if _SINGLE.pack(short) == image:
            return short
    return float(f"{value:.9g}")


def parameter_size(number: int) -> str:
    """A count of parameters for people: `7.2B`, `137M`, `22.71M`, `944K`, `42`."""
    for unit, decimals, letter in ((10**9, 1, "B"), (10**6, 2, "M")):
        if number >= unit:
            return f"{number / unit:.{decimals if number % unit else 0}f}{letter}"
    return f"{number / 1000:.0f}K" if number >= 1000 else str(number)


def exact(value: Any) -> Any:
    """`value` with every float replaced by its text in Go's form, ready for the JSON encoder."""
    if isinstance(value, float):
        return orjson.Fragment(json_text(value))
    if isinstance(value, Mapping):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [exact(item) for item in value]
    return value


def _scientific(value: Decimal, width: int) -> str:
    """Mantissa, `e`, sign, and an exponent of at least `width` digits."""
    sign, digits, _ = value.normalize().as_tuple()
    first, rest = str(digits[0]), "".join(map(str, digits[1:]))
    mantissa = f"{first}.{rest}" if rest else first
    power = value.adjusted()
    return f"{'-' if sign else ''}{mantissa}e{'-' if power < 0 else '+'}{abs(power):0{width}d}"
