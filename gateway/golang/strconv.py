r"""Texts of strings, booleans and numbers, as Go's `strconv` reads and writes them.

A parser raises ValueError where Go's returns an error; the caller words it. Strings may hold half
characters as lone surrogates `\udc80` to `\udcff` (see `values.from_utf8`).
"""

import math
import re
import struct
from decimal import Decimal

from gateway.golang.values import from_utf8, utf8

_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_NAMES = {value: f"\\{name}" for name, value in _SIMPLE.items()}
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3}))"
)
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
_DIGITS = re.compile(r"[+-]?0*([0-9]+)")
_PREFIXED = re.compile(r"[+-]?(?:0[xXoObB]_?|0_?)?[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*")
_OCTAL = re.compile(r"([+-]?)0([0-9]+)")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_HEX_FLOAT = re.compile(r"[+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+")
_MISPLACED_UNDERSCORE = re.compile(r"^_|__|_$|_[^0-9a-f]|[^0-9a-fxob]_")
_FLOAT32 = struct.Struct("<f")
_LEAST_NORMAL = 2.0**-126


# Strings.


def quote(text: str, mark: str = '"', *, ascii_only: bool = False) -> str:
    """`text` as a literal in `mark`s, as `%q` writes it; with `ascii_only` as `%+q` does."""
    out = []
    for char in text:
        code = ord(char)
        if char in (mark, "\\"):
            out.append("\\" + char)
        elif char.isprintable() and (code < 128 or not ascii_only):
            out.append(char)
        elif char in _NAMES:
            out.append(_NAMES[char])
        elif code < 0x20 or code == 0x7F:
            out.append(f"\\x{code:02x}")
        elif 0xDC80 <= code <= 0xDCFF:
            out.append(f"\\x{code - 0xDC00:02x}")
        else:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return mark + "".join(out) + mark


def unquote(literal: str) -> str:
    """The string that a double-quoted or back-quoted literal stands for."""
    if literal.startswith("`"):
        return literal[1:-1].replace("\r", "")
    text, mark = literal[1:-1], literal[0]
    if "\\" not in text:
        return text
    out, here = bytearray(), 0
    while (backslash := text.find("\\", here)) >= 0:
        data, after = _unescape(text, backslash, mark)
        out += utf8(text[here:backslash]) + data
        here = after
    return from_utf8(bytes(out) + utf8(text[here:]))


def unquote_char(literal: str) -> int:
    """The code point of a character literal; of an escaped single byte, the byte."""
    text = literal[1:-1]
    if text.startswith("\\"):
        data, after = _unescape(text, 0, "'")
        if after != len(text):
            raise ValueError("malformed character constant: " + literal)
        decoded = from_utf8(data)
        code = ord(decoded) if len(decoded) == 1 else data[0]
        return code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else code
    if len(text) != 1:
        raise ValueError("malformed character constant: " + literal if text else "invalid syntax")
    return ord(text)


def _unescape(text: str, at: int, mark: str) -> tuple[bytes, int]:
    """The bytes of the escape at `at`, and the offset after it."""
    match = _ESCAPE.match(text, at)
    if match is None:
        raise ValueError("invalid syntax")
    simple, byte, short, long, octal = match.groups()
    if simple in ("'", '"'):
        if simple != mark:  # Go lets a mark be escaped only inside its own kind of literal
            raise ValueError("invalid syntax")
        return simple.encode(), match.end()
    if simple:
        return _SIMPLE[simple].encode(), match.end()
    if byte or octal:
        code = int(byte, 16) if byte else int(octal, 8)
        if code > 255:
            raise ValueError("invalid syntax")
        return bytes([code]), match.end()
    code = int(short or long, 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise ValueError("invalid syntax")
    return chr(code).encode(), match.end()


# Booleans and numbers, read.


def parse_bool(text: str) -> bool:
    """One of the twelve spellings that Go knows."""
    if text not in _BOOLEANS:
        raise ValueError("invalid syntax")
    return _BOOLEANS[text]


def parse_int(text: str, base: int = 10) -> int:
    """A signed 64-bit integer. `base` is 10, or 0: then the prefix decides, and `_` may part."""
    number = _integer(text, base)
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError("value out of range")
    return number


def parse_uint(text: str, base: int = 10) -> int:
    """The same for an unsigned one, which has no sign, not even `+`."""
    number = _integer(text, base)
    if text[0] in "+-":
        raise ValueError("invalid syntax")
    if number >= 1 << 64:
        raise ValueError("value out of range")
    return number


def _integer(text: str, base: int) -> int:
    if base == 10:
        match = _DIGITS.fullmatch(text)
        if match is None:
            raise ValueError("invalid syntax")
        # Python takes quadratic time for long numbers, and refuses those of thousands of digits.
        if len(match[1]) > 20:
            raise ValueError("value out of range")
        return int(text)
    if not _PREFIXED.fullmatch(text):
        raise ValueError("invalid syntax")
    digits = text.replace("_", "")
    # Python wants `0o` where Go, like C, is content with a zero.
    if octal := _OCTAL.fullmatch(digits):
        digits = f"{octal[1]}0o{octal[2]}"
    return int(digits, 0)


def parse_float(text: str) -> float:
    """A finite number, decimal or hexadecimal; `_` may part digits.

    Go also reads `inf` and `nan`. Nothing here could use them: JSON cannot carry them.
    """
    plain = text.replace("_", "")
    if len(plain) != len(text) and _MISPLACED_UNDERSCORE.search(text.lstrip("+-").lower()):
        raise ValueError("invalid syntax")
    try:
        if _HEX_FLOAT.fullmatch(plain):
            return float.fromhex(plain)
    except OverflowError as error:
        raise ValueError("value out of range") from error
    if not _FLOAT.fullmatch(plain):
        raise ValueError("invalid syntax")
    value = float(plain)
    if math.isinf(value):
        raise ValueError("value out of range")
    return value


# Numbers, written. Each that went through Go's `map[string]any` is a float64, integers included.


def format_float(value: float) -> str:
    """`value` as `%v` prints a float64: an exponent from 1e+06 upward and below 1e-04."""
    if not math.isfinite(value):
        return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN")
    exact = Decimal(repr(float(value))).normalize()
    if value == 0 or -4 <= exact.adjusted() < 6:
        return format(exact, "f")
    return format_exponent(exact, width=2)


def format_exponent(value: Decimal, width: int) -> str:
    """Mantissa, `e`, sign, and an exponent of at least `width` digits."""
    sign, digits, _ = value.normalize().as_tuple()
    first, rest = str(digits[0]), "".join(map(str, digits[1:]))
    mantissa = f"{first}.{rest}" if rest else first
    power = value.adjusted()
    return f"{'-' if sign else ''}{mantissa}e{'-' if power < 0 else '+'}{abs(power):0{width}d}"


def shortest_float32(value: float) -> float:
    """The shortest decimal that names the same 32-bit float: 1e-05, not 9.999999747378752e-06.

    OverflowError where no 32-bit float is that large.
    """
    if not math.isfinite(value):
        return value
    image = _FLOAT32.pack(value)
    # Six digits always survive a trip through a normal float32, so fewer need not be tried; the
    # tiny denormal ones hold less. Nine always identify it.
    for digits in range(6 if abs(value) >= _LEAST_NORMAL or not value else 1, 9):
        short = float(f"{value:.{digits}g}")
        if _FLOAT32.pack(short) == image:
            return short
    return float(f"{value:.9g}")


# Ollama's own, not strconv's; it stands here because the store and the command line need the same.
def parameter_size(number: int) -> str:
    """A count of parameters for people: `7.2B`, `137M`, `22.71M`, `944K`, `42`."""
    for unit, decimals, letter in ((10**9, 1, "B"), (10**6, 2, "M")):
        if number >= unit:
            return f"{number / unit:.{decimals if number % unit else 0}f}{letter}"
    return f"{number / 1000:.0f}K" if number >= 1000 else str(number)
