"""Embedding vectors: to unit length, shortened, and as the text or the bytes that clients read.

A vector is an `array("f")`: 32-bit floats, as the engine computes them. Sums are done in double.
"""

import math
import re
import sys
from array import array
from binascii import a2b_base64, b2a_base64
from typing import TypeAlias

import orjson

from gateway.errors import Invalid
from gateway.golang.strconv import shortest_float32

# A text, for array can be subscripted only from Python 3.12 on.
Vector: TypeAlias = "array[float]"

_LEAST_NORM = 1e-12
_DIGITS = 24
"""Bits of a 32-bit float's significand."""
_EXPONENT = re.compile(rb"(\d)(?:\.(\d+))?e-6\b")


def _scales(exponent: int) -> tuple[float, tuple[float, ...]]:
    """For floats from 2**(exponent - 1) up to 2**exponent: half the space between two neighbours,
    and powers of ten from the one that always tells neighbours apart down to 1."""
    half = math.ldexp(1.0, exponent - _DIGITS - 1)
    most = next(places for places in range(23) if 0.5 * 10.0**-places < half)
    return half, tuple(10.0**places for places in range(most, -1, -1))


# Up to 10**22 powers of ten are exact doubles; a unit vector holds nothing outside this range that
# anybody would notice.
_SCALES = {exponent: _scales(exponent) for exponent in range(-44, 25)}


def unpacked(text: str) -> Vector:
    """A vector from the base64 of its little-endian floats."""
    return _little(array("f", a2b_base64(text)))


def packed(vector: Vector) -> str:
    """The base64 of its little-endian floats."""
    return b2a_base64(_little(vector).tobytes(), newline=False).decode()


def length(vector: Vector) -> float:
    """Its L2 norm; Invalid if there is a NaN or an infinity in it."""
    norm = math.hypot(*vector)
    if not math.isfinite(norm):
        raise Invalid("embedding contains NaN or Inf values")
    return norm


def unit(vector: Vector, dimensions: int = 0) -> Vector:
    """Divided by its length; cut to `dimensions` if it has more, and then divided again.

    A vector of zeros stays as it is.
    """
    norm = max(length(vector), _LEAST_NORM)
    whole: Vector = array("f", [value / norm for value in vector])
    return unit(whole[:dimensions]) if 0 < dimensions < len(whole) else whole


def shortest(vector: Vector) -> list[float]:
    """The doubles with the fewest decimal digits that still name the same 32-bit floats."""
    doubles: list[float] = []
    # In a quarter of the time of `shortest_float32`: a reply may have 100,000 numbers.
    frexp, scales = math.frexp, _SCALES
    for value in vector:
        mantissa, exponent = frexp(value)
        if exponent not in scales or mantissa in (0.5, -0.5):
            # By its text, which is slower: the steps fit neither a power of two nor a huge one.
            doubles.append(shortest_float32(value))
            continue
        half, steps = scales[exponent]
        best = value
        for step in steps:
            short = round(value * step) / step
            if abs(short - value) >= half:
                break
            best = short
        doubles.append(best)
    return doubles


def text(numbers: object) -> orjson.Fragment:
    """Lists of numbers as JSON; as Go writes it, nothing from 1e-6 upward has an exponent."""
    data = orjson.dumps(numbers)
    # 1.25e-6 as 0.00000125.
    if b"e-6" in data:
        data = _EXPONENT.sub(lambda match: b"0.00000" + match[1] + (match[2] or b""), data)
    return orjson.Fragment(data)


def _little(vector: Vector) -> Vector:
    if sys.byteorder == "big":
        vector = vector[:]
        vector.byteswap()
    return vector
