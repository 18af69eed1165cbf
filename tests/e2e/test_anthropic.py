"""Anthropic's own client against the whole server and the real engine."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import (
    MessageParam,
    TextBlock,
    TextBlockParam,
    ThinkingBlock,
)

from runners.build.scripted_model import CHATML
from tests.fakes.claude import HI, WEATHER, ask, connected, text_of
from tests.fakes.process import Gateway
from tests.fakes.scripts import PLAIN, UNICODE, Scripted, create

pytestmark = pytest.mark.engine

# Those of ChatML around "hi".
CHAT_TOKENS = 22
# Taken for no other template for its length: the engine itself makes prompts by it.
OWN = "{#- " + "The chat template of a model that nobody knows. " * 9 + "-#}" + CHATML
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n and so on").decode()


@pytest.fixture(scope="module", autouse=True)
def models(served: Gateway, folder: Path) -> None:
    """One more: by its own template."""
    with served.client() as client:
        create(client, "native", Scripted(PLAIN.pieces, template=OWN), folder)


@pytest.fixture
def claude(served: Gateway) -> Iterator[anthropic.Anthropic]:
    with connected(served.url) as client:
        yield client


# ---- messages


def test_a_message(claude: anthropic.Anthropic) -> None:
    sampling = {"temperature": 0.5, "top_k": 5, "top_p": 0.9}
    message = ask(claude, model="plain", system="Be brief.", extra_body=sampling)
    assert text_of(message) == PLAIN.text
    assert (message.model, message.role, message.type) == ("plain", "assistant", "message")
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert message.id.startswith("msg_")
    assert (message._request_id or "").startswith("req_")
    assert message.usage.output_tokens == len(PLAIN.pieces) + 1
    assert ask(claude, model="plain").usage.input_tokens == CHAT_TOKENS


@pytest.mark.anyio
async def test_a_message_without_waiting_for_it(served: Gateway) -> None:
    async with AsyncAnthropic(base_url=served.url, api_key="any", max_retries=0) as claude:
        message = await claude.messages.create(model="plain", max_tokens=50, messages=[HI])
        assert text_of(message) == PLAIN.text
        async with claude.messages.stream(model="plain", max_tokens=50, messages=[HI]) as stream:
            texts = [text async for text in stream.text_stream]
        assert texts == list(PLAIN.pieces)
        counted = await claude.messages.count_tokens(model="plain", messages=[HI])
        assert counted.input_tokens == CHAT_TOKENS


def test_a_limit(claude: anthropic.Anthropic) -> None:
    message = ask(claude, model="endless", max_tokens=3)
    assert (text_of(message), message.stop_reason) == ("tick tack tock ", "max_tokens")
    assert message.usage.output_tokens == 3


@pytest.mark.parametrize("model", ["plain", "native"])
def test_the_stop_text_that_was_met_is_named(claude: anthropic.Anthropic, model: str) -> None:
    message = ask(claude, model=model, stop_sequences=["never", "gamma"])
    assert text_of(message) == "".join(PLAIN.pieces[:2])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "gamma")


def test_a_message_goes_on_where_the_assistant_stopped(claude: anthropic.Anthropic) -> None:
    begun: list[MessageParam] = [HI, {"role": "assistant", "content": PLAIN.pieces[0]}]
    message = ask(claude, model="native", messages=begun)
    assert text_of(message) == "".join(PLAIN.pieces[1:])
    assert message.usage.output_tokens == len(PLAIN.pieces)


def test_text_of_every_kind_survives(claude: anthropic.Anthropic) -> None:
    assert text_of(ask(claude, model="unicode")) == UNICODE.text
    with claude.messages.stream(model="unicode", max_tokens=50, messages=[HI]) as stream:
        assert stream.get_final_text() == UNICODE.text


def test_names_with_slashes(claude: anthropic.Anthropic) -> None:
    assert ask(claude, model="library/plain:latest").model == "library/plain:latest"


# ---- streams


def test_a_stream_of_events(claude: anthropic.Anthropic) -> None:
    stream = claude.messages.create(model="plain", max_tokens=50, messages=[HI], stream=True)
    kinds = [event.type for event in stream]
    assert kinds == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * len(PLAIN.pieces),
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


@pytest.mark.parametrize("model", ["plain", "thinking", "endless", "empty", "tools"])
def test_a_stream_adds_up_to_the_whole(claude: anthropic.Anthropic, model: str) -> None:
    tools = [WEATHER] if model == "tools" else []
    whole = ask(claude, model=model, max_tokens=9, tools=tools)
    with claude.messages.stream(model=model, max_tokens=9, messages=[HI], tools=tools) as stream:
        final = stream.get_final_message()
    given = {"id", "usage", "content"}
    assert final.model_dump(exclude=given) == whole.model_dump(exclude=given)
    assert final.usage.model_dump() == whole.usage.model_dump()

    def blocks(message: Any) -> list[Any]:
        return [block.model_dump(exclude={"id", "parsed_output"}) for block in message.content]

    assert blocks(final) == blocks(whole)


# ---- thinking


def test_thinking_is_a_block_of_its_own(claude: anthropic.Anthropic) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    first, second = ask(claude, model="thinking", thinking=thinking).content
    assert isinstance(first, ThinkingBlock)
    assert isinstance(second, TextBlock)
    assert (first.thinking, first.signature) == ("Let me see.\n", "")
    assert second.text == "It is 4."
    hidden = {"type": "adaptive", "display": "omitted"}
    first, second = ask(claude, model="thinking", thinking=hidden).content
    assert isinstance(first, ThinkingBlock)
    assert first.thinking == ""


def test_thinking_has_a_budget(claude: anthropic.Anthropic) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1}
    first, *_ = ask(claude, model="thinking", thinking=thinking).content
    assert isinstance(first, ThinkingBlock)
    assert first.thinking.strip() == "Let"


def test_thinking_can_be_switched_off(claude: anthropic.Anthropic) -> None:
    message = ask(claude, model="thinking", thinking={"type": "disabled"})
    assert text_of(message).strip() == "No thoughts."
    assert text_of(ask(claude, model="plain", thinking={"type": "enabled", "budget_tokens": 9}))


def test_thinking_comes_back_to_the_model(claude: anthropic.Anthropic) -> None:
    thought = {"type": "thinking", "thinking": "x " * 40, "signature": ""}
    text = {"type": "text", "text": "A"}

    def tokens(*blocks: Any, **more: Any) -> int:
        answer: Any = {"role": "assistant", "content": list(blocks)}
        question: Any = HI
        counted = claude.beta.messages.count_tokens(
            model="thinking", messages=[question, answer, question], **more
        )
        return counted.input_tokens

    edits = [{"type": "clear_thinking_20251015", "keep": {"type": "thinking_turns", "value": 0}}]
    assert tokens(thought, text) > tokens(text) + 40
    assert tokens(thought, text, context_management={"edits": edits}) == tokens(text)


# ---- counting


def test_tokens_are_counted_as_they_will_be(claude: anthropic.Anthropic) -> None:
    for body in (
        {"model": "plain"},
        {"model": "plain", "system": "Be brief."},
        {"model": "tutored", "messages": [HI, {"role": "assistant", "content": "A"}, HI]},
        {"model": "tools", "tools": [WEATHER]},
        {"model": "thinking", "thinking": {"type": "disabled"}},
        {"model": "native", "messages": [HI, {"role": "assistant", "content": "Alpha "}]},
    ):
        counted = claude.messages.count_tokens(**{"messages": [HI], **body})  # type: ignore[arg-type]
        assert counted.input_tokens == ask(claude, **body).usage.input_tokens, body


def test_what_came_from_the_cache_is_reported(served: Gateway, start: Any) -> None:
    running = start(context_length=4096, num_parallel=1)
    text: TextBlockParam = {"type": "text", "text": "word " * 300}
    marked: TextBlockParam = {**text, "cache_control": {"type": "ephemeral"}}
    with connected(running.url) as claude:
        plain = ask(claude, model="long", max_tokens=1, system=[text]).usage
        cached = ask(claude, model="long", max_tokens=1, system=[marked]).usage
    assert plain.cache_read_input_tokens == 0
    read = cached.cache_read_input_tokens or 0
    assert read >= 1024
    assert cached.input_tokens + read == plain.input_tokens


# ---- errors


def test_errors_have_types(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        ask(claude, model="nope")
    error: Any = missing.value.body
    assert error["error"] == {"type": "not_found_error", "message": "model 'nope' not found"}
    assert missing.value.request_id == error["request_id"]
    with pytest.raises(anthropic.BadRequestError, match="max_tokens is required"):
        ask(claude, model="plain", max_tokens=0)
    with pytest.raises(anthropic.BadRequestError, match="mcp_servers: not supported"):
        ask(claude, model="plain", extra_body={"mcp_servers": [{"type": "url"}]})
    with pytest.raises(anthropic.PermissionDeniedError, match="cloud is disabled"):
        ask(claude, model="plain:cloud")


def test_a_prompt_that_is_too_long(claude: anthropic.Anthropic) -> None:
    long: list[MessageParam] = [{"role": "user", "content": "hi " * 1000}]
    overflow = r"prompt is too long: \d{4} tokens > \d{3} maximum"
    with pytest.raises(anthropic.BadRequestError, match=overflow):
        ask(claude, model="plain", messages=long)
    with pytest.raises(anthropic.BadRequestError, match=overflow):
        claude.messages.create(model="plain", max_tokens=5, messages=long, stream=True)


@pytest.mark.parametrize("model", ["plain", "thinking"])
def test_a_model_of_text_sees_no_images(claude: anthropic.Anthropic, model: str) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    image = [{"role": "user", "content": [{"type": "image", "source": source}]}]
    with pytest.raises(anthropic.BadRequestError):
        ask(claude, model=model, messages=image)
    url = {"type": "url", "url": "http://127.0.0.1:9/x.png"}
    image = [{"role": "user", "content": [{"type": "image", "source": url}]}]
    with pytest.raises(anthropic.BadRequestError, match="Only base64 images are supported"):
        ask(claude, model=model, messages=image)
