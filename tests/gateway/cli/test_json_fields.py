"""Fields of replies: what is missing or of another kind reads as empty."""

import pytest

from gateway.cli.json_fields import (
    integer_field,
    list_field,
    object_field,
    objects_field,
    text_field,
)


def test_fields_of_the_right_kind_are_read() -> None:
    value: dict[str, object] = {"text": "a", "count": 2, "object": {"b": 1}, "list": [{}, 3]}
    assert text_field(value, "text") == "a"
    assert integer_field(value, "count") == 2
    assert object_field(value, "object") == {"b": 1}
    assert list_field(value, "list") == [{}, 3]
    assert objects_field(value, "list") == [{}]


@pytest.mark.parametrize("value", [{}, {"x": None}, {"x": b""}])
def test_all_others_are_empty(value: dict[str, object]) -> None:
    assert text_field(value, "x") == ""
    assert integer_field(value, "x") == 0
    assert object_field(value, "x") == {}
    assert list_field(value, "x") == []
    assert objects_field(value, "x") == []
