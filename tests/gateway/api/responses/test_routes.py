"""The Responses API over a scripted engine: replies, and what is stored of them."""

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.api.responses.routes import page
from gateway.errors import Invalid
from gateway.store.responses import Responses
from runners.build.scripted_model import CHATML
from tests.fakes.server import ABLE, Gateway, open_gateway

pytestmark = pytest.mark.anyio

PATH = "/v1/responses"
# A template that no TEMPLATE is known for, so that the engine renders the chats itself.
OWN = f"{{# {'nobody knows it ' * 9}#}}{CHATML}"
TEXT = "Hello from the fake engine."
ADD = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}}


USER = {"role": "user", "content": "so"}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with open_gateway() as gateway:
        store = Responses(tmp_path / "responses.db", lifetime=1e6, room=1 << 20)
        gateway.services.responses = store
        gateway.add(template=OWN)
        yield gateway
        store.close()


async def ask(gateway: Gateway, **body: Any) -> Any:
    reply = await gateway.client.post(PATH, json={"model": "m", "input": "hi", **body})
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/json"
    return reply.json()


async def refusal(gateway: Gateway, **body: Any) -> tuple[int, str]:
    reply = await gateway.client.post(PATH, json={"model": "m", "input": "hi", **body})
    return refused(reply)


def refused(reply: httpx.Response) -> tuple[int, str]:
    """Status and message; the rest of the envelope is checked."""
    kinds = {400: "invalid_request_error", 404: "not_found_error"}
    error = reply.json()["error"]
    kind = kinds.get(reply.status_code, "api_error")
    assert error == {"message": error["message"], "type": kind, "param": None, "code": None}
    return reply.status_code, error["message"]


def events(reply: httpx.Response) -> list[Any]:
    *blocks, nothing = reply.text.split("\n\n")
    assert nothing == ""
    return [json.loads(block.partition("\ndata: ")[2]) for block in blocks]


async def engine_chat(gateway: Gateway) -> Any:
    """The last body of a chat that the engine was sent."""
    seen = await gateway.engine()
    pairs = zip(seen["paths"], seen["requests"], strict=True)
    return [body for path, body in pairs if path == "/v1/chat/completions"][-1]


async def conversation(gateway: Gateway) -> list[tuple[str, str]]:
    return [(m["role"], m["content"]) for m in (await engine_chat(gateway))["messages"]]


async def test_an_answer_in_one_object(gateway: Gateway) -> None:
    reply = await ask(gateway)
    assert reply["id"].startswith("resp_")
    assert (reply["object"], reply["status"], reply["model"]) == ("response", "completed", "m")
    (item,) = reply["output"]
    assert item["content"][0]["text"] == TEXT
    assert await conversation(gateway) == [("user", "hi")]


async def test_an_answer_event_by_event(gateway: Gateway) -> None:
    reply = await gateway.client.post(PATH, json={"model": "m", "input": "hi", "stream": True})
    assert reply.headers["content-type"] == "text/event-stream"
    written = events(reply)
    deltas = [event["delta"] for event in written if event["type"].endswith("text.delta")]
    assert "".join(deltas) == TEXT
    assert (written[0]["type"], written[-1]["type"]) == ("response.created", "response.completed")
    assert written[-1]["response"]["output"][0]["content"][0]["text"] == TEXT


async def test_sampling_reaches_the_engine(gateway: Gateway) -> None:
    await ask(gateway, temperature=0.25, max_output_tokens=7)
    body = await engine_chat(gateway)
    assert (body["temperature"], body["n_predict"]) == (0.25, 7)
    await ask(gateway)
    assert (await engine_chat(gateway))["temperature"] == 1.0


async def test_models_that_cannot(gateway: Gateway) -> None:
    full = "registry.ollama.ai/library/m:latest"
    assert await refusal(gateway, tools=[ADD]) == (400, f"{full} does not support tools")
    assert await refusal(gateway, reasoning={"effort": "low"}) == (
        400,
        '"m" does not support thinking',
    )
    assert await refusal(gateway, model="nope") == (404, "model 'nope' not found")


@pytest.mark.parametrize("name", [None, "", " "])
async def test_a_model_is_required(gateway: Gateway, name: str | None) -> None:
    assert await refusal(gateway, model=name) == (400, "model is required")


async def test_what_is_refused_has_the_envelope_of_openai(gateway: Gateway) -> None:
    assert await refusal(gateway, input=None) == (400, "input is required")
    status, message = await refusal(gateway, background=True)
    assert (status, message[:30]) == (400, "'background' is not supported:")
    assert refused(await gateway.client.post(PATH, content=b"")) == (400, "missing request body")


async def test_functions_are_offered(gateway: Gateway) -> None:
    gateway.add("able", template=ABLE)
    await ask(gateway, model="able", tools=[ADD], tool_choice="required")
    body = await engine_chat(gateway)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["add"]
    assert body["tool_choice"] == "required"


async def test_tools_that_a_server_would_need_are_left_out(gateway: Gateway) -> None:
    gateway.add("able", template=ABLE)
    reply = await ask(gateway, model="able", tools=[{"type": "web_search"}, ADD])
    assert [tool["name"] for tool in reply["tools"]] == ["add"]
    assert [tool["function"]["name"] for tool in (await engine_chat(gateway))["tools"]] == ["add"]
    await ask(gateway, tools=[{"type": "web_search"}])
    assert "tools" not in await engine_chat(gateway)


async def test_tools_of_earlier_responses_are_still_there(gateway: Gateway) -> None:
    gateway.add("able", template=ABLE)
    more = {"type": "additional_tools", "role": "developer", "tools": [ADD]}
    first = await ask(gateway, model="able", input=[more, USER])
    await ask(gateway, model="able", previous_response_id=first["id"])
    assert [tool["function"]["name"] for tool in (await engine_chat(gateway))["tools"]] == ["add"]


async def test_a_conversation_goes_on_from_what_was_stored(gateway: Gateway) -> None:
    first = await ask(gateway, instructions="Be brief.")
    body = {"model": "m", "input": "more", "previous_response_id": first["id"], "stream": True}
    second = events(await gateway.client.post(PATH, json=body))[-1]["response"]
    assert second["previous_response_id"] == first["id"]
    await ask(gateway, input="and more", previous_response_id=second["id"])
    assert await conversation(gateway) == [
        ("user", "hi"),
        ("assistant", TEXT),
        ("user", "more"),
        ("assistant", TEXT),
        ("user", "and more"),
    ]


async def test_a_conversation_that_is_not_there(gateway: Gateway) -> None:
    gone = "Previous response with id 'resp_1' not found."
    assert await refusal(gateway, previous_response_id="resp_1") == (400, gone)


async def test_an_item_is_referred_to(gateway: Gateway) -> None:
    (item,) = (await ask(gateway))["output"]
    again = await ask(gateway, input=[{"type": "item_reference", "id": item["id"]}, USER])
    assert await conversation(gateway) == [("assistant", TEXT), ("user", "so")]
    items = (await gateway.client.get(f"{PATH}/{again['id']}/input_items?order=asc")).json()
    assert items["data"][0] == item


async def test_an_item_that_is_not_there(gateway: Gateway) -> None:
    given = [{"type": "item_reference", "id": "msg_1"}]
    assert await refusal(gateway, input=given) == (400, "Item with id 'msg_1' not found.")


async def test_a_stored_response_is_shown_and_deleted(gateway: Gateway) -> None:
    reply = await ask(gateway, store=True, metadata={"a": "b"})
    place = f"{PATH}/{reply['id']}"
    shown = await gateway.client.get(place)
    assert shown.json() == {**reply, "store": True}
    gone = await gateway.client.delete(place)
    assert gone.json() == {"id": reply["id"], "object": "response", "deleted": True}
    missing = (404, f"Response with id '{reply['id']}' not found.")
    assert refused(await gateway.client.get(place)) == missing
    assert refused(await gateway.client.delete(place)) == missing
    assert refused(await gateway.client.get(f"{place}/input_items")) == missing


async def test_a_stored_response_is_not_streamed(gateway: Gateway) -> None:
    place = f"{PATH}/{(await ask(gateway))['id']}"
    status, message = refused(await gateway.client.get(f"{place}?stream=true"))
    assert (status, message[:25]) == (400, "'stream' is not supported")
    assert (await gateway.client.get(f"{place}?stream=false")).status_code == 200


@pytest.mark.parametrize("name", ["include", "include[]"])
async def test_a_stored_response_includes_nothing_else(gateway: Gateway, name: str) -> None:
    place = f"{PATH}/{(await ask(gateway))['id']}"
    for path in (place, f"{place}/input_items"):
        known = await gateway.client.get(path, params={name: "message.output_text.logprobs"})
        assert known.json() == (await gateway.client.get(path)).json()
        unknown = await gateway.client.get(path, params={name: "x"})
        assert refused(unknown) == (400, "invalid 'include': 'x'")


async def test_nothing_is_stored_that_the_client_does_not_want_stored(gateway: Gateway) -> None:
    reply = await ask(gateway, store=False)
    assert (await gateway.client.get(f"{PATH}/{reply['id']}")).status_code == 404


async def test_a_server_that_stores_nothing(gateway: Gateway) -> None:
    gateway.services.responses = None
    reply = await ask(gateway, store=True)
    assert (await gateway.client.get(f"{PATH}/{reply['id']}")).status_code == 404
    unable = "'previous_response_id' is not supported: this server stores no responses"
    assert await refusal(gateway, previous_response_id=reply["id"]) == (400, unable)
    given = [{"type": "item_reference", "id": "msg_1"}]
    assert await refusal(gateway, input=given) == (400, "Item with id 'msg_1' not found.")


async def test_an_answer_that_cannot_be_stored_is_given_all_the_same(
    gateway: Gateway, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    bad = Responses(tmp_path / "file" / "responses.db", lifetime=1.0, room=9000)
    for store, why in (
        (bad, "is not stored: stored responses cannot be used"),
        (Responses(tmp_path / "small.db", lifetime=1.0, room=10), "is larger than all the room"),
    ):
        gateway.services.responses = store
        with caplog.at_level(logging.WARNING):
            assert (await ask(gateway))["status"] == "completed"
        assert why in caplog.text
        store.close()
    gateway.services.responses = bad
    assert (await gateway.client.get(f"{PATH}/resp_1")).status_code == 503


async def test_input_items_come_in_pages(gateway: Gateway) -> None:
    given = [{"role": "user", "content": text, "id": f"msg_{text}"} for text in "abc"]
    reply = await ask(gateway, input=given)
    place = f"{PATH}/{reply['id']}/input_items"
    first = (await gateway.client.get(f"{place}?limit=2")).json()
    assert [item["id"] for item in first["data"]] == ["msg_c", "msg_b"]
    assert (first["first_id"], first["last_id"], first["has_more"]) == ("msg_c", "msg_b", True)
    rest = (await gateway.client.get(f"{place}?limit=2&after=msg_b")).json()
    assert ([item["id"] for item in rest["data"]], rest["has_more"]) == (["msg_a"], False)


def test_a_page_of_nothing() -> None:
    nothing: dict[str, Any] = {"object": "list", "data": [], "first_id": None, "last_id": None}
    assert page([], {}) == {**nothing, "has_more": False}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"limit": "0"}, "'limit' must be between 1 and 100"),
        ({"limit": "101"}, "'limit' must be between 1 and 100"),
        ({"limit": "1" * 5000}, "'limit' must be between 1 and 100"),
        ({"limit": "x"}, "'limit' must be between 1 and 100"),
        ({"order": "up"}, "'order' must be asc or desc"),
        ({"after": "x"}, "'after' names 'x', which is not in the list"),
    ],
)
def test_pages_that_are_not_there(query: dict[str, str], message: str) -> None:
    with pytest.raises(Invalid) as caught:
        page([{"id": "a"}], query)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", PATH, "POST"),
        ("POST", f"{PATH}/resp_1", "GET, DELETE"),
        ("HEAD", f"{PATH}/resp_1", "GET, DELETE"),
        ("DELETE", f"{PATH}/resp_1/input_items", "GET"),
    ],
)
async def test_other_methods(gateway: Gateway, method: str, path: str, allowed: str) -> None:
    reply = await gateway.client.request(method, path)
    assert (reply.status_code, reply.headers["allow"]) == (405, allowed)
