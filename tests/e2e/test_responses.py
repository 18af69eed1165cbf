"""The Responses API as the official client uses it, through the real engine."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pydantic
import pytest
from openai import (
    AsyncOpenAI,
    BadRequestError,
    DefaultAsyncHttpxClient,
    DefaultHttpxClient,
    NotFoundError,
    OpenAI,
    pydantic_function_tool,
)
from openai._models import validate_type
from openai.types.responses import Response, ResponseFailedEvent, ResponseIncompleteEvent

from tests.e2e.conftest import Start
from tests.fakes.process import Gateway
from tests.fakes.scripts import JSON, PLAIN, THINKING, TOOLS, WEATHER, Scripted, create

pytestmark = pytest.mark.engine

FUNCTION: Any = WEATHER["function"]
TOOL: Any = {"type": "function", **FUNCTION, "strict": False}
HI: Any = [{"role": "user", "content": "hi"}]
# Says something, then calls: the text is not lost.
CHATTY = Scripted(
    (
        "I look. ",
        "<tool_call>",
        '\n{"name": "weather", "arguments": {"city": "Rome"}}',
        "\n</tool_call>",
    ),
    template=TOOLS.template,
)


class Answer(pydantic.BaseModel):
    answer: int


class Weather(pydantic.BaseModel):
    city: str


def connect(gateway: Gateway) -> OpenAI:
    http = DefaultHttpxClient(trust_env=False)
    return OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0, http_client=http)


@pytest.fixture
def openai(served: Gateway) -> Iterator[OpenAI]:
    url = f"{served.url}/v1"
    with OpenAI(
        base_url=url, api_key="none", max_retries=0, http_client=DefaultHttpxClient(trust_env=False)
    ) as client:
        yield client


def checked(response: Any) -> Any:
    """The response, after a strict look at its types."""
    validate_type(type_=Response, value=response.to_dict())
    return response


def test_a_response(openai: OpenAI) -> None:
    response = checked(openai.responses.create(model="plain", input="hi"))
    assert (response.output_text, response.status) == (PLAIN.text, "completed")
    assert response.usage.output_tokens == len(PLAIN.pieces) + 1
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


async def _texts(url: str) -> tuple[str, str]:
    http = DefaultAsyncHttpxClient(trust_env=False)
    async with AsyncOpenAI(base_url=url, api_key="none", http_client=http) as client:
        whole = await client.responses.create(model="plain", input=HI)
        pieces = [
            event.delta
            async for event in await client.responses.create(model="plain", input=HI, stream=True)
            if event.type == "response.output_text.delta"
        ]
        return whole.output_text, "".join(pieces)


@pytest.mark.anyio
async def test_the_asynchronous_client(served: Gateway) -> None:
    assert await _texts(f"{served.url}/v1") == (PLAIN.text, PLAIN.text)


def test_events_come_as_the_words_do(openai: OpenAI) -> None:
    events = list(openai.responses.create(model="plain", input="hi", stream=True))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert deltas == list(PLAIN.pieces)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    assert checked(events[-1].response).output_text == PLAIN.text


def test_the_helper_for_streams(openai: OpenAI) -> None:
    with openai.responses.stream(model="thinking", input="hi") as stream:
        kinds = [event.type for event in stream]
        response = checked(stream.get_final_response())
    assert "response.reasoning_summary_text.delta" in kinds
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.output[0].summary[0].text == "Let me see.\n"
    assert response.output_text == "It is 4."


@pytest.mark.parametrize("model", ["empty", "tools", "plain"])
def test_the_helpers_accounts_come_out_even(openai: OpenAI, model: str) -> None:
    tools = [TOOL] if model == "tools" else []
    with openai.responses.stream(model=model, input="hi", tools=tools) as stream:
        stream.until_done()
        streamed = checked(stream.get_final_response())
    whole = openai.responses.create(model=model, input="hi", tools=tools)
    assert streamed.output_text == whole.output_text
    kinds = [item.type for item in whole.output]
    assert [item.type for item in streamed.output] == ([] if model == "empty" else kinds)


def test_an_answer_of_a_given_shape(openai: OpenAI) -> None:
    response = openai.responses.parse(model="json", input="hi", text_format=Answer)
    assert response.output_text == JSON.text
    assert response.output_parsed == Answer(answer=42)
    with openai.responses.stream(model="json", input="hi", text_format=Answer) as stream:
        assert stream.get_final_response().output_parsed == Answer(answer=42)


def test_a_format_is_kept_to(openai: OpenAI) -> None:
    form: Any = {"format": {"type": "json_object"}}
    response = openai.responses.create(model="plain", input="hi", text=form, max_output_tokens=40)
    assert response.output_text.lstrip().startswith("{")


def test_a_function_is_called_and_its_result_sent_back(openai: OpenAI) -> None:
    first = openai.responses.create(model="tools", input=HI, tools=[TOOL])
    (call,) = checked(first).output
    assert call.type == "function_call"
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Paris"})
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "18"}
    given: Any = [*HI, *(item.to_dict() for item in first.output), result]
    again = openai.responses.create(model="tools", input=given)
    assert again.status == "completed"
    assert again.usage is not None
    assert first.usage is not None
    linked = openai.responses.create(model="tools", input=[result], previous_response_id=first.id)
    assert linked.usage is not None
    assert linked.usage.input_tokens == again.usage.input_tokens


def test_a_function_of_a_model(openai: OpenAI) -> None:
    tool: Any = pydantic_function_tool(Weather, name="weather")
    flat: Any = {"type": "function", **tool["function"]}
    response = openai.responses.parse(model="tools", input="hi", tools=[flat])
    (call,) = response.output
    assert call.type == "function_call"
    assert json.loads(call.arguments) == {"city": "Paris"}


def test_a_function_that_must_not_be_called(openai: OpenAI) -> None:
    response = openai.responses.create(model="tools", input="hi", tools=[TOOL], tool_choice="none")
    assert [item.type for item in response.output] == ["message"]


def test_log_probabilities(openai: OpenAI) -> None:
    response = openai.responses.create(
        model="plain", input="hi", include=["message.output_text.logprobs"], top_logprobs=2
    )
    (item,) = checked(response).output
    assert item.type == "message"
    (part,) = item.content
    assert part.type == "output_text"
    assert part.logprobs is not None
    entries = [entry for entry in part.logprobs if entry.token]
    assert [entry.token for entry in entries][: len(PLAIN.pieces)] == list(PLAIN.pieces)
    assert {len(entry.top_logprobs) for entry in entries} == {2}


def test_a_limit_makes_it_incomplete(openai: OpenAI) -> None:
    response = checked(openai.responses.create(model="endless", input="hi", max_output_tokens=3))
    assert (response.status, response.output_text) == ("incomplete", "tick tack tock ")
    assert response.incomplete_details.reason == "max_output_tokens"
    with openai.responses.stream(model="endless", input="hi", max_output_tokens=3) as stream:
        *_, last = stream
    assert isinstance(last, ResponseIncompleteEvent)
    assert checked(last.response).output_text == "tick tack tock "


def test_thinking_can_be_switched_off(openai: OpenAI) -> None:
    response = openai.responses.create(model="thinking", input="hi", reasoning={"effort": "none"})
    assert [item.type for item in response.output] == ["message"]
    assert response.output_text.strip() == "".join(THINKING.more["side"])


def test_a_conversation_that_is_stored(openai: OpenAI) -> None:
    first = openai.responses.create(model="plain", input="hi", metadata={"a": "b"})
    second = openai.responses.create(
        model="plain", input="and then?", previous_response_id=first.id
    )
    assert second.previous_response_id == first.id
    history: Any = [*HI, {"role": "assistant", "content": PLAIN.text}]
    whole = openai.responses.create(
        model="plain", input=[*history, {"role": "user", "content": "and then?"}]
    )
    assert second.usage is not None
    assert whole.usage is not None
    assert second.usage.input_tokens == whole.usage.input_tokens
    assert second.usage.input_tokens_details.cached_tokens > 0

    response = checked(openai.responses.retrieve(first.id))
    assert (response.output_text, response.metadata) == (PLAIN.text, {"a": "b"})
    (item,) = openai.responses.input_items.list(first.id)
    assert item.to_dict()["content"] == [{"type": "input_text", "text": "hi"}]
    openai.responses.delete(first.id)
    for gone in (openai.responses.retrieve, openai.responses.delete):
        with pytest.raises(NotFoundError):
            gone(first.id)
    with pytest.raises(BadRequestError, match="not found"):
        openai.responses.create(model="plain", input="x", previous_response_id=second.id)


def test_input_items_are_listed_page_by_page(openai: OpenAI) -> None:
    given: Any = [{"role": "user", "content": str(number)} for number in range(25)]
    response = openai.responses.create(model="plain", input=given, max_output_tokens=1)
    listed = openai.responses.input_items.list(response.id, order="asc", limit=10)
    contents: Any = [item.to_dict()["content"] for item in listed]
    texts = [part["text"] for (part,) in contents]
    assert texts == [str(number) for number in range(25)]


def test_a_response_goes_on_after_a_restart(served: Gateway, start: Start, tmp_path: Path) -> None:
    place = tmp_path / "kept.db"
    with start(responses_file=place).client() as client:
        first = client.post("/v1/responses", json={"model": "plain", "input": "hi"}).json()
    body = {"model": "plain", "input": "more", "previous_response_id": first["id"]}
    with start(responses_file=place).client() as client:
        assert client.post("/v1/responses", json=body).json()["status"] == "completed"
    with start(store_responses=0, responses_file=place).client() as client:
        assert client.post("/v1/responses", json=body).status_code == 400


def test_an_engine_that_dies_ends_the_stream(start: Start) -> None:
    running = start()
    with connect(running) as client:
        events = client.responses.create(model="endless", input="hi", stream=True)
        first = next(event for event in events if event.type == "response.output_text.delta")
        assert first.delta == "tick "
        running.children()[0].kill()
        *_, error, last = events
    assert (error.type, last.type) == ("error", "response.failed")
    assert isinstance(last, ResponseFailedEvent)
    assert checked(last.response).error.code == "server_error"


def test_text_before_a_call_is_not_lost(
    openai: OpenAI, client: httpx.Client, tmp_path: Path
) -> None:
    create(client, "chatty", CHATTY, tmp_path)
    for response in (
        openai.responses.create(model="chatty", input="hi", tools=[TOOL]),
        _final(openai, "chatty"),
    ):
        message, call = checked(response).output
        assert (message.type, call.type) == ("message", "function_call")
        assert response.output_text.strip() == "I look."
        assert json.loads(call.arguments) == {"city": "Rome"}


def _final(openai: OpenAI, model: str) -> Any:
    with openai.responses.stream(model=model, input="hi", tools=[TOOL]) as stream:
        return stream.get_final_response()


def test_what_the_client_must_not_ask_for(openai: OpenAI) -> None:
    with pytest.raises(BadRequestError) as caught:
        openai.responses.create(model="plain", input="hi", background=True)
    assert caught.value.type == "invalid_request_error"
    with pytest.raises(BadRequestError, match="local_shell"):
        openai.responses.create(model="plain", input="hi", tools=[{"type": "local_shell"}])
    with pytest.raises(NotFoundError):
        openai.responses.create(model="nowhere", input="hi")
