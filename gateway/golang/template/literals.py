"""Numeric constants of the template language: their values, and which Go refuses."""

from gateway.golang.strconv import parse_float, parse_int, parse_uint, quote


def parse_number(text: str) -> int | float:
    """The value of a numeric constant; ValueError in the words of Go's template parser."""
    for parse in (parse_int, parse_uint):
        try:
            return parse(text, 0)
        except ValueError:
            pass
    try:
        value = parse_float(text)
    except ValueError as error:
        raise ValueError(f"illegal number syntax: {quote(text)}") from error
    # Go takes a float without fraction for an integer, too, but not one that looked like one.
    if not any(mark in text for mark in ".eEpP"):
        raise ValueError(f"integer overflow: {quote(text)}")
    return value
