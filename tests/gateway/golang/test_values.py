from collections.abc import Mapping
from typing import Any

import pytest

from gateway.golang.values import (
    MISSING,
    GoList,
    GoMap,
    GoStruct,
    from_utf8,
    string_method,
    truth,
    type_name,
    utf8,
)


class EmptyStruct(GoStruct):
    @property
    def fields(self) -> Mapping[str, Any]:
        return {}


class NameList(GoList):
    def text(self) -> str:
        return "names"


class PlainMap(GoMap):
    def text(self) -> str:
        return "{}"


@pytest.mark.parametrize("value", [False, 0, 0.0, "", [], (), {}, None, MISSING, b""])
def test_zero_and_empty_values_are_false(value: object) -> None:
    assert truth(value) is False


@pytest.mark.parametrize("value", [True, -1, 0.5, " ", [None], {"a": None}, EmptyStruct()])
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
        ("", "string"),
        (b"", "[]uint8"),
        ([], "[]interface {}"),
        ({}, "map[string]interface {}"),
        (EmptyStruct(), "struct"),
        (NameList(), "[]interface {}"),
    ],
)
def test_types_have_go_names(value: object, name: str) -> None:
    assert type_name(value) == name


def test_some_values_have_a_string_method() -> None:
    assert string_method(NameList(["a"])) == "names"
    assert string_method(PlainMap()) == "{}"
    assert string_method(EmptyStruct()) is None
    assert string_method(["a"]) is None


def test_plain_forms_keep_lists_and_sort_maps() -> None:
    assert NameList(["b", "a"]).plain() == ["b", "a"]
    plain = PlainMap(b=1, a=2).plain()
    assert isinstance(plain, dict)
    assert list(plain) == ["a", "b"]
    assert EmptyStruct().plain() == {}


def test_halves_of_characters_join_again() -> None:
    left, right = from_utf8("é".encode()[:1]), from_utf8("é".encode()[1:])
    assert utf8(left + right) == "é".encode()


def test_lone_surrogates_become_replacement_characters() -> None:
    assert utf8("a\ud800b") == "a\ufffdb".encode()
