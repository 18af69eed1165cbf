"""The bodies of the Ollama dialect, by endpoint."""

import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.embeddings.requests import EMBED, OLD_EMBED
from gateway.api.fields import RequestTable
from gateway.api.ollama.fields import (
    CHAT,
    COPY,
    CREATE,
    DELETE,
    GENERATE,
    PULL,
    PUSH,
    SHOW,
    parse_think,
)
from gateway.errors import Invalid
from gateway.golang.json_decode import Struct, decode

TABLES = (GENERATE, CHAT, EMBED, OLD_EMBED, CREATE, SHOW, COPY, DELETE, PULL, PUSH)
Sample = tuple[Any, Any, str]  # a right value, a wrong one, and the fault of that
TEXT: Sample = ("x", 5, "number {} string")
FLAG: Sample = (False, "x", "string {} bool")
COUNT: Sample = (-3, "7", "string {} int")
NOT_AN_OBJECT = "Value looks like object, but can't find closing '}' symbol"
MEMBERS = (
    *("messages", "tools", "function", "parameters", "properties", "type", "role", "anyOf"),
    *("tool_calls", "arguments", "images", "think", "keep_alive", "options"),
)


Table = Struct | RequestTable[Any]


def struct_of(table: Table) -> Struct:
    return table.struct if isinstance(table, RequestTable) else table


def read(table: Table, value: Any) -> dict[str, Any]:
    return decode(orjson.dumps(value), struct_of(table))


def error(struct: Table, value: Any) -> str:
    with pytest.raises(Invalid) as caught:
        read(struct, value)
    return caught.value.message


def field_error(fault: str) -> str:
    """The error for "<kind> <path> <type wanted>"."""
    kind, path, wanted = fault.split(" ", 2)
    return f"json: cannot unmarshal {kind} into Go struct field {path} of type {wanted}"


def test_every_body_is_called_by_its_name_in_go() -> None:
    assert " ".join(error(struct, []).rpartition(" ")[2] for struct in TABLES) == (
        "api.GenerateRequest api.ChatRequest api.EmbedRequest api.EmbeddingRequest"
        " api.CreateRequest api.ShowRequest api.CopyRequest api.DeleteRequest"
        " api.PullRequest api.PushRequest"
    )


@pytest.mark.parametrize(
    ("struct", "kind", "members"),
    [
        (GENERATE, TEXT, "model prompt suffix system template"),
        (GENERATE, FLAG, "stream raw truncate shift logprobs _debug_render_only"),
        (GENERATE, COUNT, "top_logprobs"),
        (CHAT, TEXT, "model"),
        (CHAT, FLAG, "stream truncate shift logprobs _debug_render_only"),
        (CHAT, COUNT, "top_logprobs"),
        (EMBED, TEXT, "model"),
        (EMBED, FLAG, "truncate"),
        (EMBED, COUNT, "dimensions"),
        (OLD_EMBED, TEXT, "model prompt"),
        (SHOW, TEXT, "model name system template"),
        (SHOW, FLAG, "verbose"),
        (COPY, TEXT, "source destination"),
        (DELETE, TEXT, "model name"),
        (PULL, TEXT, "model name username password"),
        (PULL, FLAG, "stream insecure"),
        (PUSH, TEXT, "model name username password"),
        (PUSH, FLAG, "stream insecure"),
        (CREATE, TEXT, "model name from template system quantize quantization draft_quantize"),
        (CREATE, TEXT, "renderer parser requires remote_host"),
        (CREATE, FLAG, "stream"),
    ],
)
def test_plain_members_hold_one_kind(struct: Table, kind: Sample, members: str) -> None:
    right, wrong, fault = kind
    for member in members.split():
        assert read(struct, {member: right}) == {member: right}
        expected = field_error(fault.format(f"{struct_of(struct).name}.{member}"))
        assert error(struct, {member: wrong}) == expected


@pytest.mark.parametrize(
    ("struct", "member"),
    [
        (GENERATE, "options"),
        (CHAT, "options"),
        (EMBED, "options"),
        (OLD_EMBED, "options"),
        (SHOW, "options"),
        (CREATE, "parameters"),
        (CREATE, "info"),
    ],
)
def test_free_objects_keep_everything(struct: Table, member: str) -> None:
    value = {"Any": [1, None, {"x": "y"}], "null": None}
    assert read(struct, {member: value}) == {member: value}
    fault = f"array {struct_of(struct).name}.{member} map[string]interface {{}}"
    assert error(struct, {member: []}) == field_error(fault)


@pytest.mark.parametrize("member", ["files", "adapters", "draft_files"])
def test_files_are_named_digests(member: str) -> None:
    assert read(CREATE, {member: {"a.gguf": "sha256:1"}}) == {member: {"a.gguf": "sha256:1"}}
    path = f"CreateRequest.{member}"
    assert error(CREATE, {member: []}) == field_error(f"array {path} map[string]string")
    assert error(CREATE, {member: {"a": 5}}) == field_error(f"number {path} string")


@pytest.mark.parametrize(
    ("struct", "member"),
    [(GENERATE, "format"), (CHAT, "format"), (EMBED, "input"), (CREATE, "license")],
)
@pytest.mark.parametrize("value", ["json", "", 5, True, [], {"type": "object"}, ["a", 1]])
def test_members_of_any_shape_are_left_to_the_endpoint(
    struct: Table, member: str, value: Any
) -> None:
    assert read(struct, {member: value}) == {member: value}


def test_context_holds_integers() -> None:
    assert read(GENERATE, {"context": [1, 2]}) == {"context": [1, 2]}
    assert read(GENERATE, {"context": []}) == {"context": []}
    assert error(GENERATE, {"context": "x"}) == field_error("string GenerateRequest.context []int")
    assert error(GENERATE, {"context": ["a"]}) == field_error("string GenerateRequest.context int")


def test_generate_ignores_what_belongs_to_chat() -> None:
    assert read(GENERATE, {"messages": 5, "tools": 5, "name": 5, "seed": "x"}) == {}


@pytest.mark.parametrize("struct", [GENERATE, CHAT, EMBED, OLD_EMBED])
def test_keep_alive_arrives_in_seconds(struct: Table) -> None:
    assert read(struct, {"keep_alive": "1h30m"}) == {"keep_alive": 5400.0}
    assert read(struct, {"keep_alive": 2.5}) == {"keep_alive": 2.5}
    assert read(struct, {"keep_alive": -1}) == {"keep_alive": math.inf}
    assert read(struct, {"keep_alive": None}) == {}
    assert error(struct, {"keep_alive": {}}) == "Unsupported type: 'map[string]interface {}'"
    assert error(struct, {"model": 5, "keep_alive": "x"}) == 'time: invalid duration "x"'


@pytest.mark.parametrize("struct", [GENERATE, CHAT])
@pytest.mark.parametrize("value", [True, False, "low", "medium", "high", "max"])
def test_think_is_a_switch_or_a_level(struct: Table, value: bool | str) -> None:
    assert read(struct, {"think": value}) == {"think": value}


@pytest.mark.parametrize("value", ["extreme", "", "High", 'a"\n'])
def test_another_level_is_refused(value: str) -> None:
    shown = {'a"\n': '"a\\"\\n"'}.get(value, f'"{value}"')
    with pytest.raises(Invalid) as caught:
        parse_think(value)
    assert caught.value.message == (
        f'invalid think value: {shown} (must be "high", "medium", "low", "max", true, or false)'
    )


@pytest.mark.parametrize("value", [1, 5.0, [], {}])
def test_think_of_another_type_is_refused(value: Any) -> None:
    assert error(CHAT, {"stream": "x", "think": value}) == (
        'think must be a boolean or string ("high", "medium", "low", "max", true, or false)'
    )


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"model": "a", "name": "b"}, "a"),
        ({"model": "", "name": "b"}, "b"),
        ({"name": "b"}, "b"),
        ({}, ""),
    ],
)
def test_the_older_member_names_the_model_if_the_present_one_does_not(
    body: dict[str, Any], name: str
) -> None:
    assert DELETE.decode(orjson.dumps(body)).named == name


def test_a_whole_message_is_kept() -> None:
    message = {
        "role": "assistant",
        "content": "hi",
        "thinking": "hm",
        "images": ["aGk="],
        "tool_calls": [
            {"id": "call_1", "function": {"index": 1, "name": "f", "arguments": {"z": 1, "a": [2]}}}
        ],
        "tool_name": "f",
        "tool_call_id": "call_1",
    }
    assert read(CHAT, {"messages": [message]}) == {"messages": [message]}
    assert read(CREATE, {"messages": [message]}) == {"messages": [message]}


def test_messages_are_read_leniently() -> None:
    messages = [
        {"ROLE": "USER", "content": None, "extra": 1},
        None,
        {"role": "banana"},
        {"tool_calls": [{"type": "function", "function": {"arguments": None}}, None]},
    ]
    called: dict[str, Any] = {"tool_calls": [{"function": {}}, {}]}
    decoded = read(CHAT, {"messages": messages})["messages"]
    assert decoded == [{"role": "user"}, {}, {"role": "banana"}, called]


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        ({}, "object messages []api.Message"),
        (5, "number messages []api.Message"),
        ([5], "number messages api.Alias"),
        ([[]], "array messages api.Alias"),
        (["hi"], "string messages api.Alias"),
        ([{"role": 5}], "number messages.role string"),
        ([{"content": 5}], "number messages.content string"),
        ([{"content": [{"type": "text"}]}], "array messages.content string"),
        ([{"images": "x"}], "string messages.images []api.ImageData"),
        ([{"images": [5]}], "number messages.images api.ImageData"),
    ],
)
@pytest.mark.parametrize("struct", [CHAT, CREATE])
def test_a_wrong_message_is_named_from_the_request(
    struct: Table, messages: Any, fault: str
) -> None:
    expected = field_error(fault.replace(" ", f" {struct_of(struct).name}.", 1))
    assert error(struct, {"messages": messages}) == expected


@pytest.mark.parametrize(
    ("calls", "fault"),
    [
        ({}, "object  []api.ToolCall"),
        ([5], "number  api.ToolCall"),
        ([{"id": 5}], "number .id string"),
        ([{"function": 5}], "number .function api.ToolCallFunction"),
        ([{"function": {"index": "1"}}], "string .function.index int"),
        ([{"function": {"name": {}}}], "object .function.name string"),
    ],
)
def test_a_wrong_tool_call_is_named_from_the_request(calls: Any, fault: str) -> None:
    expected = field_error(fault.replace(" ", " ChatRequest.messages.tool_calls", 1))
    assert error(CHAT, {"messages": [{"tool_calls": calls}]}) == expected


@pytest.mark.parametrize("value", ["{}", [], 5, True])
def test_tool_call_arguments_must_be_an_object(value: Any) -> None:
    calls = [{"function": {"name": "f", "arguments": value}}]
    assert error(CHAT, {"messages": [{"content": 5, "tool_calls": calls}]}) == NOT_AN_OBJECT


def test_the_first_wrong_message_beats_what_is_wrong_around_it() -> None:
    body = {"stream": "x", "messages": [{}, {"role": 5, "content": 6}, {"role": 7}], "model": 5}
    assert error(CHAT, body) == field_error("number ChatRequest.messages.role string")


def test_an_image_that_is_not_base64_is_refused() -> None:
    body = {"messages": [{"role": "user", "images": ["%%%"]}]}
    assert error(CHAT, body) == "illegal base64 data at input byte 0"
    assert error(GENERATE, {"images": ["a"]}) == "illegal base64 data at input byte 0"


def test_a_tool_keeps_the_schema_words_that_models_see_in_their_order() -> None:
    tool = {
        "function": {
            "strict": True,
            "parameters": {
                "additionalProperties": False,
                "properties": {
                    "z": {"minimum": 1, "description": "Z", "default": 2, "type": "integer"},
                    "a": {"enum": ["x", 1, None], "type": ["string", "null"]},
                    "o": {"properties": {"k": {"type": ["boolean"]}}, "required": ["k"]},
                    "u": {"anyOf": [{"type": "string"}, {"title": "t"}], "items": {"x": [1]}},
                    "n": None,
                },
                "required": ["z"],
                "$defs": {"d": {"title": "kept"}},
                "type": "object",
            },
            "description": "d",
            "name": "f",
        },
        "type": "function",
        "items": {"a": 1},
    }
    expected = {
        "type": "function",
        "items": {"a": 1},
        "function": {
            "name": "f",
            "description": "d",
            "parameters": {
                "type": "object",
                "$defs": {"d": {"title": "kept"}},
                "required": ["z"],
                "properties": {
                    "z": {"type": "integer", "description": "Z"},
                    "a": {"type": ["string", "null"], "enum": ["x", 1, None]},
                    "o": {"properties": {"k": {"type": "boolean"}}, "required": ["k"]},
                    "u": {"anyOf": [{"type": "string"}, {}], "items": {"x": [1]}},
                    "n": {},
                },
            },
        },
    }
    [decoded] = read(CHAT, {"tools": [tool]})["tools"]
    assert orjson.dumps(decoded) == orjson.dumps(expected)


@pytest.mark.parametrize(
    ("tools", "fault"),
    [
        ("x", "string ChatRequest.tools api.Tools"),
        ({}, "object ChatRequest.tools api.Tools"),
        ([5], "number ChatRequest.tools api.Tool"),
        ([{"type": 5}], "number Tool.tools.type string"),
        ([{"function": "x"}], "string Tool.tools.function api.ToolFunction"),
        ([{"function": {"name": 5}}], "number ToolFunction.tools.function.name string"),
    ],
)
def test_a_wrong_tool_is_named_from_its_innermost_struct(tools: Any, fault: str) -> None:
    assert error(CHAT, {"tools": tools}) == field_error(fault)


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ({"type": ["object"]}, "array .type string"),
        ({"required": "x"}, "string .required []string"),
        ({"required": [5]}, "number .required string"),
        ({"properties": {"p": 5}}, "number .properties api.ToolProperty"),
        ({"properties": {"p": {"type": 5}}}, "number .properties.type []string"),
        ({"properties": {"p": {"type": [5]}}}, "number .properties.type string"),
        ({"properties": {"p": {"enum": "x"}}}, "string .properties.enum []interface {}"),
        ({"properties": {"p": {"anyOf": {}}}}, "object .properties.anyOf []api.ToolProperty"),
        ({"properties": {"p": {"anyOf": [{"type": 5}]}}}, "number .properties.anyOf.type []string"),
        (
            {"properties": {"p": {"properties": {"q": 5}}}},
            "number .properties.properties api.ToolProperty",
        ),
    ],
)
def test_wrong_parameters_are_named_from_their_own_struct(parameters: Any, fault: str) -> None:
    place = " ToolFunctionParameters.tools.function.parameters"
    body = {"tools": [{"function": {"parameters": parameters}}]}
    assert error(CHAT, body) == field_error(fault.replace(" ", place, 1))


def test_a_wrong_property_beats_what_is_wrong_around_it() -> None:
    parameters = {"type": 5, "properties": {"p": {"description": 5, "type": 6}}}
    body = {"stream": "x", "tools": [{"type": 5, "function": {"parameters": parameters}}]}
    path = "ToolFunctionParameters.tools.function.parameters.properties.type"
    assert error(CHAT, body) == field_error(f"number {path} []string")


@pytest.mark.parametrize("value", [[], "{}", 5])
def test_properties_must_be_an_object(value: Any) -> None:
    tool = {"function": {"parameters": {"type": 5, "properties": value}}}
    assert error(CHAT, {"tools": [tool]}) == NOT_AN_OBJECT


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4)
        ),
    ),
    st.sampled_from(TABLES),
)
def test_any_document_is_read_or_refused_alike_at_both_looks(value: Any, struct: Table) -> None:
    try:
        data = orjson.dumps(value)
    except orjson.JSONEncodeError:  # an integer beyond 64 bits
        data = str(value).encode()
    outcomes = []
    for tail in (b"", b" trailing"):
        try:
            outcomes.append(orjson.dumps(decode(data + tail, struct_of(struct))).decode())
        except Invalid as refusal:
            outcomes.append(refusal.message)
    assert outcomes[0] == outcomes[1]
