"""Numeric constants of the template language: what they mean, and which Go refuses."""

import re

from gateway.golang.template.quoting import quote, rune

_TOP = 1 << 64
_HALF = 1 << 63
_SEPARATED = re.compile(r"[+-]?(?:0[xXoObB]_?|0_?)?[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*\Z")
_BARE = re.compile(r"[+-]?[0-9]+\Z")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_HEX_FLOAT = re.compile(
    r"[+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+\Z"
)
_COMPLEX = re.compile(r"(.+?)(?<![eEpP])([+-].*)i\Z", re.DOTALL)


def number(text: str) -> int | float | complex:
    """The value of a numeric constant; ValueError with Go's words."""
    if match := _COMPLEX.match(text):
        real, imaginary = map(_float, match.groups())
        if real is None or imaginary is None:
            raise ValueError("syntax error scanning complex number")
        return complex(real, imaginary)
    if text.endswith("i") and (part := _float(text[:-1])) is not None:
        return complex(0, part)
    whole = _integer(text)
    if whole is not None and -_HALF <= whole < _TOP:
        return whole
    value = _float(text)
    if value is None:
        raise ValueError(f"illegal number syntax: {quote(text)}")
    if not any(mark in text for mark in ".eEpP"):
        raise ValueError(f"integer overflow: {quote(text)}")
    return value


def character(text: str) -> int:
    """The value of a character constant; ValueError with Go's words."""
    return rune(text)


def _integer(text: str) -> int | None:
    """An integer in any base; None if the text is none."""
    if not _SEPARATED.match(text):
        return None
    digits = text.replace("_", "")
    body = digits.lstrip("+-")
    if _BARE.match(digits) and len(body) > 1 and body[0] == "0":
        sign = "-" if digits[0] == "-" else ""
        return _based(f"{sign}0o{body[1:]}")
    return _based(digits)


def _based(digits: str) -> int | None:
    try:
        return int(digits, 0)
    except ValueError:
        return None


def _float(text: str) -> float | None:
    """A floating-point number, hexadecimal ones included; None if the text is none in range."""
    plain = text.replace("_", "")
    if len(plain) != len(text) and not _underscores(text):
        return None
    try:
        if _HEX_FLOAT.match(plain):
            return float.fromhex(plain)
        value = float(plain) if _FLOAT.match(plain) else None
    except (ValueError, OverflowError):
        return None
    return None if value is not None and abs(value) == float("inf") else value


def _underscores(text: str) -> bool:
    """Whether underscores stand where Go allows them: between digits, or after a base prefix."""
    body = text.lstrip("+-").lower()
    return not re.search(r"^_|__|_$|_[^0-9a-f]|[^0-9a-fxob]_", body)
