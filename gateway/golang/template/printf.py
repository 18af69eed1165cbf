"""Go's Sprint, Sprintln and Sprintf."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from gateway.golang.template.formatting import VALUE, Spec, formatted
from gateway.golang.template.values import Missing, TemplateError, type_name

# Widths and precisions beyond this are refused, as Go does.
WIDEST = 1_000_000
# No result of one call may be longer, in characters.
LONGEST = 1 << 25

_DIRECTIVE = re.compile(
    r"([-+# 0]*)((?:\[[^\]]*\])?(?:\*|[0-9]*))(?:(\.)((?:\[[^\]]*\])?(?:\*|[0-9]*)))?"
)
_PART = re.compile(r"(?:\[([^\]]*)\])?(\*|[0-9]*)\Z")
_INDEX = re.compile(r"\[([^\]]*)\]?")


def sprint(values: Sequence[Any]) -> str:
    """The values in turn, a space between two of which neither is a string."""
    parts: list[str] = []
    for place, value in enumerate(values):
        if place and not isinstance(value, str) and not isinstance(values[place - 1], str):
            parts.append(" ")
        parts.append(formatted(value))
    return joined(parts)


def sprintln(values: Sequence[Any]) -> str:
    """The values with spaces between them and a newline at the end."""
    return joined([" ".join(map(formatted, values)), "\n"])


def joined(parts: Sequence[str]) -> str:
    """The parts together; TemplateError if that would be too long."""
    if sum(map(len, parts)) > LONGEST:
        raise TemplateError("result is too long")
    return "".join(parts)


def sprintf(form: str, values: Sequence[Any]) -> str:
    """The form with its verbs replaced; mistakes show in the result, in Go's way."""
    parts, size = [], 0
    for part in _Form(form, values).parts():
        size += len(part)
        if size > LONGEST:
            raise TemplateError("result is too long")
        parts.append(part)
    return "".join(parts)


class _Form:
    """One run over a format: which argument is next, and whether the order was changed."""

    def __init__(self, form: str, values: Sequence[Any]) -> None:
        self._form = form
        self._values = values
        self._taken = 0
        self._reordered = False
        self._ever_reordered = False
        self._good = True

    def parts(self) -> Iterator[str]:
        form, here = self._form, 0
        while (found := form.find("%", here)) >= 0:
            yield form[here:found]
            texts, here = self._directive(found + 1)
            yield from texts
        yield form[here:]
        yield from self._extra()

    def _directive(self, here: int) -> tuple[list[str], int]:
        """What one directive prints, and the offset after it."""
        out: list[str] = []
        match = _DIRECTIVE.match(self._form, here)
        assert match is not None, "every part of a directive may be empty"
        flags, width, dot, precision = match.groups()
        here = match.end()
        self._good, self._reordered = True, False
        spec = Spec(
            minus="-" in flags,
            plus="+" in flags,
            sharp="#" in flags,
            space=" " in flags,
            zero="0" in flags and "-" not in flags,
        )
        spec = self._width(spec, width, out)
        if dot:
            spec = self._precision(spec, precision, out)
        if match := _INDEX.match(self._form, here):
            self._jump(match.group(1) if match.group().endswith("]") else "")
            here = match.end() if match.group().endswith("]") else here + 1
        if here >= len(self._form) or self._too_wide(width, precision or ""):
            return [*out, "%!(NOVERB)"], len(self._form)
        out.append(self._print(replace(spec, verb=self._form[here])))
        return out, here + 1

    def _too_wide(self, *numbers: str) -> bool:
        return any(text.isdecimal() and len(text) > 7 for text in numbers) or any(
            text.isdecimal() and int(text) > WIDEST for text in numbers
        )

    def _number(self, text: str) -> tuple[str, int | None]:
        """`*`, `digits` or nothing, after an argument index; and the number it stands for."""
        match = _PART.match(text)
        index, rest = match.groups() if match else (None, "")
        if index is not None:
            self._jump(index)
        if rest != "*":
            if index is not None and rest:
                self._good = False
            return rest, int(rest) if rest and len(rest) < 8 else None
        value = self._take() if self._taken < len(self._values) else None
        fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= WIDEST
        return rest, value if fits else None

    def _width(self, spec: Spec, text: str, out: list[str]) -> Spec:
        form, number = self._number(text)
        if form == "*" and number is None:
            out.append("%!(BADWIDTH)")
        if number is not None and number < 0:
            return replace(spec, width=-number, minus=True, zero=False)
        return replace(spec, width=number)

    def _precision(self, spec: Spec, text: str, out: list[str]) -> Spec:
        form, number = self._number(text)
        if form == "*":
            if number is None:
                out.append("%!(BADPREC)")
            return replace(spec, precision=None if number is None or number < 0 else number)
        return replace(spec, precision=number or 0)

    def _jump(self, index: str) -> None:
        """Go on with the argument that `[index]` names, counting from 1."""
        self._reordered = self._ever_reordered = True
        if index.isdecimal() and len(index) < 8 and 1 <= int(index) <= len(self._values):
            self._taken = int(index) - 1
        else:
            self._good = False

    def _take(self) -> Any:
        value = self._values[self._taken]
        self._taken += 1
        return value

    def _print(self, spec: Spec) -> str:
        verb = spec.verb
        if verb == "%":
            return "%"
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
        return formatted(value, spec)

    def _extra(self) -> Iterator[str]:
        if self._ever_reordered or self._taken >= len(self._values):
            return
        rest = self._values[self._taken :]
        shown = (
            "<nil>"
            if value is None or isinstance(value, Missing)
            else f"{type_name(value)}={formatted(value, VALUE)}"
            for value in rest
        )
        yield f"%!(EXTRA {', '.join(shown)})"
