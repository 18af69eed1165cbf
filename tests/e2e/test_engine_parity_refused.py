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
UNRESOLVED = {"$ref": "#/$defs/nowhere"}


def _form(schema: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}


def _messages(*messages: Any) -> dict[str, Any]:
    return {"messages": list(messages)}


def _said(content: Any, role: str = "user") -> dict[str, Any]:
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
        {"json_schema": NONSENSE},
        {"messages": None},
        {"messages": "hi"},
        _messages(123),
        _messages({}),
        _messages({"role": 123, "content": "hi"}),
        _messages({"content": "hi"}),
        _messages(*HI, {}),
        _said(123),
        _said(None),
        _said([{"type": "mystery"}]),
        _said([{"type": "text", "text": 5}]),
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
        _said("hi", role="mystery"),
        _said(5),
        _said([{"type": "mystery"}]),
        _said([{"type": "tool_result"}]),
        {"max_tokens": None},
        {"max_tokens": "x"},
        {"system": 5},
        {"stop_sequences": 5},
        {"temperature": "x"},
        {"tools": [{}]},
        {"thinking": 5},
        {"output_config": {"format": {"type": "json_schema", "schema": NONSENSE}}},
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


@pytest.mark.parametrize("value", VECTORS)
def test_what_is_no_text_has_no_vector(client: httpx.Client, value: Any) -> None:
    check(client.post(EMBEDDINGS, json={"model": "embedding", "input": value}), EMBEDDINGS)


@pytest.mark.parametrize("path", [*LEAST])
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"nonsense", b'"text"', b"\xff"])
def test_a_body_that_is_no_object_is_refused(client: httpx.Client, path: str, data: bytes) -> None:
    check(client.post(path, content=data), path)


def test_two_ways_to_bind_a_reply_are_one_too_many(client: httpx.Client) -> None:
    both = {"grammar": 'root ::= "a"', "json_schema": {"type": "object"}}
    reply = client.post(CHAT, json={"model": "native-plain", "messages": HI, **both})
    check(reply, CHAT)


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
