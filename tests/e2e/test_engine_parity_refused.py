"""What no engine can make sense of is refused in its dialect's envelope; nothing is a 500."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.gpt import add_all
from tests.fakes.process import Gateway
from tests.fakes.scripts import PLAIN

pytestmark = pytest.mark.engine

HI = [{"role": "user", "content": "hi"}]
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
RESPONSES, MESSAGES, EMBEDDINGS = "/v1/responses", "/v1/messages", "/v1/embeddings"
LEAST: dict[str, dict[str, Any]] = {
    CHAT: {"messages": HI},
    COMPLETIONS: {"prompt": "hi"},
    RESPONSES: {"input": "hi"},
    MESSAGES: {"messages": HI, "max_tokens": 9},
    f"{MESSAGES}/count_tokens": {"messages": HI},
    EMBEDDINGS: {"input": "hi"},
}
NONSENSE = {"type": "hiccup"}
EMPTY = {"type": "string", "minLength": 5, "maxLength": 2}
UNRESOLVED = {"$ref": "#/$defs/nowhere"}


def _form(schema: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}


def _tool(schema: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"a": schema}}
    return {"type": "function", "function": {"name": "f", "parameters": parameters}}


def _messages(*messages: Any) -> dict[str, Any]:
    return {"messages": list(messages)}


def _output(content: Any, role: str = "user") -> dict[str, Any]:
    return _messages({"role": role, "content": content})


def _input(*items: Any) -> dict[str, Any]:
    return {"input": list(items)}


REFUSED: dict[str, list[dict[str, Any]]] = {
    CHAT: [
        {"response_format": {"type": "sound"}},
        {"response_format": {"type": "json_object", "schema": 123}},
        {"response_format": {"type": "json_object", "schema": NONSENSE}},
        {"response_format": {"type": "json_object", "schema": {"type": 123}}},
        {"response_format": {"type": "json_schema", "json_schema": "x"}},
        _form("x"),
        _form(NONSENSE),
        _form(UNRESOLVED),
        {"grammar": "root ::= ("},
        {"grammar": 'root ::= "a"{3,2}'},
        _form({"minLength": 3, "maxLength": 2}),
        _form({"type": "integer", "minimum": 10**16}),
        _form({"anyOf": [{"type": "string", "pattern": "^a{3,2}$"}]}),
        {"tools": [_tool({"type": "array", "minItems": 3, "maxItems": 2})]},
        {"logit_bias": {"1": "x"}},
        {"stop": [5]},
        {"post_sampling_probs": True},
        _messages({"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}),
        _messages({"role": "user", "content": "hi", "name": 5}),
        {"json_schema": NONSENSE},
        {"messages": None},
        {"messages": "hi"},
        _messages(123),
        _messages({}),
        _messages({"role": 123, "content": "hi"}),
        _messages({"content": "hi"}),
        _messages(*HI, {}),
        _output(123),
        _output(None),
        _output([{"type": "mystery"}]),
        _output([{"type": "text", "text": 5}]),
        _messages(
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}
        ),
        _messages({"role": "assistant", "tool_calls": [{"function": {}}]}),
        {"tools": [5]},
        {"tools": [{}]},
        {"top_k": "x"},
        {"min_keep": -4},
        {"dry_sequence_breakers": []},
        {"reasoning_format": "mystery"},
        {"stream_options": 5},
    ],
    COMPLETIONS: [
        {"prompt": 5},
        {"prompt": [1, "two", 3]},
        {"prompt": {}},
        {"suffix": 5},
        {"stop": [5]},
        {"grammar": 'root ::= "a"{3,2}'},
        {"json_schema": {"minItems": 3, "maxItems": 2}},
        {"max_completion_tokens": "x"},
        {"top_k": "x"},
        {"echo": "yes"},
        {"logprobs": -1},
        {"temperature": []},
        {"n": 0},
    ],
    RESPONSES: [
        {"input": None},
        {"input": 5},
        {"input": []},
        _input(5),
        _input({}),
        _input({"role": "user"}),
        _input({"role": "user", "content": [{"type": "mystery"}]}),
        _input({"type": "mystery"}),
        _input({"type": "function_call", "call_id": "a", "name": "f", "arguments": "{"}),
        _input({"type": "function_call_output"}),
        {"text": {"format": {"type": "sound"}}},
        {"text": {"format": {"type": "json_schema", "name": "form"}}},
        {"text": {"format": {"type": "json_schema", "name": "form", "schema": NONSENSE}}},
        {"text": {"format": {"type": "json_schema", "name": "form", "schema": EMPTY}}},
        {"max_output_tokens": 0},
        {"tools": [{"type": "function"}]},
        {"tool_choice": "mystery"},
        {"top_logprobs": 21},
    ],
    MESSAGES: [
        {"messages": None},
        {"messages": []},
        _messages(5),
        _messages({}),
        _output("hi", role="mystery"),
        _output(5),
        _output([{"type": "mystery"}]),
        _output([{"type": "tool_result"}]),
        {"max_tokens": None},
        {"max_tokens": "x"},
        {"system": 5},
        {"stop_sequences": 5},
        {"temperature": "x"},
        {"tools": [{}]},
        {"thinking": 5},
        {"output_config": {"format": {"type": "json_schema", "schema": NONSENSE}}},
        {"output_config": {"format": {"type": "json_schema", "schema": EMPTY}}},
    ],
    f"{MESSAGES}/count_tokens": [{"messages": None}, _messages(5), {"system": 5}, {"tools": [{}]}],
}
VECTORS: list[Any] = [None, [], 5, [12, 34, 56], [12, "a", 34], ["a", [1]], [[]], [None], {}]
cases = pytest.mark.parametrize(
    ("path", "more"), [(path, more) for path, list_ in REFUSED.items() for more in list_]
)


@pytest.fixture(scope="module")
def client(served: Gateway, folder: Path) -> Iterator[httpx.Client]:
    with served.client() as client:
        add_all(client, folder)
        yield client


def check(reply: httpx.Response, path: str) -> None:
    assert reply.status_code == 400, reply.text
    assert reply.headers["content-type"] == "application/json"
    body = reply.json()
    assert body["error"]["type"] == "invalid_request_error"
    assert body["error"]["message"]
    if path.startswith(MESSAGES):
        assert ([*body], body["type"]) == (["type", "error", "request_id"], "error")
    else:
        assert [*body["error"]] == ["message", "type", "param", "code"]


@pytest.mark.parametrize("family", ["native", "layered"])
@cases
def test_what_makes_no_sense_is_refused(
    client: httpx.Client, family: str, path: str, more: dict[str, Any]
) -> None:
    body = {"model": f"{family}-plain", **LEAST[path], **more}
    check(client.post(path, json=body), path)
    if not path.endswith("/count_tokens"):
        check(client.post(path, json={**body, "stream": True}), path)


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
def test_a_format_that_nothing_satisfies_is_refused(client: httpx.Client, path: str) -> None:
    body = {"model": "native-plain", "messages": HI, "prompt": "hi", "format": EMPTY}
    reply = client.post(path, json=body)
    words = "the format: JSON schema error at #: minLength 5 is above maxLength 2"
    assert (reply.status_code, reply.json()) == (400, {"error": words})


@pytest.mark.parametrize("value", VECTORS)
def test_what_is_no_text_has_no_vector(client: httpx.Client, value: Any) -> None:
    check(client.post(EMBEDDINGS, json={"model": "embedding", "input": value}), EMBEDDINGS)


@pytest.mark.parametrize("path", [*LEAST])
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"nonsense", b'"text"', b"\xff"])
def test_a_body_that_is_no_object_is_refused(client: httpx.Client, path: str, data: bytes) -> None:
    check(client.post(path, content=data), path)


def test_two_ways_to_bind_a_reply_are_one_too_many(client: httpx.Client) -> None:
    both = {"grammar": 'root ::= "a"', "json_schema": {"type": "object"}}
    for path in (CHAT, COMPLETIONS):
        for model in ("native-plain", "layered-plain"):
            check(client.post(path, json={"model": model, **LEAST[path], **both}), path)


@pytest.mark.parametrize("family", ["native", "layered"])
@pytest.mark.parametrize(
    "more",
    [
        {"chat_format": 99},
        {"chat_parser": "x"},
        {"generation_prompt": 5},
        {"reasoning_in_content": "x"},
        {"grammar_lazy": True},
        {"id_slot": 99},
        {"lora": 5},
        {"n_predict": 1},
        {"samplers": 5},
        {"response_format": {}},
    ],
)
def test_the_workings_of_an_engine_are_no_clients_business(
    client: httpx.Client, family: str, more: dict[str, Any]
) -> None:
    body = {"model": f"{family}-plain", "messages": HI, **more}
    reply = client.post(CHAT, json=body).json()
    assert reply["choices"][0]["message"] == {"role": "assistant", "content": PLAIN.text}
