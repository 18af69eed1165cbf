"""Tools as templates see them."""

from typing import Any

import pytest

from gateway.golang.json_encode import marshal
from gateway.templates.tools import (
    PropertyTypes,
    TemplateTool,
    ToolParameters,
    floats,
    template_tools,
    typescript_type,
)

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "additionalProperties": False,
            "required": ["unit", "city"],
            "$defs": {"b": 1, "a": 2},
            "properties": {
                "unit": {"type": ["string", "null"], "enum": ["C", "F", 1], "default": "C"},
                "city": {"type": "string", "description": "Name & place", "minLength": 1},
                "at": {
                    "type": "object",
                    "required": ["x"],
                    "properties": {"y": {"type": "number"}, "x": {"anyOf": [{"type": "null"}]}},
                },
                "all": {"type": "array", "items": {"type": "string", "maxLength": 1000000}},
            },
        },
    },
}
PROPERTIES = (
    '{"all":{"type":"array","items":{"maxLength":1000000,"type":"string"}},'
    '"at":{"type":"object","properties":{"y":{"type":"number"},"x":{"anyOf":[{"type":"null"}]}},'
    '"required":["x"]},'
    '"city":{"type":"string","description":"Name \\u0026 place"},'
    '"unit":{"type":["string","null"],"enum":["C","F",1]}}'
)
TEXT = (
    '{"type":"function","function":{"name":"get_weather","description":"","parameters":{'
    f'"type":"object","$defs":{{"a":2,"b":1}},"required":["unit","city"],"properties":{PROPERTIES}'
    "}}}"
)


def field(value: Any, *names: str) -> Any:
    """The field of a field … of a struct, as `.A.B` in a template."""
    for name in names:
        value = value.fields[name]
    return value


def parameters(tool: TemplateTool) -> ToolParameters:
    return tool.function.parameters


def test_a_tool_prints_as_the_json_of_what_ollama_knows_of_it() -> None:
    tools = template_tools([WEATHER])
    assert tools[0].text() == TEXT
    assert tools.text() == marshal(tools) == f"[{TEXT}]"


def test_properties_print_as_json_in_order_of_their_names() -> None:
    (tool,) = template_tools([WEATHER])
    properties = field(parameters(tool), "Properties")
    assert properties.text() == PROPERTIES
    assert properties["at"].fields["Properties"].text() == (
        '{"y":{"type":"number"},"x":{"anyOf":[{"type":"null"}]}}'
    )


def test_fields_have_gos_names() -> None:
    (tool,) = template_tools([WEATHER])
    assert list(tool.fields) == ["Type", "Items", "Function"]
    assert list(tool.function.fields) == ["Name", "Description", "Parameters"]
    assert list(parameters(tool).fields) == ["Type", "Defs", "Items", "Required", "Properties"]
    city = field(parameters(tool), "Properties")["city"].fields
    assert {key: value for key, value in city.items() if value} == {
        "Type": ["string"],
        "Description": "Name & place",
    }
    assert list(city) == [
        *("AnyOf", "Type", "Items", "Description", "Enum", "Properties", "Required"),
    ]


def test_a_tool_without_parameters_has_empty_ones() -> None:
    (tool,) = template_tools(
        [{"type": "function", "function": {"name": "now", "description": "Time"}}]
    )
    assert field(parameters(tool), "Properties").text() == "{}"
    assert tool.text() == (
        '{"type":"function","function":{"name":"now","description":"Time",'
        '"parameters":{"type":"","properties":null}}}'
    )


def test_no_tools_are_null_and_false() -> None:
    none = template_tools([])
    assert none.text() == marshal(none) == "null"
    assert not none


def test_kinds_are_a_list_unless_there_is_one() -> None:
    assert [PropertyTypes(kinds).text() for kinds in ([], ["a"], ["a", "b"])] == ["", "a", "[a b]"]
    assert [marshal(PropertyTypes(kinds)) for kinds in (["a"], ["a", "b"])] == ['"a"', '["a","b"]']


def test_members_of_a_wrong_type_are_left_out() -> None:
    function: dict[str, Any] = {"name": 1, "parameters": {"properties": {"p": "text"}}}
    (tool,) = template_tools([{"function": function, "items": 1}])
    assert tool.text() == (
        '{"type":"","items":1,"function":{"name":"","description":"",'
        '"parameters":{"type":"","properties":{"p":{}}}}}'
    )
    (tool,) = template_tools([{"function": {"parameters": {"properties": [1], "required": "x"}}}])
    assert field(parameters(tool), "Properties").text() == "{}"


def test_numbers_are_floats_as_long_as_that_loses_nothing() -> None:
    given = {"a": [1, True, "1", 2.5], "b": 2**53 + 1}
    result = floats(given)
    assert result == given
    assert [type(value) for value in result["a"]] == [float, bool, str, float]
    assert isinstance(result["b"], int)


def one_property(schema: dict[str, Any]) -> Any:
    tools = template_tools(
        [{"function": {"name": "f", "parameters": {"properties": {"p": schema}}}}]
    )
    return field(tools[0], "Function", "Parameters", "Properties")["p"]


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string"}, "string"),
        ({"type": "number"}, "number"),
        ({"type": "integer"}, "number"),
        ({"type": "boolean"}, "boolean"),
        ({"type": "array", "items": {"type": "string"}}, "any[]"),
        ({"type": "object"}, "Record<string, any>"),
        ({"type": "null"}, "null"),
        ({"type": "date"}, "any"),
        ({}, "any"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"anyOf": [{"type": "string"}, {"type": ["integer", "null"]}]}, "string | number | null"),
    ],
)
def test_a_property_has_a_type_in_typescript(schema: dict[str, Any], text: str) -> None:
    assert typescript_type(one_property(schema)) == text


def test_what_is_no_property_is_any() -> None:
    assert typescript_type("string") == "any"
