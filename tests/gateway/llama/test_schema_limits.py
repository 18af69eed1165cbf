"""Bounds that no value is between."""

from typing import Any

import pytest

from gateway.errors import Invalid
from gateway.llama.schema_limits import check_grammar, check_limits, check_schema

UNFIT = {"items": {"minItems": 2, "maxItems": 1}}
WRONG = "JSON schema error at #/items: minItems 2 is above maxItems 1"


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": UNFIT}}},
            f"the format: {WRONG}",
        ),
        ({"response_format": {"type": "json_object", "schema": UNFIT}}, f"the format: {WRONG}"),
        ({"extra": {"json_schema": UNFIT}}, f"'json_schema': {WRONG}"),
        (
            {"extra": {"grammar": 'root ::= "a"{2,1}'}},
            "'grammar': the repetition {2,1} ends before it begins",
        ),
        (
            {
                "tools": [
                    {"function": {"name": "f"}},
                    {"function": {"name": "g", "parameters": UNFIT}},
                ]
            },
            f"the parameters of tool 'g': {WRONG}",
        ),
    ],
)
def test_all_that_binds_a_reply_is_looked_at(members: Any, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_limits(
            members.get("response_format"), members.get("tools", ()), members.get("extra", {})
        )
    assert caught.value.message == words


def test_a_request_may_be_unbound() -> None:
    check_limits(None, (), {})
    check_limits({"type": "json_object"}, [{"function": {}}, {}], {})


def refused(schema: Any) -> str:
    with pytest.raises(Invalid) as caught:
        check_schema(schema, "'form'")
    words = caught.value.message
    assert words.startswith("'form': JSON schema error at ")
    return words.removeprefix("'form': JSON schema error at ")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"minLength": 5, "maxLength": 2}, "minLength 5 is above maxLength 2"),
        ({"minItems": 1, "maxItems": 0}, "minItems 1 is above maxItems 0"),
        (
            {"minItems": 2**32 + 5, "maxItems": 2**33 + 2},
            "minItems 4294967301 is above maxItems 8589934594",
        ),
        ({"type": "integer", "minimum": 5, "maximum": 2}, "no integer is from 5 to 2"),
        (
            {"type": ["null", "integer"], "exclusiveMinimum": 5, "exclusiveMaximum": 6},
            "no integer is from 6 to 5",
        ),
        (
            {"type": "integer", "minimum": 3, "exclusiveMaximum": 3},
            "no integer is from 3 to 2",
        ),
        (
            {"type": "integer", "minimum": 10**15},
            "a minimum of 1000000000000000 needs a maximum",
        ),
        (
            {"type": "integer", "maximum": -(10**16)},
            "a maximum of -10000000000000000 needs a minimum",
        ),
        ({"pattern": "^a{5,2}$"}, "the repetition {5,2} ends before it begins"),
        ({"pattern": r"^\d[a-z]{ 3, +2}"}, "the repetition { 3, +2} ends before it begins"),
        ({"pattern": r"\\{5,2}"}, "the repetition {5,2} ends before it begins"),
    ],
)
def test_a_schema_that_nothing_satisfies_is_refused(schema: Any, words: str) -> None:
    assert refused(schema) == f"#: {words}"


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("#/properties/a", {"properties": {"a": ...}}),
        ("#/$defs/b", {"$defs": {"b": ...}, "type": "string"}),
        ("#/anyOf/1", {"anyOf": [{}, ...]}),
        ("#/items/additionalProperties", {"items": {"additionalProperties": ...}}),
    ],
)
def test_the_place_is_told(path: str, schema: Any) -> None:
    def filled(value: Any) -> Any:
        if value is ...:
            return {"minLength": 2, "maxLength": 1}
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        return [filled(item) for item in value] if isinstance(value, list) else value

    assert refused(filled(schema)) == f"{path}: minLength 2 is above maxLength 1"


@pytest.mark.parametrize(
    "schema",
    [
        None,
        True,
        {},
        {"minLength": 2, "maxLength": 2, "minItems": 0, "maxItems": 9},
        {"minLength": 5},
        {"minLength": 5, "maxLength": 2**32 - 1},
        {"minLength": "5", "maxLength": 2},
        {"minLength": True, "maxLength": 0},
        {"properties": {"minLength": {"type": "integer"}, "maxLength": {"type": "integer"}}},
        {"type": "integer", "minimum": 2, "maximum": 2},
        {"type": "integer", "minimum": 10**15 - 1},
        {"type": "integer", "minimum": 0, "maximum": 10**18},
        {"type": "integer", "minimum": -(10**18)},
        {"type": "number", "minimum": 5, "maximum": 2},
        {"pattern": r"^a{2,5}b{2}c{2,}d{,5}$"},
        {"pattern": r"\{5,2}[{5,2}][\]{5,2}]"},
        {"pattern": 5},
    ],
)
def test_any_other_schema_passes(schema: Any) -> None:
    check_schema(schema, "'form'")


def test_a_schema_may_be_nested_as_deeply_as_json_can_be() -> None:
    deep: Any = {"minItems": 2, "maxItems": 1}
    for _ in range(5000):
        deep = [deep]
    assert refused(deep).endswith("/0: minItems 2 is above maxItems 1")


@pytest.mark.parametrize("text", ['root ::= "a"{5,2}', 'root ::= "a" { 5 , 2 }', "a ::= [{]{3,1}"])
def test_a_repetition_that_ends_before_it_begins_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"^'grammar': the repetition \{.*\} ends before it begins$"):
        check_grammar(text)


@pytest.mark.parametrize(
    "text",
    [
        None,
        5,
        "",
        'root ::= "a"{2,5} "b"{3} "c"{2,}',
        'root ::= "{5,2}"',
        r'root ::= "\"{5,2}"',
        "root ::= [{5,2}]+",
        'root ::= "a" # {5,2}',
    ],
)
def test_other_grammars_pass(text: Any) -> None:
    check_grammar(text)


@pytest.mark.parametrize("digits", ["9" * 5000, "0" * 5000 + "3"])
def test_numbers_may_be_longer_than_python_likes(digits: str) -> None:
    with pytest.raises(Invalid, match="ends before it begins"):
        check_grammar(f'root ::= "a"{{{digits},2}}')
    check_grammar(f'root ::= "a"{{2,{digits}}}')
    with pytest.raises(Invalid, match="ends before it begins"):
        check_schema({"pattern": f"a{{{digits},2}}"}, "it")


@pytest.mark.parametrize("text", ["[", '"', "{", "{ ", "[\\", "{1"])
def test_what_is_never_closed_is_read_once(text: str) -> None:
    """Read again from each place on, this would take hours."""
    check_grammar(text * 300_000)
    check_schema({"pattern": text * 300_000}, "it")
