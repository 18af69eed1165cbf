from collections.abc import Callable
from typing import Any

import pytest

from gateway.golang.template import builtins as go
from gateway.golang.values import MISSING, TemplateError


@pytest.mark.parametrize(
    ("first", "others", "expected"),
    [
        (1, (1,), True),
        (1, (2, 3, 1), True),
        ("a", ("b",), False),
        (MISSING, ("a",), False),
        ("a", (None,), False),
        (None, (MISSING,), True),
        (True, (True,), True),
    ],
)
def test_eq(first: Any, others: tuple[Any, ...], expected: bool) -> None:
    assert go.eq(first, *others) is expected


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (go.eq, (1,), "missing argument for comparison"),
        (go.eq, (1, 1.0), "incompatible types for comparison"),
        (go.eq, ("1", 1), "incompatible types for comparison"),
        (go.eq, (True, 1), "incompatible types for comparison"),
        (go.eq, (["a"], ["a"]), r"non-comparable type \[a\]: \[\]interface {}"),
        (go.lt, (None, 1), "invalid type for comparison"),
        (go.lt, (True, False), "invalid type for comparison"),
        (go.lt, (1, 1.5), "incompatible types for comparison"),
        (go.length, (3,), "len of type int"),
        (go.length, (MISSING,), "len of nil pointer"),
        (go.index, (None, 0), "index of untyped nil"),
        (go.index, (["a"], 1), "reflect: slice index out of range"),
        (go.index, (["a"], 2), "index out of range: 2"),
        (go.index, (["a"], "x"), "cannot index slice/array with type string"),
        (go.index, ({}, 1), "value has type int; should be string"),
        (go.index, ({}, "a", "b"), "index of nil pointer"),
        (go.index, (1, 0), "can't index item of type int"),
        (go.slice_, ("abc", 2, 1), "invalid slice index: 2 > 1"),
        (go.slice_, ("abc", 0, 1, 2), "cannot 3-index slice a string"),
        (go.slice_, ({}, 0), "can't slice item of type map"),
    ],
)
def test_errors(function: Callable[..., Any], arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        function(*arguments)


@pytest.mark.parametrize(
    ("first", "second", "order"), [(1, 2, -1), (2, 2, 0), (1.5, 0.5, 1), ("é", "z", 1)]
)
def test_order(first: Any, second: Any, order: int) -> None:
    assert go.lt(first, second) is (order < 0)
    assert go.le(first, second) is (order <= 0)
    assert go.gt(first, second) is (order > 0)
    assert go.ge(first, second) is (order >= 0)
    assert go.ne(first, second) is (order != 0)


def test_strings_count_and_cut_in_bytes() -> None:
    assert go.length("é") == 2
    assert go.index("é", 0) == 0xC3
    assert go.slice_("aéb", 1, 3) == "é"


def test_lists_and_maps() -> None:
    assert go.index({"a": [1, 2]}, "a", 1) == 2
    assert go.index({}, "a") is MISSING
    assert go.slice_([1, 2, 3], 1) == [2, 3]
    assert go.length({"a": 1}) == 1


def test_printing() -> None:
    assert go.print_(1, 2, "a", "b", 3) == "1 2ab3"
    assert go.println("a", 1) == "a 1\n"
    assert go.printf("%s=%d", "a", 1) == "a=1"
    assert go.not_(0) is True
