"""One value as text, the way Go's fmt writes it for one verb with its flags."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.golang.fmt import display
from gateway.golang.template.quoting import quote
from gateway.golang.template.values import Missing, Struct, octets, text_of, type_name


@dataclass(frozen=True, slots=True)
class Spec:
    """What stands between `%` and the verb. `full` is `%+v`, `source` is `%#v`."""

    verb: str = "v"
    minus: bool = False
    plus: bool = False
    sharp: bool = False
    space: bool = False
    zero: bool = False
    width: int | None = None
    precision: int | None = None
    full: bool = False
    source: bool = False
    plain: bool = False  # no String methods: a complaint about a value shows the value itself


VALUE = Spec()


def formatted(value: Any, spec: Spec = VALUE) -> str:
    """The value under the verb; a verb that does not suit it gives Go's `%!d(string=x)`."""
    if spec.verb == "T":
        return _cut(type_name(value) if not isinstance(value, Missing) else "<nil>", spec)
    match value:
        case None | Missing():
            return _pad("<nil>", spec) if spec.verb == "v" else f"%!{spec.verb}(<nil>)"
        case bool():
            return (
                _pad("true" if value else "false", spec) if spec.verb in "tv" else _bad(value, spec)
            )
        case int():
            return _integer(value, spec)
        case float():
            return _float(value, spec)
        case complex():
            return _complex(value, spec)
        case str():
            return _string(value, spec)
        case bytes():
            return _bytes(value, spec)
    return _composite(value, spec)


def _bad(value: Any, spec: Spec) -> str:
    inner = formatted(value, replace(spec, verb="v", plain=True))
    return f"%!{spec.verb}({type_name(value)}={inner})"


def _pad(text: str, spec: Spec, *, zero: bool | None = None) -> str:
    if spec.width is None:
        return text
    if spec.minus:
        return text.ljust(spec.width)
    return text.rjust(spec.width, "0" if (spec.zero if zero is None else zero) else " ")


def _cut(text: str, spec: Spec) -> str:
    return _pad(text[: spec.precision], spec)


# Strings.


def _string(value: str, spec: Spec) -> str:
    match spec.verb:
        case "v" if spec.source:
            return _quoted(value, spec)
        case "v" | "s":
            return _cut(value, spec)
        case "q":
            return _quoted(value, spec)
        case "x" | "X":
            return _hex(octets(value), spec)
    return _bad(value, spec)


def _quoted(value: str, spec: Spec) -> str:
    text = value[: spec.precision]
    if spec.sharp and "`" not in text and all(c == "\t" or c.isprintable() for c in text):
        return _pad(f"`{text}`", spec)
    return _pad(quote(text, plain=spec.plus), spec)


def _hex(data: bytes, spec: Spec) -> str:
    data = data[: spec.precision]
    prefix = "0x" if spec.sharp and data else ""
    text = prefix + data.hex(" " if spec.space else "\0").replace("\0", "")
    if spec.space:
        text = text.replace(" ", " " + prefix)
    return _pad(text.upper() if spec.verb == "X" else text, spec)


def _bytes(value: bytes, spec: Spec) -> str:
    match spec.verb:
        case "s" | "q":
            return _string(value.decode("utf-8", "surrogateescape"), spec)
        case "x" | "X":
            return _hex(value, spec)
    return _several(list(value), spec)


# Numbers.

_BASES: dict[str, Callable[[int], str]] = {
    "v": str,
    "d": str,
    "b": lambda size: f"{size:b}",
    "o": lambda size: f"{size:o}",
    "O": lambda size: f"{size:o}",
    "x": lambda size: f"{size:x}",
    "X": lambda size: f"{size:X}",
}


def _integer(value: int, spec: Spec) -> str:
    if spec.verb in ("c", "q", "U"):
        return _character(value, spec)
    if spec.verb not in _BASES:
        return _bad(value, spec)
    sign = "-" if value < 0 else "+" if spec.plus else " " if spec.space else ""
    least = spec.precision
    if least == 0 and value == 0:
        return " " * (spec.width or 0)
    if least is None and spec.zero and not spec.minus and spec.width is not None:
        least = spec.width - len(sign)
    try:
        digits = _BASES[spec.verb](abs(value)).rjust(least or 0, "0")
    except ValueError:
        # Python refuses to print numbers of thousands of digits; no Go integer has them.
        return "0"
    return _pad(sign + _prefix(digits, spec) + digits, spec, zero=False)


def _prefix(digits: str, spec: Spec) -> str:
    if spec.verb == "O":
        return "0o"
    if not spec.sharp:
        return ""
    if spec.verb == "o":
        return "" if digits.startswith("0") else "0"
    return {"b": "0b", "x": "0x", "X": "0X"}.get(spec.verb, "")


def _character(value: int, spec: Spec) -> str:
    known = 0 <= value <= 0x10FFFF and not 0xD800 <= value < 0xE000
    char = chr(value) if known else "\ufffd"
    if spec.verb == "c":
        return _pad(char, spec)
    if spec.verb == "q":
        return _pad(quote(char, "'", plain=spec.plus), spec)
    if value < 0:
        value += 1 << 64
    text = f"U+{value:X}".replace(
        "U+", "U+" + "0" * (max(4, spec.precision or 0) - len(f"{value:X}"))
    )
    if spec.sharp and known and char.isprintable():
        text += f" '{char}'"
    return _pad(text, spec, zero=False)


def _float(value: float, spec: Spec) -> str:
    if spec.verb not in "vbgGxXfFeE":
        return _bad(value, spec)
    if not math.isfinite(value):
        return _pad(_endless(value, spec), spec, zero=False)
    text = _digits(abs(value), spec)
    negative = math.copysign(1, value) < 0
    sign = "-" if negative else "+" if spec.plus else " " if spec.space else ""
    if spec.zero and not spec.minus and spec.width is not None:
        text = text.rjust(spec.width - len(sign), "0")
    return _pad(sign + text, spec)


def _endless(value: float, spec: Spec) -> str:
    if math.isnan(value):
        return "+NaN" if spec.plus else " NaN" if spec.space else "NaN"
    if value < 0:
        return "-Inf"
    return " Inf" if spec.space and not spec.plus else "+Inf"


def _digits(value: float, spec: Spec) -> str:
    """A finite number that is not negative, without sign or padding."""
    sharp = "#" if spec.sharp else ""
    match spec.verb:
        case "e" | "E" | "f" | "F":
            precision = 6 if spec.precision is None else spec.precision
            return format(value, f"{sharp}.{precision}{spec.verb}")
        case "b":
            mantissa, power = math.frexp(value)
            return f"{int(mantissa * 2**53)}p{power - 53:+d}"
        case "x" | "X":
            head, power_text = value.hex().split("p")
            head = head.rstrip("0").rstrip(".") if "." in head else head
            text = f"{head}p{int(power_text):+03d}"
            return text.upper() if spec.verb == "X" else text
    if spec.precision is None:
        text = f"{value:#.6g}" if sharp else display(value)
    else:
        text = format(value, f"{sharp}.{spec.precision}g")
    return text.upper() if spec.verb == "G" else text


def _complex(value: complex, spec: Spec) -> str:
    if spec.verb not in "vbgGxXfFeE":
        return _bad(value, spec)
    return f"({_float(value.real, spec)}{_float(value.imag, replace(spec, plus=True))}i)"


# Composites.


def _composite(value: Any, spec: Spec) -> str:
    if spec.verb in "vsxXq" and not spec.source and not spec.plain:
        text = text_of(value)
        if text is not None:
            return _string(text, spec)
    match value:
        case Struct():
            return _struct(value, spec)
        case Mapping():
            return _mapping(value, spec)
        case list() | tuple():
            return _several(value, spec)
    return _bad("0x0", spec) if spec.verb not in "vp" else "0x0"


def _element(value: Any, spec: Spec) -> str:
    if value is None or isinstance(value, Missing):
        return "interface {}(nil)" if spec.source else _pad("<nil>", spec)
    return formatted(value, spec)


def _several(value: Iterable[Any], spec: Spec) -> str:
    parts = [_element(item, spec) for item in value]
    if spec.source:
        return f"{type_name(value)}{{{', '.join(parts)}}}"
    return f"[{' '.join(parts)}]"


def _mapping(value: Mapping[Any, Any], spec: Spec) -> str:
    parts = [
        f"{formatted(key, spec)}:{_element(value[key], spec)}" for key in sorted(value, key=str)
    ]
    if spec.source:
        return f"{type_name(value)}{{{', '.join(parts)}}}"
    return f"map[{' '.join(parts)}]"


def _struct(value: Struct, spec: Spec) -> str:
    named = spec.full or spec.source
    parts = [
        (f"{name}:" if named else "") + _element(item, spec) for name, item in value.fields.items()
    ]
    if spec.source:
        return f"{type_name(value)}{{{', '.join(parts)}}}"
    return f"{{{' '.join(parts)}}}"
