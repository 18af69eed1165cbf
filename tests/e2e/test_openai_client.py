"""What OpenAI's own client offers beyond single members: helpers, tools, schemas, errors."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import (
    APIStatusError,
    BadRequestError,
    LengthFinishReasonError,
    NotFoundError,
    OpenAI,
    pydantic_function_tool,
)
from openai.types.chat import (
    ChatCompletionMessage,
    ChatCompletionMessageFunctionToolCall,
    ParsedChatCompletion,
)
from pydantic import BaseModel

from tests.fakes.gpt import HI, add_all, ask, connected, message_of, output, stream, waiting
from tests.fakes.process import Gateway, eventually
from tests.fakes.scripts import ENDLESS, PLAIN, WEATHER

pytestmark = pytest.mark.engine

OTHER = {"type": "function", "function": {"name": "other", "parameters": {"type": "object"}}}
ALLOWED = {"type": "function", "function": {"name": "weather"}}
both = pytest.mark.parametrize("family", ["native", "layered"])


class Answer(BaseModel):
    answer: int


class Weather(BaseModel):
    """The weather of a city."""

    city: str


@pytest.fixture(scope="module")
def serving(served: Gateway, folder: Path) -> Gateway:
    with served.client() as client:
        add_all(client, folder)
    return served


@pytest.fixture
def gpt(serving: Gateway) -> Iterator[OpenAI]:
    with connected(serving.url) as client:
        yield client


def parsed_of(completion: ParsedChatCompletion[Any]) -> Any:
    (choice,) = completion.choices
    return choice.message.parsed


def calls_of(message: ChatCompletionMessage) -> list[tuple[str, Any]]:
    result = []
    for call in message.tool_calls or ():
        assert isinstance(call, ChatCompletionMessageFunctionToolCall)
        assert call.id
        result.append((call.function.name, json.loads(call.function.arguments)))
    return result


# Chats


@both
@pytest.mark.anyio
async def test_coroutines_get_the_same(serving: Gateway, gpt: OpenAI, family: str) -> None:
    body: Any = {"model": f"{family}-plain", "messages": HI}
    async with waiting(serving.url) as client:
        reply = await client.chat.completions.create(**body)
        chunks = [
            chunk async for chunk in await client.chat.completions.create(**body, stream=True)
        ]
        text = await client.completions.create(model=body["model"], prompt="hi")
        models = [model.id async for model in client.models.list()]
        vectors = await client.embeddings.create(model="embedding", input="a")
    assert message_of(reply).content == output(chunks) == text.choices[0].text == PLAIN.text
    assert models == [model.id for model in gpt.models.list()]
    same = gpt.embeddings.create(model="embedding", input="a")
    assert vectors.data[0].embedding == same.data[0].embedding


@both
def test_the_streaming_helper_builds_the_whole_reply(gpt: OpenAI, family: str) -> None:
    body: Any = {"model": f"{family}-plain", "messages": HI}
    with gpt.chat.completions.stream(**body, stream_options={"include_usage": True}) as events:
        seen = list(events)
    final = events.get_final_completion()
    assert [event.delta for event in seen if event.type == "content.delta"] == [*PLAIN.pieces]
    assert [event.content for event in seen if event.type == "content.done"] == [PLAIN.text]
    whole = ask(gpt, f"{family}-plain")
    assert message_of(final).content == message_of(whole).content
    assert final.choices[0].finish_reason == whole.choices[0].finish_reason == "stop"
    assert final.usage is not None
    assert whole.usage is not None
    assert final.usage.total_tokens == whole.usage.total_tokens


@both
def test_the_streaming_helper_collects_chances(gpt: OpenAI, family: str) -> None:
    body: Any = {"model": f"{family}-plain", "messages": HI, "logprobs": True}
    with gpt.chat.completions.stream(**body) as events:
        seen = [event for event in events if event.type == "logprobs.content.done"]
    (done,) = seen
    assert [entry.token for entry in done.content][:4] == [*PLAIN.pieces]


@both
def test_reasoning_is_a_member_of_its_own(gpt: OpenAI, family: str) -> None:
    name = f"{family}-thinking"
    message = message_of(ask(gpt, name)).to_dict()
    assert (message["content"], message["reasoning"]) == ("It is 4.", "Let me see.\n")
    chunks = stream(gpt, name)
    deltas = [choice.delta.to_dict() for chunk in chunks for choice in chunk.choices]
    assert "".join(str(delta.get("reasoning", "")) for delta in deltas) == "Let me see.\n"
    assert output(chunks) == "It is 4."
    assert "reasoning" not in message_of(ask(gpt, name, reasoning_effort="none")).to_dict()


@both
def test_a_reply_is_fit_to_be_sent_again(gpt: OpenAI, family: str) -> None:
    """The client's own objects go back as they came."""
    first = ask(gpt, f"{family}-thinking")
    again: Any = [*HI, message_of(first), {"role": "user", "content": "Sure?"}]
    second = ask(gpt, f"{family}-thinking", messages=again)
    assert message_of(second).content == "It is 4."
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.prompt_tokens > first.usage.prompt_tokens


# Objects


@both
def test_a_reply_is_parsed(gpt: OpenAI, family: str) -> None:
    body: Any = {"model": f"{family}-json", "messages": HI, "response_format": Answer}
    parsed = gpt.chat.completions.parse(**body)
    assert parsed_of(parsed) == Answer(answer=42)
    with gpt.chat.completions.stream(**body) as events:
        done = [event.parsed for event in events if event.type == "content.done"]
    assert done == [Answer(answer=42)]
    assert parsed_of(events.get_final_completion()) == Answer(answer=42)


@both
def test_a_schema_binds_a_model_that_would_say_something_else(gpt: OpenAI, family: str) -> None:
    class Yes(BaseModel):
        sure: bool

    name = f"{family}-plain"
    # The seed: blanks before an object are allowed, and as likely as the object.
    body: Any = {"model": name, "messages": HI, "response_format": Yes, "seed": 1}
    parsed = gpt.chat.completions.parse(**body)
    assert isinstance(parsed_of(parsed), Yes)
    form = {"type": "json_object"}
    reply = ask(gpt, name, response_format=form, max_tokens=99, seed=1)
    assert (message_of(reply).content or "").startswith("{")


@both
def test_an_object_that_is_cut_is_an_error_of_the_client(gpt: OpenAI, family: str) -> None:
    body: Any = {"model": f"{family}-json", "messages": HI, "response_format": Answer}
    with pytest.raises(LengthFinishReasonError) as caught:
        gpt.chat.completions.parse(**body, max_tokens=1)
    assert message_of(caught.value.completion).content == '{"answer": '


# Tools


@both
@pytest.mark.parametrize(
    "choice",
    [
        "auto",
        "required",
        ALLOWED,
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [ALLOWED]}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [ALLOWED]}},
    ],
    ids=["auto", "required", "named", "allowed", "allowed and required"],
)
@pytest.mark.parametrize("parallel", [True, False])
def test_a_tool_is_called(gpt: OpenAI, family: str, choice: Any, parallel: bool) -> None:
    body = {
        "tools": [WEATHER, OTHER],
        "tool_choice": choice,
        "parallel_tool_calls": parallel,
    }
    (result,) = ask(gpt, f"{family}-agent", **body).choices
    assert calls_of(result.message) == [("weather", {"city": "Paris"})]
    assert result.finish_reason == "tool_calls"
    chunks = stream(gpt, f"{family}-agent", **body)
    pieces = [
        piece
        for chunk in chunks
        for choice in chunk.choices
        for piece in choice.delta.tool_calls or ()
    ]
    functions = [piece.function for piece in pieces if piece.function]
    assert [function.name for function in functions if function.name] == ["weather"]
    arguments = "".join(function.arguments or "" for function in functions)
    assert json.loads(arguments) == {"city": "Paris"}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


@both
def test_several_tools_are_called_at_once(gpt: OpenAI, family: str) -> None:
    cities = [("weather", {"city": "Paris"}), ("weather", {"city": "Rome"})]
    name = f"{family}-parallel"
    assert calls_of(message_of(ask(gpt, name, tools=[WEATHER]))) == cities
    body: Any = {"model": name, "messages": HI, "tools": [WEATHER]}
    with gpt.chat.completions.stream(**body) as events:
        final = events.get_final_completion()
    assert calls_of(message_of(final)) == cities
    idents = [call.id for call in message_of(final).tool_calls or ()]
    assert len(set(idents)) == 2


@both
def test_one_tool_at_most_is_called_where_the_client_says_so(gpt: OpenAI, family: str) -> None:
    body: Any = {
        "model": f"{family}-parallel",
        "messages": HI,
        "tools": [WEATHER],
        "parallel_tool_calls": False,
    }
    with gpt.chat.completions.stream(**body) as events:
        final = events.get_final_completion()
    for reply in (final, ask(gpt, **body)):
        assert calls_of(message_of(reply)) == [("weather", {"city": "Paris"})]
        assert reply.choices[0].finish_reason == "tool_calls"


@both
def test_no_tool_is_called_where_none_may_be(gpt: OpenAI, family: str) -> None:
    (result,) = ask(gpt, f"{family}-agent", tools=[WEATHER], tool_choice="none").choices
    assert result.message.tool_calls is None
    assert result.finish_reason == "stop"


@both
def test_a_choice_that_names_no_tool_is_refused(gpt: OpenAI, family: str) -> None:
    with pytest.raises(BadRequestError, match="names 'weather', which is not among the tools"):
        ask(gpt, f"{family}-agent", tools=[OTHER], tool_choice=ALLOWED)


@both
def test_a_tool_that_is_a_class_is_called_with_an_object(gpt: OpenAI, family: str) -> None:
    tools = [pydantic_function_tool(Weather, name="weather")]
    body: Any = {"model": f"{family}-agent", "messages": HI, "tools": tools}
    calls = gpt.chat.completions.parse(**body).choices[0].message.tool_calls
    assert calls is not None
    (call,) = calls
    assert call.function.parsed_arguments == Weather(city="Paris")
    with gpt.chat.completions.stream(**body) as events:
        done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert [event.parsed_arguments for event in done] == [Weather(city="Paris")]


@both
@pytest.mark.parametrize("streamed", [True, False])
def test_an_agent_runs_its_tool_and_is_answered(gpt: OpenAI, family: str, streamed: bool) -> None:
    """The loop that its documents tell users to write."""
    tools: dict[str, Callable[..., str]] = {"weather": lambda city: f"{city}: warm"}
    messages: list[Any] = [*HI]
    results = []
    for _ in range(3):
        message = turn(gpt, streamed, model=f"{family}-agent", messages=messages, tools=[WEATHER])
        messages.append(message)
        if not message.tool_calls:
            break
        for call in message.tool_calls:
            assert isinstance(call, ChatCompletionMessageFunctionToolCall)
            results.append(tools[call.function.name](**json.loads(call.function.arguments)))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": results[-1]})
    assert results == ["Paris: warm"]
    assert messages[-1].content == "It is warm."


def turn(gpt: OpenAI, streamed: bool, **body: Any) -> ChatCompletionMessage:
    if not streamed:
        return message_of(ask(gpt, body.pop("model"), **body))
    with gpt.chat.completions.stream(**body) as events:
        return message_of(events.get_final_completion())


# Raw replies


def test_raw_replies_have_headers_and_can_be_parsed(gpt: OpenAI) -> None:
    body: Any = {"model": "native-plain", "messages": HI}
    raw = gpt.chat.completions.with_raw_response.create(**body)
    assert raw.headers["content-type"] == "application/json"
    assert message_of(raw.parse()).content == PLAIN.text
    with gpt.chat.completions.with_streaming_response.create(**body, stream=True) as reply:
        lines = [line for line in reply.iter_lines() if line]
    assert reply.headers["content-type"] == "text/event-stream"
    assert lines[-1] == "data: [DONE]"


def test_a_stream_that_is_left_frees_the_model(gpt: OpenAI, serving: Gateway) -> None:
    before = serving.log_text().count(" model=native-endless ")
    body: Any = {"model": "native-endless", "messages": HI, "stream": True}
    with gpt.chat.completions.create(**body) as chunks:
        assert next(iter(chunks)).choices[0].delta.content == ENDLESS.pieces[0]
    # A request is logged at its end.
    eventually(lambda: serving.log_text().count(" model=native-endless ") == before + 1)
    assert message_of(ask(gpt, "native-endless", max_tokens=3)).content == ENDLESS.text


# Embeddings and models


def test_embeddings_are_numbers_however_they_are_sent(gpt: OpenAI) -> None:
    body: Any = {"model": "embedding", "input": ["a", "b", "a"]}
    packed = gpt.embeddings.create(**body)
    plain = gpt.embeddings.create(**body, encoding_format="float")
    first, second, third = (entry.embedding for entry in packed.data)
    assert first == third != second
    assert [entry.index for entry in packed.data] == [0, 1, 2]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
    assert sum(value * value for value in first) == pytest.approx(1)
    # A letter each, and the mark that stands before every text.
    assert (packed.usage.prompt_tokens, packed.usage.total_tokens) == (6, 6)
    short = gpt.embeddings.create(**body, dimensions=64).data[0].embedding
    assert len(short) == 64 < len(first)


def test_models_are_listed_and_looked_up(gpt: OpenAI) -> None:
    listed = {model.id: model for model in gpt.models.list()}
    assert {"native-agent:latest", "layered-agent:latest"} <= set(listed)
    one = gpt.models.retrieve("native-agent")
    assert (one.id, one.object, one.owned_by) == ("native-agent", "model", "library")
    assert one.created == listed["native-agent:latest"].created > 0
    with pytest.raises(NotFoundError, match="model 'nobody:latest' not found"):
        gpt.models.retrieve("nobody")
    with pytest.raises(APIStatusError) as caught:
        gpt.models.delete("native-agent")
    assert caught.value.status_code == 405


# Errors


@pytest.mark.parametrize("streamed", [True, False])
def test_errors_are_typed(gpt: OpenAI, streamed: bool) -> None:
    more: dict[str, Any] = {"stream": True} if streamed else {}
    with pytest.raises(NotFoundError, match="model 'nobody' not found") as missing:
        ask(gpt, "nobody", **more)
    assert missing.value.type == "not_found_error"
    with pytest.raises(BadRequestError, match="does not support tools"):
        ask(gpt, "layered-plain", tools=[WEATHER], **more)
    with pytest.raises(NotFoundError, match="model 'nobody' not found"):
        gpt.completions.create(model="nobody", prompt="hi", **more)
    with pytest.raises(NotFoundError, match="nobody"):
        gpt.embeddings.create(model="nobody", input="a")


@both
@pytest.mark.parametrize("streamed", [True, False])
def test_a_prompt_that_is_too_long_has_a_code(gpt: OpenAI, family: str, streamed: bool) -> None:
    long = [{"role": "user", "content": "x" * 600}]
    with pytest.raises(BadRequestError) as caught:
        ask(gpt, f"{family}-plain", messages=long, stream=streamed)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", None)
    assert caught.value.type == "invalid_request_error"
