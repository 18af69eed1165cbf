"""Messages and the counting of their tokens in Anthropic's API."""

import json
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.fakes.engine import PICTURE, split
from tests.fakes.prompts import BMP, LAYER, PNG
from tests.fakes.server import ABLE, Gateway, open_gateway

pytestmark = pytest.mark.anyio

HI = {"role": "user", "content": "hi"}
TEXT = "Hello from the fake engine."
MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
EMBEDDER = {"llama.pooling_type": 1}
# So long that it is taken for no other template: the engine makes the prompt by itself.
OWN = "{#- " + "The chat template of a model that nobody knows. " * 9 + "-#}" + ABLE
TOOLS = [{"name": "add", "input_schema": {"type": "object"}}]


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with open_gateway() as gateway:
        yield gateway


async def ask(gateway: Gateway, path: str = MESSAGES, **body: Any) -> httpx.Response:
    body = {"model": "m", "max_tokens": 50, "messages": [HI], **body}
    return await gateway.client.post(path, json=body)


def refusal(response: httpx.Response) -> tuple[int, str]:
    """Status and message; the rest of the envelope is checked."""
    kinds = {400: "invalid_request_error", 403: "permission_error", 404: "not_found_error"}
    value = response.json()
    error = value["error"]
    assert error == {"type": kinds[response.status_code], "message": error["message"]}
    ident = f"req_{response.headers['x-request-id']}"
    assert value == {"type": "error", "error": error, "request_id": ident}
    assert response.headers["request-id"] == ident
    assert response.headers["content-type"] == "application/json"
    return response.status_code, error["message"]


async def engine_body(gateway: Gateway, path: str = "/v1/chat/completions") -> Any:
    """The last body that the engine was sent at `path`."""
    seen = await gateway.engine()
    sent = zip(seen["paths"], seen["requests"], strict=True)
    return [body for at, body in sent if at == path][-1]


# ---- refused


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"model": None}, 400, "model is required"),
        ({"model": "nope"}, 404, "model 'nope' not found"),
        ({"model": "nope", "messages": []}, 400, "messages is required"),
        ({"model": "a b"}, 400, "invalid model name"),
        ({"model": "m:cloud"}, 403, "ollama cloud is disabled: remote model is unavailable"),
        ({"tools": TOOLS}, 400, "registry.ollama.ai/library/m:latest does not support tools"),
        ({"mcp_servers": [{}]}, 400, "mcp_servers: not supported: there is no MCP client"),
    ],
)
async def test_both_refuse_what_cannot_be_had(
    gateway: Gateway, body: dict[str, Any], status: int, message: str
) -> None:
    gateway.add()
    for path in (MESSAGES, COUNT):
        assert refusal(await ask(gateway, path, **body)) == (status, message)
    assert gateway.scheduler.snapshot().runners == ()


async def test_a_model_that_only_embeds_cannot_chat(gateway: Gateway) -> None:
    gateway.add("e", metadata=EMBEDDER)
    assert refusal(await ask(gateway, model="E")) == (400, '"E" does not support chat')


async def test_a_limit_is_needed_to_write_and_not_to_count(gateway: Gateway) -> None:
    gateway.add()
    message = "max_tokens is required and must be positive"
    assert refusal(await ask(gateway, max_tokens=None)) == (400, message)
    assert (await ask(gateway, COUNT, max_tokens=None)).status_code == 200


async def test_a_prompt_that_is_too_long_is_reported_so_that_clients_shorten_it(
    gateway: Gateway,
) -> None:
    gateway.add()
    long = [HI, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "a " * 2000}]
    for stream in (False, True):
        status, message = refusal(await ask(gateway, messages=long, stream=stream))
        overflow = re.fullmatch(r"prompt is too long: (\d+) tokens > 1024 maximum", message)
        assert overflow
        assert (status, int(overflow[1]) >= 2000) == (400, True)


async def test_an_error_of_the_engine_has_the_same_envelope() -> None:
    async with open_gateway("--error-after", "0") as gateway:
        gateway.add()
        response = await ask(gateway)
        assert response.status_code == 500
        assert response.json()["error"]["type"] == "api_error"
        assert response.json()["request_id"] == response.headers["request-id"]


async def test_an_error_in_a_stream_is_its_last_event() -> None:
    async with open_gateway("--error-after", "2") as gateway:
        gateway.add()
        response = await ask(gateway, stream=True)
        *_, last, nothing = response.text.split("\n\n")
        name, data = last.split("\n")
        assert (response.status_code, name, nothing) == (200, "event: error", "")
        value = json.loads(data.removeprefix("data: "))
        assert value["error"]["type"] == "api_error"
        assert value["request_id"] == response.headers["request-id"]


# ---- answered


async def test_a_whole_message(gateway: Gateway) -> None:
    gateway.add(template=OWN)
    response = await ask(gateway, model="library/M:latest")
    reply = response.json()
    assert response.headers["content-type"] == "application/json"
    assert response.headers["request-id"] == f"req_{response.headers['x-request-id']}"
    assert reply["id"].startswith("msg_")
    assert (reply["model"], reply["stop_reason"]) == ("library/M:latest", "end_turn")
    assert reply["content"] == [{"type": "text", "text": TEXT}]
    assert (reply["usage"]["input_tokens"], reply["usage"]["output_tokens"]) == (1, 6)
    sent = await engine_body(gateway)
    assert (sent["messages"], sent["n_predict"]) == ([HI], 50)


async def test_a_streamed_message(gateway: Gateway) -> None:
    gateway.add()
    response = await ask(gateway, stream=True)
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["request-id"] == f"req_{response.headers['x-request-id']}"
    *blocks, nothing = response.text.split("\n\n")
    assert nothing == ""
    events = [json.loads(event.partition("\ndata: ")[2]) for event in blocks]
    assert "".join(e["delta"]["text"] for e in events if e["type"] == "content_block_delta") == TEXT
    assert [event["type"] for event in (events[0], events[-1])] == ["message_start", "message_stop"]
    assert events[-2]["usage"]["output_tokens"] == 6


async def test_ids_are_never_the_same(gateway: Gateway) -> None:
    gateway.add()
    replies = [await ask(gateway) for _ in range(3)]
    assert len({reply.json()["id"] for reply in replies}) == 3
    assert len({reply.headers["request-id"] for reply in replies}) == 3


async def test_headers_and_queries_of_anthropics_clients_are_not_looked_at(
    gateway: Gateway,
) -> None:
    gateway.add()
    body = {"model": "m", "max_tokens": 5, "messages": [HI]}
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01", "anthropic-beta": "x-1,y-2"}
    for path in (MESSAGES, COUNT):
        reply = await gateway.client.post(f"{path}?beta=true", json=body, headers=headers)
        assert reply.status_code == 200


async def test_what_the_model_sets_lies_under_the_request(gateway: Gateway) -> None:
    gateway.add(
        template=OWN, system="S", parameters={"temperature": 0.1, "top_k": 7, "stop": ["A"]}
    )
    await ask(gateway, top_k=3)
    sent = await engine_body(gateway)
    assert sent["messages"] == [{"role": "system", "content": "S"}, HI]
    assert (sent["temperature"], sent["top_k"], sent["stop"]) == (0.1, 3, ["A"])
    await ask(gateway, system="mine", stop_sequences=["B"])
    sent = await engine_body(gateway)
    assert sent["messages"] == [{"role": "system", "content": "mine"}, HI]
    assert sent["stop"] == ["B"]


async def test_a_wish_to_think_is_granted_to_those_who_can(gateway: Gateway) -> None:
    gateway.add("plain")
    gateway.add("able", template=OWN)
    thinking = {"type": "enabled", "budget_tokens": 9}
    await ask(gateway, model="able", thinking=thinking)
    sent = await engine_body(gateway)
    assert sent["chat_template_kwargs"] == {"enable_thinking": True}
    assert sent["thinking_budget_tokens"] == 9
    assert (await ask(gateway, model="plain", thinking=thinking)).json()["content"][0][
        "text"
    ] == TEXT


async def test_unknown_fields_are_named_in_the_log(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.add()
    with caplog.at_level(logging.INFO, "gateway.api.anthropic.routes"):
        assert (await ask(gateway, zeta=1, alpha=2, metadata={})).status_code == 200
    assert [record.getMessage() for record in caplog.records] == ["ignored fields: alpha, zeta"]


# ---- counted


async def test_tokens_are_counted_without_a_reply(gateway: Gateway) -> None:
    gateway.add(template=OWN, system="S")
    response = await ask(gateway, COUNT)
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["input_tokens"]
    assert response.json()["input_tokens"] > 0
    assert response.headers["request-id"] == f"req_{response.headers['x-request-id']}"
    system = {"role": "system", "content": "S"}
    assert (await engine_body(gateway, "/v1/chat/completions/input_tokens"))["messages"] == [
        system,
        HI,
    ]
    assert "/v1/chat/completions" not in (await gateway.engine())["paths"]


def picture(data: str, media_type: str = "image/png") -> dict[str, Any]:
    source = {"type": "base64", "media_type": media_type, "data": data}
    return {"type": "image", "source": source}


async def test_images_before_a_template_are_counted_as_in_a_chat_of_them_alone(
    gateway: Gateway,
) -> None:
    sight = {"llama.vision.block_count": 1}
    gateway.add("seeing", template=None, layer=LAYER, metadata=sight)
    content = [picture(PNG), {"type": "text", "text": "and"}, picture(BMP, "image/bmp")]
    messages = [{"role": "user", "content": [*content, {"type": "text", "text": "?"}]}]
    reply = await ask(gateway, COUNT, model="seeing", messages=messages)
    texts = ["user: ", "and", "? \nassistant: "]
    begin_of_text = 1
    assert reply.json() == {
        "input_tokens": begin_of_text + sum(len(split(text)) for text in texts) + 2 * PICTURE
    }
    (alone,) = (await engine_body(gateway, "/v1/chat/completions/input_tokens"))["messages"]
    urls = [part["image_url"]["url"] for part in alone["content"]]
    assert urls == [f"data:image/png;base64,{PNG}", f"data:image/bmp;base64,{BMP}"]
    assert "/completion" not in (await gateway.engine())["paths"]


async def test_images_that_go_nowhere_are_not_counted(gateway: Gateway) -> None:
    sight = {"llama.vision.block_count": 1}
    gateway.add("careless", template=None, layer="So: {{ .System }}", metadata=sight)
    messages = [{"role": "user", "content": [picture(PNG)]}]
    for system, count in (("a b c", 5), ("", 2)):
        reply = await ask(gateway, COUNT, model="careless", messages=messages, system=system)
        assert reply.json() == {"input_tokens": count}


async def test_what_the_model_cannot_see_is_not_counted_either(gateway: Gateway) -> None:
    gateway.add()
    messages = [{"role": "user", "content": [picture(PNG)]}]
    for path in (MESSAGES, COUNT):
        refused = refusal(await ask(gateway, path, messages=messages))
        assert refused == (400, "this model does not support image input")
