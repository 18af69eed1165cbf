"""Replies of a given form, and calls of tools: what the engine holds them to, in every dialect."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.gpt import add_all
from tests.fakes.process import Gateway
from tests.fakes.prompts import ABLE_LAYER
from tests.fakes.scripts import PLAIN, TOOLS, WEATHER, Scripted, create

pytestmark = pytest.mark.engine

HI = [{"role": "user", "content": "hi"}]
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
both = pytest.mark.parametrize("family", ["native", "layered"])
either_way = pytest.mark.parametrize("stream", [False, True])
# One that begins a call by itself, since the engine lets any text come before one; and one that
# never would, which the gateway makes call.
CALLER = {"native": "native-agent", "layered": "layered-talker"}
CITY: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHATTY = ("Wait. ", *TOOLS.pieces)
SCRIPTS = {
    "layered-talker": Scripted(PLAIN.pieces, template=None, recipe={"template": ABLE_LAYER}),
    "native-talker": Scripted(PLAIN.pieces, template=TOOLS.template),
    "native-chatty": Scripted(CHATTY, template=TOOLS.template),
    "layered-chatty": Scripted(CHATTY, template=None, recipe={"template": ABLE_LAYER}),
}


@pytest.fixture(scope="module")
def client(served: Gateway, folder: Path) -> Iterator[httpx.Client]:
    with served.client() as client:
        add_all(client, folder)
        for name, script in SCRIPTS.items():
            create(client, name, script, folder)
        yield client


def post(client: httpx.Client, path: str, model: str, **more: Any) -> httpx.Response:
    output: dict[str, Any] = {"input": HI} if path == RESPONSES else {"messages": HI}
    if path == MESSAGES:
        output["max_tokens"] = 200
    return client.post(path, json={"model": model, **output, **more})


def reported(client: httpx.Client, path: str, model: str, **more: Any) -> dict[str, Any]:
    reply = post(client, path, model, **more)
    assert reply.status_code == 200, reply.text
    result: dict[str, Any] = reply.json()
    return result


def events(client: httpx.Client, path: str, model: str, **more: Any) -> list[dict[str, Any]]:
    reply = post(client, path, model, stream=True, **more)
    assert reply.status_code == 200, reply.text
    lines = [line[6:] for line in reply.text.split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


# Forms


def _object(**properties: Any) -> dict[str, Any]:
    names = list(properties)
    bounds = {"required": names, "additionalProperties": False}
    return {"type": "object", "properties": properties, **bounds}


SCHEMAS: dict[str, tuple[dict[str, Any], Callable[[Any], object]]] = {
    "const": ({"const": {"a": [1, "b"]}}, {"a": [1, "b"]}.__eq__),
    "enum": ({"enum": ["red", 3, None]}, ["red", 3, None].__contains__),
    "anyOf": (
        {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 9}, {"const": "none"}]},
        [*range(1, 10), "none"].__contains__,
    ),
    "types": ({"type": ["null", "boolean"]}, lambda v: v is None or isinstance(v, bool)),
    "pattern": (
        {"type": "string", "pattern": "^[a-c]{2}-[0-9]{3}$"},
        lambda v: re.fullmatch("[a-c]{2}-[0-9]{3}", v),
    ),
    "length": ({"type": "string", "minLength": 2, "maxLength": 3}, lambda v: len(v) in (2, 3)),
    "date": (
        {"type": "string", "format": "date"},
        lambda v: re.fullmatch(r"\d{4}-[01]\d-[0-3]\d", v),
    ),
    "items": (
        {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3},
        lambda v: len(v) in (2, 3) and {*map(type, v)} == {bool},
    ),
    "tuple": ({"type": "array", "prefixItems": [{"const": 1}, {"const": "x"}]}, [1, "x"].__eq__),
    "nested": (
        _object(a=_object(b={"enum": ["x", "y"]})),
        lambda v: v["a"]["b"] in "xy" and [*v] == ["a"] and [*v["a"]] == ["b"],
    ),
    "ref": (
        {"$defs": {"leaf": {"enum": [1, 2]}}}
        | _object(left={"$ref": "#/$defs/leaf"}, right={"$ref": "#/$defs/leaf"}),
        lambda v: {*v} == {"left", "right"} and {*v.values()} <= {1, 2},
    ),
    "allOf": (
        {
            "allOf": [
                {"type": "object", "properties": {name: {"const": name}}, "required": [name]}
                for name in "ab"
            ]
        },
        {"a": "a", "b": "b"}.__eq__,
    ),
}


@both
@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("chance", [{"temperature": 0}, {"temperature": 1, "seed": 3}])
def test_a_reply_keeps_to_a_schema(
    client: httpx.Client, family: str, name: str, chance: dict[str, Any]
) -> None:
    schema, right = SCHEMAS[name]
    form = {"type": "json_schema", "json_schema": {"name": "form", "schema": schema}}
    body = {"response_format": form, "max_tokens": 300, **chance}
    (choice,) = reported(client, CHAT, f"{family}-plain", **body)["choices"]
    text = choice["message"]["content"]
    assert right(json.loads(text)), text
    assert choice["finish_reason"] == "stop"
    chunks = events(client, CHAT, f"{family}-plain", **body)
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == text


@both
@either_way
@pytest.mark.parametrize("path", [RESPONSES, MESSAGES])
def test_a_schema_binds_in_other_dialects(
    client: httpx.Client, family: str, path: str, stream: bool
) -> None:
    schema = _object(kind={"enum": ["x", "y"]}, sure={"const": True})
    form = {"type": "json_schema", "schema": schema, "name": "form"}
    body: dict[str, Any] = {"text": {"format": form}, "temperature": 0}
    if path == MESSAGES:
        form.pop("name")
        body = {"output_config": {"format": form}, "temperature": 0}
    if stream:
        result = events(client, path, f"{family}-plain", **body)
        deltas = [event.get("delta", "") for event in result]
        parts = [delta if isinstance(delta, str) else delta.get("text", "") for delta in deltas]
        value = json.loads("".join(parts))
    elif path == MESSAGES:
        value = json.loads(reported(client, path, f"{family}-plain", **body)["content"][0]["text"])
    else:
        (item,) = reported(client, path, f"{family}-plain", **body)["output"]
        value = json.loads(item["content"][0]["text"])
    assert value in ({"kind": "x", "sure": True}, {"kind": "y", "sure": True})


@both
@either_way
@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"grammar": 'root ::= "a"{5,5}'}, "aaaaa"),
        ({"json_schema": {"const": "42"}}, '"42"'),
        ({"response_format": {"type": "json_object", "schema": {"const": 7}}}, "7"),
        ({"ignore_eos": True, "max_tokens": 4}, PLAIN.text),
        ({"temperature": 100, "top_k": 1, "max_tokens": 4}, PLAIN.text),
    ],
)
def test_members_of_the_engine_s_own_are_heeded_in_a_completion(
    client: httpx.Client, family: str, stream: bool, more: dict[str, Any], text: str
) -> None:
    body = {"model": f"{family}-plain", "prompt": "hi", "temperature": 0, **more}
    reply = client.post("/v1/completions", json={**body, "stream": stream})
    assert reply.status_code == 200, reply.text
    if stream:
        lines = [line[6:] for line in reply.text.split("\n") if line.startswith("data: {")]
        assert "".join(json.loads(line)["choices"][0]["text"] for line in lines) == text
    else:
        assert reply.json()["choices"][0]["text"] == text


@both
@either_way
def test_members_of_the_engine_s_own_constrain_a_chat(
    client: httpx.Client, family: str, stream: bool
) -> None:
    def text(**more: Any) -> str:
        body = {"temperature": 0, "max_tokens": 200, **more}
        if not stream:
            result = reported(client, CHAT, f"{family}-plain", **body)
            return str(result["choices"][0]["message"]["content"])
        chunks = events(client, CHAT, f"{family}-plain", **body)
        deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
        return "".join(delta.get("content") or "" for delta in deltas)

    grammar = 'root ::= "a"{5,5}'
    assert text(grammar=grammar) == "aaaaa"
    assert json.loads(text(json_schema={"const": "42"})) == "42"
    # A form that the dialect knows wins.
    assert text(grammar=grammar, response_format={"type": "json_object"}).startswith("{")


# Calls


def _tool(parameters: dict[str, Any], name: str = "act") -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


PARAMETERS: dict[str, tuple[dict[str, Any], Callable[[Any], object]]] = {
    "nothing": (_object(), {}.__eq__),
    "const": (_object(success={"type": "boolean", "const": True}), {"success": True}.__eq__),
    "text": (_object(code={"type": "string"}), lambda v: isinstance(v["code"], str)),
    "number": (
        _object(n={"type": "integer", "minimum": 3, "maximum": 5}),
        lambda v: v["n"] in (3, 4, 5),
    ),
    "several": (
        _object(
            kind={"enum": ["a", "b"]},
            flags={"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
        ),
        lambda v: v["kind"] in "ab" and len(v["flags"]) <= 2 and {*map(type, v["flags"])} <= {bool},
    ),
}


def joined(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls that a stream of chunks makes; each must be named once, and numbered in order."""
    calls: list[dict[str, Any]] = []
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        for piece in choice["delta"].get("tool_calls", ()):
            if piece["index"] == len(calls):
                calls.append({"id": piece["id"], **piece["function"]})
                calls[-1].setdefault("arguments", "")
            else:
                assert piece["index"] == len(calls) - 1
                assert not {"id", "type"} & set(piece)
                assert "name" not in piece["function"]
                calls[-1]["arguments"] += piece["function"]["arguments"]
    return calls


@both
@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("named", [False, True])
def test_a_call_that_must_be_made_keeps_to_its_schema(
    client: httpx.Client, family: str, name: str, named: bool
) -> None:
    parameters, right = PARAMETERS[name]
    tools = [_tool(parameters)]
    choice: Any = "required"
    if named:
        tools.insert(0, _tool(_object(never={"const": 1}), "other"))
        choice = {"type": "function", "function": {"name": "act"}}
    body = {"tools": tools, "tool_choice": choice, "parallel_tool_calls": True, "max_tokens": 400}
    (result,) = reported(client, CHAT, CALLER[family], temperature=0, **body)["choices"]
    (call,) = result["message"]["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "act")
    assert right(json.loads(call["function"]["arguments"])), call
    assert result["finish_reason"] == "tool_calls"
    chunks = events(client, CHAT, CALLER[family], temperature=0, **body)
    (streamed,) = joined(chunks)
    # Only the whole is spelled without spaces whoever made it.
    assert json.loads(streamed["arguments"]) == json.loads(call["function"]["arguments"])
    assert streamed["name"] == "act"
    assert streamed["id"] not in ("", call["id"])
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


@both
@pytest.mark.parametrize("more", [{}, {"tools": None}, {"tools": []}])
@pytest.mark.parametrize("model", ["plain", "agent"])
def test_without_tools_nothing_is_called(
    client: httpx.Client, family: str, model: str, more: dict[str, Any]
) -> None:
    (result,) = reported(client, CHAT, f"{family}-{model}", **more)["choices"]
    assert "tool_calls" not in result["message"]
    assert result["finish_reason"] == "stop"
    assert joined(events(client, CHAT, f"{family}-{model}", **more)) == []


@both
@either_way
def test_tools_that_are_not_needed_are_not_called(
    client: httpx.Client, family: str, stream: bool
) -> None:
    """A reply that only might have been a call is told as the text that it is."""
    model = f"{family}-talker"
    if stream:
        chunks = events(client, CHAT, model, tools=[WEATHER])
        deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
        assert "".join(delta.get("content") or "" for delta in deltas) == PLAIN.text
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        return
    (result,) = reported(client, CHAT, model, tools=[WEATHER])["choices"]
    assert result["message"] == {"role": "assistant", "content": PLAIN.text}


@both
@either_way
def test_tokens_have_their_chances_beside_tools(
    client: httpx.Client, family: str, stream: bool
) -> None:
    model, more = f"{family}-talker", {"tools": [WEATHER], "logprobs": True, "top_logprobs": 1}
    if stream:
        choices = [
            choice for chunk in events(client, CHAT, model, **more) for choice in chunk["choices"]
        ]
    else:
        choices = reported(client, CHAT, model, **more)["choices"]
    entries = [e for choice in choices for e in (choice.get("logprobs") or {}).get("content", ())]
    assert [entry["token"] for entry in entries][:4] == [*PLAIN.pieces]


@both
def test_text_comes_before_its_call(client: httpx.Client, family: str) -> None:
    chunks = events(client, CHAT, f"{family}-chatty", tools=[WEATHER])
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    kinds = [
        "call" if delta.get("tool_calls") else "text"
        for delta in deltas
        if delta.get("content") or delta.get("tool_calls")
    ]
    assert kinds == sorted(kinds, reverse=True)
    assert {*kinds} == {"text", "call"}
    assert "".join(delta.get("content") or "" for delta in deltas).strip() == "Wait."
    (call,) = joined(chunks)
    assert json.loads(call["arguments"]) == {"city": "Paris"}


@both
def test_the_blocks_of_a_message_are_numbered(client: httpx.Client, family: str) -> None:
    tool = {"name": "weather", "input_schema": CITY}
    result = events(client, MESSAGES, f"{family}-chatty", tools=[tool], metadata={"user_id": "u"})
    started = [event for event in result if event["type"] == "content_block_start"]
    assert [event["content_block"]["type"] for event in started] == ["text", "tool_use"]
    assert [event["index"] for event in started] == [0, 1]
    stopped = [event["index"] for event in result if event["type"] == "content_block_stop"]
    assert stopped == [0, 1]
    pieces = [event["delta"] for event in result if event["type"] == "content_block_delta"]
    arguments = "".join(piece.get("partial_json", "") for piece in pieces)
    whole = reported(client, MESSAGES, f"{family}-chatty", tools=[tool])
    assert json.loads(arguments) == whole["content"][1]["input"] == {"city": "Paris"}
    assert whole["stop_reason"] == "tool_use"
    assert result[-2]["delta"]["stop_reason"] == "tool_use"
    assert result[-2]["usage"]["output_tokens"] == whole["usage"]["output_tokens"]
    assert not [event for event in result if "timings" in event]


@both
@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "act"}])
def test_a_response_must_call_too(client: httpx.Client, family: str, choice: Any) -> None:
    parameters, right = PARAMETERS["several"]
    tool = {"type": "function", "name": "act", "parameters": parameters}
    body = {"tools": [tool], "tool_choice": choice, "temperature": 0}
    whole = reported(client, RESPONSES, CALLER[family], **body)
    call = whole["output"][-1]
    assert (call["type"], call["name"]) == ("function_call", "act")
    assert right(json.loads(call["arguments"]))
    result = events(client, RESPONSES, CALLER[family], **body)
    pieces = [e["delta"] for e in result if e["type"] == "response.function_call_arguments.delta"]
    assert "".join(pieces) == call["arguments"]
    last = result[-1]["response"]["output"][-1]
    assert (last["arguments"], last["call_id"] == call["call_id"]) == (call["arguments"], False)


@both
@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "act"}])
def test_a_message_must_call_too(client: httpx.Client, family: str, choice: Any) -> None:
    parameters, right = PARAMETERS["several"]
    tool = {"name": "act", "input_schema": parameters}
    body = {"tools": [tool], "tool_choice": choice, "temperature": 0}
    whole = reported(client, MESSAGES, CALLER[family], **body)
    call = whole["content"][-1]
    assert (call["type"], call["name"]) == ("tool_use", "act")
    assert right(call["input"])
    result = events(client, MESSAGES, CALLER[family], **body)
    pieces = [e["delta"].get("partial_json", "") for e in result if "delta" in e]
    assert json.loads("".join(pieces)) == call["input"]
