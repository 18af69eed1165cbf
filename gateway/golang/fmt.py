"""Go's `fmt`: values by Sprint, Sprintln and Sprintf, their mistakes shown in Go's way.

Left out are the verbs `%U`, `%b` and `%O`, which no model's template uses.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.golang.strconv import format_float, quote
from gateway.golang.values import (
    GoStruct,
    MissingValue,
    TemplateError,
    from_utf8,
    string_method,
    type_name,
    utf8,
)

# Characters. A template of a few bytes could otherwise fill the memory.
MAX_RESULT = 1 << 25
_MAX_WIDTH = 1_000_000  # Go's own limit, for precisions too
_UNSUPPORTED_VERBS = "UbO"
_DIRECTIVE = re.compile(
    r"([-+# 0]*)((?:\[[^\]]*\])?(?:\*|[0-9]*))(?:(\.)((?:\[[^\]]*\])?(?:\*|[0-9]*)))?"
)
_NUMBER_PART = re.compile(r"(?:\[([^\]]*)\])?(\*|[0-9]*)\Z")
_ARGUMENT_INDEX = re.compile(r"\[([^\]]*)\]?")


@dataclass(frozen=True, slots=True)
class FormatSpec:
    """The flags between `%` and the verb. `full` is `%+v`, `source` is `%#v`."""

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
    plain: bool = False  # no String methods: an error about a value shows the value itself


VALUE = FormatSpec()


def format_value(value: object, spec: FormatSpec = VALUE) -> str:
    """The value under the verb; a verb that does not suit it gives Go's `%!d(string=x)`."""
    if spec.verb == "T":
        return _cut(type_name(value) if not isinstance(value, MissingValue) else "<nil>", spec)
    match value:
        case None | MissingValue():
            return _pad("<nil>", spec) if spec.verb == "v" else f"%!{spec.verb}(<nil>)"
        case bool():
            return (
                _pad("true" if value else "false", spec) if spec.verb in "tv" else _bad(value, spec)
            )
        case int():
            return _integer(value, spec)
        case float():
            return _float(value, spec)
        case str():
            return _string(value, spec)
        case bytes() if spec.verb in "sq":
            return _string(from_utf8(value), spec)
        case bytes() if spec.verb in "xX":
            return _hex(value, spec)
        case bytes():
            return _several(list(value), spec)
    return _composite(value, spec)


def _bad(value: object, spec: FormatSpec) -> str:
    inner = format_value(value, replace(spec, verb="v", plain=True))
    return f"%!{spec.verb}({type_name(value)}={inner})"


def _pad(text: str, spec: FormatSpec, *, zero: bool | None = None) -> str:
    if spec.width is None:
        return text
    if spec.minus:
        return text.ljust(spec.width)
    return text.rjust(spec.width, "0" if (spec.zero if zero is None else zero) else " ")


def _cut(text: str, spec: FormatSpec) -> str:
    return _pad(text[: spec.precision], spec)


# Strings.


def _string(value: str, spec: FormatSpec) -> str:
    match spec.verb:
        case "v" if spec.source:
            return _quoted(value, spec)
        case "v" | "s":
            return _cut(value, spec)
        case "q":
            return _quoted(value, spec)
        case "x" | "X":
            return _hex(utf8(value), spec)
    return _bad(value, spec)


def _quoted(value: str, spec: FormatSpec) -> str:
    text = value[: spec.precision]
    if spec.sharp and "`" not in text and all(c == "\t" or c.isprintable() for c in text):
        return _pad(f"`{text}`", spec)
    return _pad(quote(text, ascii_only=spec.plus), spec)


def _hex(data: bytes, spec: FormatSpec) -> str:
    data = data[: spec.precision]
    prefix = "0x" if spec.sharp and data else ""
    text = prefix + data.hex(" " if spec.space else "\0").replace("\0", "")
    if spec.space:
        text = text.replace(" ", " " + prefix)
    return _pad(text.upper() if spec.verb == "X" else text, spec)


# Numbers.

_BASES: dict[str, Callable[[int], str]] = {
    "v": str,
    "d": str,
    "o": lambda size: f"{size:o}",
    "x": lambda size: f"{size:x}",
    "X": lambda size: f"{size:X}",
}


def _integer(value: int, spec: FormatSpec) -> str:
    if spec.verb in ("c", "q"):
        known = 0 <= value <= 0x10FFFF and not 0xD800 <= value < 0xE000
        char = chr(value) if known else "\ufffd"
        return _pad(char if spec.verb == "c" else quote(char, "'", ascii_only=spec.plus), spec)
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
    prefix = {"x": "0x", "X": "0X", "o": "0"}.get(spec.verb, "") if spec.sharp else ""
    if spec.verb == "o" and digits.startswith("0"):
        prefix = ""
    return _pad(sign + prefix + digits, spec, zero=False)


def _float(value: float, spec: FormatSpec) -> str:
    if spec.verb not in "vgGxXfFeE":
        return _bad(value, spec)
    if not math.isfinite(value):
        # An infinity always has a sign, or the blank in place of one; a NaN only on demand.
        plus = "+" if spec.plus else " " if spec.space else ""
        infinity = "-Inf" if value < 0 else (plus or "+") + "Inf"
        text = plus + "NaN" if math.isnan(value) else infinity
        return _pad(text, spec, zero=False)
    size, sharp = abs(value), "#" if spec.sharp else ""
    if spec.verb in "eEfF":
        text = format(size, f"{sharp}.{6 if spec.precision is None else spec.precision}{spec.verb}")
    elif spec.verb in "xX":
        head, power = size.hex().split("p")
        head = head.rstrip("0").rstrip(".") if "." in head else head
        text = f"{head}p{int(power):+03d}"
    elif spec.precision is None:
        text = f"{size:#.6g}" if sharp else format_float(size)
    else:
        text = format(size, f"{sharp}.{spec.precision}g")
    if spec.verb in "XG":
        text = text.upper()
    negative = math.copysign(1, value) < 0
    sign = "-" if negative else "+" if spec.plus else " " if spec.space else ""
    if spec.zero and not spec.minus and spec.width is not None:
        text = text.rjust(spec.width - len(sign), "0")
    return _pad(sign + text, spec)


# Composites.


def _composite(value: object, spec: FormatSpec) -> str:
    if spec.verb in "vsxXq" and not spec.source and not spec.plain:
        text = string_method(value)
        if text is not None:
            return _string(text, spec)
    match value:
        case GoStruct():
            named = spec.full or spec.source
            items = value.fields.items()
            parts = [(f"{name}:" if named else "") + _element(item, spec) for name, item in items]
            opening = "{"
        case Mapping():
            keys = sorted(value, key=str)
            parts = [f"{format_value(key, spec)}:{_element(value[key], spec)}" for key in keys]
            opening = "map["
        case list() | tuple():
            return _several(value, spec)
        case _:
            # Go would print the address of such a value, a function for one.
            return _bad("0x0", spec) if spec.verb not in "vp" else "0x0"
    if spec.source:
        return f"{type_name(value)}{{{', '.join(parts)}}}"
    return opening + " ".join(parts) + ("}" if opening == "{" else "]")


def _element(value: object, spec: FormatSpec) -> str:
    if value is None or isinstance(value, MissingValue):
        return "interface {}(nil)" if spec.source else _pad("<nil>", spec)
    return format_value(value, spec)


def _several(value: Iterable[object], spec: FormatSpec) -> str:
    parts = [_element(item, spec) for item in value]
    if spec.source:
        return f"{type_name(value)}{{{', '.join(parts)}}}"
    return f"[{' '.join(parts)}]"


# Several values, and formats.


def sprint(values: Sequence[object]) -> str:
    """The values in turn, a space between two of which neither is a string."""
    parts: list[str] = []
    for place, value in enumerate(values):
        if place and not isinstance(value, str) and not isinstance(values[place - 1], str):
            parts.append(" ")
        parts.append(format_value(value))
    return joined(parts)


def sprintln(values: Sequence[object]) -> str:
    """The values with spaces between them and a newline at the end."""
    return joined([" ".join(map(format_value, values)), "\n"])


def joined(parts: Sequence[str]) -> str:
    """The parts together; TemplateError if that would be too long."""
    if sum(map(len, parts)) > MAX_RESULT:
        raise TemplateError("result is too long")
    return "".join(parts)


def sprintf(form: str, values: Sequence[object]) -> str:
    """The form with its verbs replaced; mistakes show in the result, in Go's way."""
    parts, size = [], 0
    # Counted while it grows: a format of a few kilobytes can ask for gigabytes of padding.
    for part in _Sprintf(form, values).parts():
        size += len(part)
        if size > MAX_RESULT:
            raise TemplateError("result is too long")
        parts.append(part)
    return "".join(parts)


class _Sprintf:
    """One run over a format: which argument is next, and whether the order was changed."""

    def __init__(self, form: str, values: Sequence[object]) -> None:
        self._form = form
        self._values = values
        self._taken = 0
        self._reordered = False
        self._good = True

    def parts(self) -> Iterator[str]:
        form, here = self._form, 0
        while (percent := form.find("%", here)) >= 0:
            yield form[here:percent]
            texts, here = self._directive(percent + 1)
            yield from texts
        yield form[here:]
        # Go does not look for left-over arguments once a format has named one by its index.
        if not self._reordered and self._taken < len(self._values):
            shown = (
                "<nil>"
                if value is None or isinstance(value, MissingValue)
                else f"{type_name(value)}={format_value(value, VALUE)}"
                for value in self._values[self._taken :]
            )
            yield f"%!(EXTRA {', '.join(shown)})"

    def _directive(self, here: int) -> tuple[list[str], int]:
        """The output of one directive, and the offset after it."""
        out: list[str] = []
        match = _DIRECTIVE.match(self._form, here)
        assert match is not None, "every part of a directive may be empty"
        flags, width, dot, precision = match.groups()
        here = match.end()
        self._good = True
        spec = FormatSpec(
            minus="-" in flags,
            plus="+" in flags,
            sharp="#" in flags,
            space=" " in flags,
            zero="0" in flags and "-" not in flags,
        )
        form, number = self._number(width)
        if form == "*" and number is None:
            out.append("%!(BADWIDTH)")
        if number is not None and number < 0:
            # In Go, as in C, a negative width from an argument is a minus flag.
            spec = replace(spec, width=-number, minus=True, zero=False)
        else:
            spec = replace(spec, width=number)
        if dot:
            form, number = self._number(precision)
            if form == "*" and number is None:
                out.append("%!(BADPREC)")
            # Go ignores a negative precision, and one without digits is 0.
            given = number if form == "*" else number or 0
            spec = replace(spec, precision=None if given is None or given < 0 else given)
        if match := _ARGUMENT_INDEX.match(self._form, here):
            self._jump(match.group(1) if match.group().endswith("]") else "")
            here = match.end() if match.group().endswith("]") else here + 1
        # The length first: Python refuses to read numbers of thousands of digits.
        too_wide = any(
            text.isdecimal() and (len(text) > 7 or int(text) > _MAX_WIDTH)
            for text in (width, precision or "")
        )
        if here >= len(self._form) or too_wide:
            return [*out, "%!(NOVERB)"], len(self._form)
        out.append(self._print(replace(spec, verb=self._form[here])))
        return out, here + 1

    def _number(self, text: str) -> tuple[str, int | None]:
        """`*`, `digits` or nothing, after an argument index; and the number it stands for."""
        match = _NUMBER_PART.match(text)
        index, rest = match.groups() if match else (None, "")
        if index is not None:
            self._jump(index)
        if rest != "*":
            if index is not None and rest:
                self._good = False
            return rest, int(rest) if rest and len(rest) < 8 else None
        value = self._take() if self._taken < len(self._values) else None
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _MAX_WIDTH:
            return rest, None
        return rest, value

    def _jump(self, index: str) -> None:
        """Go on with the argument that `[index]` names, counting from 1."""
        self._reordered = True
        if index.isdecimal() and len(index) < 8 and 1 <= int(index) <= len(self._values):
            self._taken = int(index) - 1
        else:
            self._good = False

    def _take(self) -> object:
        value = self._values[self._taken]
        self._taken += 1
        return value

    def _print(self, spec: FormatSpec) -> str:
        verb = spec.verb
        if verb == "%":
            return "%"
        if verb in _UNSUPPORTED_VERBS:
            raise TemplateError(f"the verb %{verb} is not supported")
        if not self._good:
            return f"%!{verb}(BADINDEX)"
        if self._taken >= len(self._values):
            return f"%!{verb}(MISSING)"
        value = self._take()
        if verb == "v":
            spec = replace(
                spec,
                source=spec.sharp,
                full=spec.plus and not spec.sharp,
                sharp=False,
                plus=False,
            )
        return format_value(value, spec)
