from collections.abc import Mapping
from typing import Any

import pytest

from gateway.golang.template.values import (
    MISSING,
    Fields,
    Listing,
    Struct,
    from_octets,
    octets,
    text_of,
    truth,
    type_name,
)


class Empty(Struct):
    @property
    def fields(self) -> Mapping[str, Any]:
        return {}


class Named(Listing):
    def text(self) -> str:
        return "names"


class Object(Fields):
    def text(self) -> str:
        return "{}"


@pytest.mark.parametrize("value", [False, 0, 0.0, 0j, "", [], (), {}, None, MISSING, b""])
def test_zero_and_empty_values_are_false(value: object) -> None:
    assert truth(value) is False


@pytest.mark.parametrize("value", [True, -1, 0.5, 1j, " ", [None], {"a": None}, Empty()])
def test_other_values_and_every_struct_are_true(value: object) -> None:
    assert truth(value) is True


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "<nil>"),
        (MISSING, "interface {}"),
        (True, "bool"),
        (1, "int"),
        (1.0, "float64"),
        (1j, "complex128"),
        ("", "string"),
        (b"", "[]uint8"),
        ([], "[]interface {}"),
        ({}, "map[string]interface {}"),
        (Empty(), "struct"),
        (Named(), "[]interface {}"),
        (len, "func()"),
    ],
)
def test_types_have_go_names(value: object, name: str) -> None:
    assert type_name(value) == name


def test_a_string_method_is_found_where_there_is_one() -> None:
    assert text_of(Named(["a"])) == "names"
    assert text_of(Object()) == "{}"
    assert text_of(Empty()) is None
    assert text_of(["a"]) is None


def test_plain_forms_keep_lists_and_sort_maps() -> None:
    assert Named(["b", "a"]).plain() == ["b", "a"]
    assert list(Object(b=1, a=2).plain()) == ["a", "b"]
    assert Empty().plain() == {}


def test_halves_of_characters_join_again() -> None:
    left, right = from_octets("é".encode()[:1]), from_octets("é".encode()[1:])
    assert octets(left + right) == "é".encode()


def test_lone_surrogates_become_replacement_characters() -> None:
    assert octets("a\ud800b") == "a\ufffdb".encode()
