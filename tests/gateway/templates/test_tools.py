"""Tools as templates see them."""

from typing import Any

from gateway.golang.json_encode import marshal
from gateway.templates.tools import Kinds, Parameters, Tool, floats, tools_of

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


def parameters(tool: Tool) -> Parameters:
    return tool.function.parameters


def test_a_tool_prints_as_the_json_of_what_ollama_knows_of_it() -> None:
    tools = tools_of([WEATHER])
    assert tools[0].text() == TEXT
    assert tools.text() == marshal(tools) == f"[{TEXT}]"


def test_properties_print_as_json_in_order_of_their_names() -> None:
    (tool,) = tools_of([WEATHER])
    properties = parameters(tool).fields["Properties"]
    assert properties.text() == PROPERTIES
    assert properties["at"].fields["Properties"].text() == (
        '{"y":{"type":"number"},"x":{"anyOf":[{"type":"null"}]}}'
    )


def test_fields_have_gos_names() -> None:
    (tool,) = tools_of([WEATHER])
    assert list(tool.fields) == ["Type", "Items", "Function"]
    assert list(tool.function.fields) == ["Name", "Description", "Parameters"]
    assert list(parameters(tool).fields) == ["Type", "Defs", "Items", "Required", "Properties"]
    city = parameters(tool).fields["Properties"]["city"].fields
    assert {key: value for key, value in city.items() if value} == {
        "Type": ["string"],
        "Description": "Name & place",
    }
    assert list(city) == [
        *("AnyOf", "Type", "Items", "Description", "Enum", "Properties", "Required"),
    ]


def test_a_tool_without_parameters_has_empty_ones() -> None:
    (tool,) = tools_of([{"type": "function", "function": {"name": "now", "description": "Time"}}])
    assert parameters(tool).fields["Properties"].text() == "{}"
    assert tool.text() == (
        '{"type":"function","function":{"name":"now","description":"Time",'
        '"parameters":{"type":"","properties":null}}}'
    )


def test_no_tools_are_null_and_false() -> None:
    none = tools_of([])
    assert none.text() == marshal(none) == "null"
    assert not none


def test_kinds_are_a_list_unless_there_is_one() -> None:
    assert [Kinds(kinds).text() for kinds in ([], ["a"], ["a", "b"])] == ["", "a", "[a b]"]
    assert [marshal(Kinds(kinds)) for kinds in (["a"], ["a", "b"])] == ['"a"', '["a","b"]']


def test_members_of_a_wrong_type_are_left_out() -> None:
    function: dict[str, Any] = {"name": 1, "parameters": {"properties": {"p": "text"}}}
    (tool,) = tools_of([{"function": function, "items": 1}])
    assert tool.text() == (
        '{"type":"","items":1,"function":{"name":"","description":"",'
        '"parameters":{"type":"","properties":{"p":{}}}}}'
    )
    (tool,) = tools_of([{"function": {"parameters": {"properties": [1], "required": "x"}}}])
    assert parameters(tool).fields["Properties"].text() == "{}"


def test_numbers_are_floats_as_long_as_that_loses_nothing() -> None:
    given = {"a": [1, True, "1", 2.5], "b": 2**53 + 1}
    result = floats(given)
    assert result == given
    assert [type(value) for value in result["a"]] == [float, bool, str, float]
    assert isinstance(result["b"], int)
