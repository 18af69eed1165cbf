"""Tools, structured output and agents, by Anthropic's own client and the real engine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import pytest
from anthropic import beta_tool
from anthropic.types import ToolParam, ToolUseBlock
from pydantic import BaseModel

from tests.fakes.claude import HI, WEATHER, ask, connected, text_of
from tests.fakes.gpt import SCRIPTS
from tests.fakes.process import Gateway
from tests.fakes.scripts import JSON, TOOLS, Scripted, create

pytestmark = pytest.mark.engine

# Calls a tool, and has something to say when the result is there.
HELPER = Scripted(
    TOOLS.pieces,
    template=f"{TOOLS.template}{{% if messages[-1].role == 'tool' %}}<|ready|>{{% endif %}}",
    more={"side": ("It is ", "warm."), "jumps": {"<|ready|>": "It is "}},
)


TWICE = ("native-parallel", "layered-parallel")
"""Both call two tools at once; the one by the GGUF's own template, the other by a TEMPLATE."""


@pytest.fixture(scope="module", autouse=True)
def models(served: Gateway, folder: Path) -> None:
    """One that uses tools, with slashes in its name."""
    with served.client() as client:
        create(client, "helper", HELPER, folder)
        for name in TWICE:
            create(client, name, SCRIPTS[name], folder)
        body = {"source": "helper", "destination": "team/helper"}
        assert client.post("/api/copy", json=body).status_code == 200


@pytest.fixture
def claude(served: Gateway) -> Iterator[anthropic.Anthropic]:
    with connected(served.url) as client:
        yield client


# ---- tools


def test_a_tool_is_called(claude: anthropic.Anthropic) -> None:
    message = ask(claude, model="tools", tools=[WEATHER])
    (block,) = message.content
    assert isinstance(block, ToolUseBlock)
    assert (block.name, block.input) == ("weather", {"city": "Paris"})
    assert block.id
    assert message.stop_reason == "tool_use"


def test_a_call_in_a_stream(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(
        model="tools", max_tokens=50, messages=[HI], tools=[WEATHER]
    ) as stream:
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
    assert pieces == ['{"city":"Paris"}']
    eager: ToolParam = {**WEATHER, "eager_input_streaming": True}
    with claude.messages.stream(
        model="tools", max_tokens=50, messages=[HI], tools=[eager]
    ) as stream:
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
    assert (len(pieces) > 1, "".join(pieces)) == (True, '{"city": "Paris"}')


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "any", "disable_parallel_tool_use": True},
        {"type": "tool", "name": "weather"},
    ],
)
def test_a_tool_that_must_be_called(claude: anthropic.Anthropic, choice: Any) -> None:
    other = {"name": "other", "input_schema": {"type": "object"}}
    message = ask(claude, model="tools", tools=[WEATHER, other], tool_choice=choice)
    assert [block.type for block in message.content] == ["tool_use"]


@pytest.mark.parametrize("model", TWICE)
@pytest.mark.parametrize("alone", [True, False])
def test_one_call_at_most(claude: anthropic.Anthropic, model: str, alone: bool) -> None:
    choice: Any = {"type": "auto", "disable_parallel_tool_use": alone}
    body: dict[str, Any] = {"model": model, "tools": [WEATHER], "tool_choice": choice}
    message = ask(claude, **body)
    assert [block.type for block in message.content].count("tool_use") == (1 if alone else 2)
    with claude.messages.stream(max_tokens=50, messages=[HI], **body) as stream:
        content = stream.get_final_message().content
    assert [block.type for block in content] == [block.type for block in message.content]


def test_a_tool_that_must_not_be_called(claude: anthropic.Anthropic) -> None:
    message = ask(claude, model="tools", tools=[WEATHER], tool_choice={"type": "none"})
    assert {block.type for block in message.content} == {"text"}
    assert message.stop_reason == "end_turn"


def test_a_result_goes_back(claude: anthropic.Anthropic) -> None:
    first = ask(claude, model="team/helper", tools=[WEATHER])
    (call,) = first.content
    assert isinstance(call, ToolUseBlock)
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "25 degrees"}
    messages = [
        HI,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    assert (
        text_of(ask(claude, model="team/helper", tools=[WEATHER], messages=messages))
        == "It is warm."
    )


def test_the_clients_own_runner_of_tools(claude: anthropic.Anthropic) -> None:
    cities = []

    @beta_tool
    def weather(city: str) -> str:
        """The weather of a city.

        Args:
            city: Where.
        """
        cities.append(city)
        return "25 degrees"

    runner = claude.beta.messages.tool_runner(
        model="team/helper",
        max_tokens=50,
        tools=[weather],
        messages=[{"role": "user", "content": "hi"}],
    )
    last = runner.until_done()
    assert cities == ["Paris"]
    (block,) = last.content
    assert block.type == "text"
    assert block.text == "It is warm."


# ---- structured output


class Answer(BaseModel):
    answer: int


def test_a_reply_in_the_form_of_a_class(claude: anthropic.Anthropic) -> None:
    parsed = claude.messages.parse(model="json", max_tokens=50, messages=[HI], output_format=Answer)
    assert parsed.parsed_output == Answer(answer=42)
    with claude.messages.stream(
        model="json", max_tokens=50, messages=[HI], output_format=Answer
    ) as stream:
        assert stream.get_final_message().parsed_output == Answer(answer=42)


def test_a_schema_is_kept_to(claude: anthropic.Anthropic) -> None:
    form = {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}}
    message = ask(claude, model="plain", output_config={"format": form})
    assert text_of(message).startswith("{")
    assert text_of(ask(claude, model="json")) == JSON.text


# ---- agents


def test_a_request_as_agents_send_it(client: httpx.Client) -> None:
    assert client.head("/").status_code == 200
    ephemeral = {"cache_control": {"type": "ephemeral"}}
    body = {
        "model": "tools",
        "max_tokens": 32000,
        "system": [
            {
                "type": "text",
                "text": "x-anthropic-billing-header: cc_version=2.1; cch=a1b2c;You are an agent.",
                **ephemeral,
            },
        ],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "<system-reminder>now</system-reminder>"},
                    {"type": "text", "text": "hi", **ephemeral},
                ],
            }
        ],
        "tools": [{**WEATHER, **ephemeral}],
        "metadata": {"user_id": "user_1"},
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "medium"},
        "stream": True,
    }
    headers = {
        "authorization": "Bearer any",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
    }
    reply = client.post("/v1/messages?beta=true", json=body, headers=headers)
    assert reply.status_code == 200, reply.text
    assert reply.headers["request-id"].startswith("req_")
    assert reply.text.endswith('event: message_stop\ndata: {"type":"message_stop"}\n\n')
    assert '"partial_json":"{\\"city\\":\\"Paris\\"}"' in reply.text
    del body["stream"], body["max_tokens"]
    counted = client.post("/v1/messages/count_tokens?beta=true", json=body, headers=headers)
    assert list(counted.json()) == ["input_tokens"]
