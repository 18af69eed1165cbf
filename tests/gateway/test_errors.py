"""The tree that the module draws is the tree that it has."""

import re

from gateway import errors


def drawn(text: str) -> list[str]:
    """The names in a tree drawn with lines, its root not among them."""
    return re.findall(r"^[│├└─ ]*── (\w+)", text, re.MULTILINE)


def test_every_class_is_in_the_drawing_and_the_other_way_round() -> None:
    classes = [
        name
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, errors.GatewayError)
    ]
    assert sorted([*drawn(errors.__doc__ or ""), "GatewayError"]) == sorted(classes)


def test_the_text_is_the_clients() -> None:
    error = errors.DigestMismatch("not these bytes")
    assert isinstance(error, errors.Invalid)
    assert (error.message, str(error)) == ("not these bytes", "not these bytes")
