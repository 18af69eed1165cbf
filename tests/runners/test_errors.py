"""The tree that the module draws is the tree that it has."""

import re

from runners import errors


def drawn(text: str) -> list[str]:
    """The names in a tree drawn with lines, its root not among them."""
    return re.findall(r"^[│├└─ ]*── (\w+)", text, re.MULTILINE)


def test_every_class_is_in_the_drawing_and_the_other_way_round() -> None:
    classes = [
        name
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, errors.RunnerError)
    ]
    assert sorted([*drawn(errors.__doc__ or ""), "RunnerError"]) == sorted(classes)


def test_errors_carry_what_their_reader_needs() -> None:
    assert errors.StartFailed("why", errors.Cause.MEMORY).cause is errors.Cause.MEMORY
    backing_off = errors.BackingOff(errors.Crashed("signal SIGKILL"), 2.5)
    assert backing_off.retry_after == 2.5
    assert backing_off.message == "next attempt in 2 s, after: signal SIGKILL"
    refused = errors.Refused("too long", 400, "exceed_context_size_error")
    assert (refused.message, refused.status, refused.kind) == (
        *("too long", 400),
        "exceed_context_size_error",
    )
