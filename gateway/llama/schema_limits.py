"""Bounds that contradict each other are refused before the engine sees them."""

import re
from collections.abc import Mapping, Sequence

from gateway.errors import Invalid
from gateway.llama.requests import JsonObject, schema_of

# The engine counts the optional repetitions of a grammar as the upper bound less the lower one,
# without a sign: "at least 5, at most 2" makes it write rules until the memory is full.
_COUNTS = (("minLength", "maxLength"), ("minItems", "maxItems"))
# Where an integer has no value at all the engine fails in the middle of a reply, and a bound of too
# many digits on one side alone is a repetition of its own making.
_DIGITS = 10**15
"""From here on a bound of an integer needs one on the other side."""
_SIGN = 1 << 31
# What may hold braces that repeat nothing comes first, so that it is skipped; what is not closed
# ends with the text, so that each character is looked at once.
_PATTERN = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]?|\{\s*\+?([0-9]+)\s*,\s*\+?([0-9]+)", re.DOTALL)
_GRAMMAR = re.compile(
    r'"(?:\\.|[^"\\])*"?|\[(?:\\.|[^\]\\])*\]?|#[^\n]*|\{\s*([0-9]+)\s*,\s*([0-9]+)\s*\}',
    re.DOTALL,
)


def check_limits(
    response_format: JsonObject | None, tools: Sequence[JsonObject], extra: JsonObject
) -> None:
    """Invalid for a form of the reply, or a tool's parameters, that nothing can satisfy.

    `extra`: the engine's own `json_schema` and `grammar`, where the API lets them through.
    """
    if response_format is not None:
        check_schema(schema_of(response_format), "the format")
    check_schema(extra.get("json_schema"), "'json_schema'")
    check_grammar(extra.get("grammar"))
    for tool in tools:
        function = tool.get("function")
        if isinstance(function, Mapping):
            name, parameters = function.get("name"), function.get("parameters")
            check_schema(parameters, f"the parameters of tool {name!r}")


def check_schema(value: object, what: str) -> None:
    """Invalid, with the place, for a JSON Schema that nothing can satisfy. `what` it is of."""
    # Every object, be it a schema or not: what refers to another (`$ref`) may refer to any.
    ahead = [("#", value)]
    while ahead:
        path, part = ahead.pop()
        if isinstance(part, dict):
            pattern = part.get("pattern")
            wrong = _counts(part) or _integer(part)
            if not wrong and isinstance(pattern, str):
                wrong = _repetition(_PATTERN, pattern)
            if wrong:
                raise Invalid(f"{what}: JSON schema error at {path}: {wrong}")
            ahead += [(f"{path}/{key}", item) for key, item in part.items()]
        elif isinstance(part, list):
            ahead += [(f"{path}/{at}", item) for at, item in enumerate(part)]


def check_grammar(text: object) -> None:
    """Invalid for a GBNF grammar with a repetition that ends before it begins."""
    if isinstance(text, str) and (wrong := _repetition(_GRAMMAR, text)):
        raise Invalid(f"'grammar': {wrong}")


def _counts(part: JsonObject) -> str:
    for names in _COUNTS:
        low, high = (_number(part, name) for name in names)
        if low is None or high is None:
            continue
        if low > high or _held(low) > _held(high) >= 0:
            return f"{names[0]} {low} is above {names[1]} {high}"
    return ""


def _held(count: float) -> float:
    """What is left of a count in the 32 bits that the engine keeps of it."""
    return (count + _SIGN) % (2 * _SIGN) - _SIGN


def _integer(part: JsonObject) -> str:
    kind = part.get("type")
    if kind != "integer" and not (isinstance(kind, list) and "integer" in kind):
        return ""
    low = _bound(part, "minimum", "exclusiveMinimum", 1)
    high = _bound(part, "maximum", "exclusiveMaximum", -1)
    if low is not None and high is not None:
        return f"no integer is from {low} to {high}" if low > high else ""
    if low is not None and low >= _DIGITS:
        return f"a minimum of {low} needs a maximum"
    if high is not None and high <= -_DIGITS:
        return f"a maximum of {high} needs a minimum"
    return ""


def _bound(part: JsonObject, name: str, exclusive: str, step: int) -> float | None:
    """The last value that is allowed."""
    # With both the engine reads the inclusive one, be it the wider.
    if (value := _number(part, name)) is not None:
        return value
    value = _number(part, exclusive)
    return None if value is None else value + step


def _number(part: JsonObject, name: str) -> float | None:
    value = part.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _repetition(kind: re.Pattern[str], text: str) -> str:
    for match in kind.finditer(text):
        low, high = match[1], match[2]
        if low and _size(low) > _size(high):
            return f"the repetition {match[0].rstrip('}')}}} ends before it begins"
    return ""


def _size(digits: str) -> tuple[int, str]:
    # Python refuses to read a number of more than 4,300 digits; their length orders them as well.
    digits = digits.lstrip("0")
    return len(digits), digits
