"""What a runner is asked to go on with: a format after thinking, and a call that must be made."""

import json
import re
from typing import Any

import httpx
import pytest

from gateway.inference.prompt import ident, shown
from gateway.templates import forced_call as forced
from gateway.templates.values import Think
from tests.fakes.engine import BEGIN_OF_TEXT, MARKER
from tests.fakes.prompts import (
    ABLE_LAYER,
    BMP,
    HI,
    HI_PROMPT,
    add_all,
    chat,
    generate,
    post,
    told,
)
from tests.fakes.server import Gateway, open_gateway

pytestmark = pytest.mark.anyio

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
ANY = {"type": "object"}
THOUGHT = "<think>Hm so. </think>"
THINKS = ("--reply", f"{THOUGHT}No JSON at all.", "--formatted", '{"a": 1}')
ADD = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {}}},
}
SUB = {"type": "function", "function": {"name": "sub"}}
CALL = '{"name": "add", "arguments": {"a": 1}}'
REFUSES = ("--reply", "I will not.", "--formatted", CALL)


async def asked(gateway: Gateway) -> list[dict[str, Any]]:
    """The bodies of all completions so far."""
    seen = await gateway.engine()
    paths = ("/completion", "/v1/chat/completions")
    both = zip(seen["paths"], seen["requests"], strict=True)
    return [body for path, body in both if path in paths]


def lines(reply: httpx.Response) -> list[dict[str, Any]]:
    assert reply.status_code == 200, reply.text
    return [json.loads(line) for line in reply.text.splitlines()]


# ---- thinking


@pytest.mark.parametrize(
    ("layer", "reply"),
    [
        (ABLE_LAYER, "<think>Hm so. </think>Yes."),
        (ABLE_LAYER + "{{ if .Think }}<think>\n{{ end }}", "Hm so. </think>Yes."),
    ],
)
async def test_thinking_ends_where_the_reply_or_the_prompt_has_begun_it(
    layer: str, reply: str
) -> None:
    async with open_gateway("--reply", reply) as gateway:
        gateway.add("m", template=None, layer=layer)
        message = told(await chat(gateway, "m"))["message"]
        assert (message["thinking"], message["content"]) == ("Hm so. ", "Yes.")


async def test_thinking_that_is_not_wanted_is_left_out() -> None:
    async with open_gateway("--reply", f"{THOUGHT}Yes.") as gateway:
        add_all(gateway)
        message = told(await chat(gateway, "able", think=False))["message"]
        assert message == {"role": "assistant", "content": "Yes."}
        reply = told(await generate(gateway, "native", think=False))
        assert ("thinking" in reply, reply["response"]) == (False, "Yes.")


# ---- a format after thinking


async def test_a_model_thinks_before_the_format_binds_it() -> None:
    async with open_gateway(*THINKS) as gateway:
        add_all(gateway)
        reply = told(await chat(gateway, "able", format="json"))
        first, second = await asked(gateway)
    assert reply["message"]["thinking"] == "Hm so. "
    assert reply["message"]["content"] == '{"a": 1}'
    assert (first["prompt"], "json_schema" in first) == (HI_PROMPT, False)
    assert (second["prompt"], second["json_schema"]) == (HI_PROMPT + THOUGHT, ANY)
    # Of the second prompt's seven tokens the model wrote three; then it wrote two and the end.
    assert (reply["prompt_eval_count"], reply["eval_count"]) == (4, 3 + 3)


async def test_a_stream_goes_on_from_its_thinking() -> None:
    async with open_gateway(*THINKS) as gateway:
        add_all(gateway)
        said = lines(await chat(gateway, "able", format=SCHEMA, stream=True))
        _, second = await asked(gateway)
    assert second["json_schema"] == SCHEMA
    assert "".join(line["message"].get("thinking", "") for line in said) == "Hm so. "
    assert "".join(line["message"]["content"] for line in said) == '{"a": 1}'
    assert [line["done"] for line in said].count(True) == 1


async def test_a_model_that_does_not_think_is_asked_anew_all_the_same() -> None:
    async with open_gateway("--reply", "No JSON.", "--formatted", '{"a": 1}') as gateway:
        add_all(gateway)
        reply = told(await chat(gateway, "able", format="json"))
        first, second = await asked(gateway)
    assert reply["message"] == {"role": "assistant", "content": '{"a": 1}'}
    assert first["prompt"] == second["prompt"] == HI_PROMPT


@pytest.mark.parametrize(("limit", "left"), [(50, 47), (4, 1), (3, 1)])
async def test_what_was_thought_counts_towards_the_limit(limit: int, left: int) -> None:
    async with open_gateway(*THINKS) as gateway:
        add_all(gateway)
        told(await chat(gateway, "able", format="json", options={"num_predict": limit}))
        first, second = await asked(gateway)
    assert (first["n_predict"], second["n_predict"]) == (limit, left)


async def test_thinking_without_an_answer_is_not_asked_again() -> None:
    async with open_gateway("--reply", "<think>Hm. ") as gateway:
        add_all(gateway)
        reply = told(await chat(gateway, "able", format="json"))
        assert reply["message"] == {"role": "assistant", "content": "", "thinking": "Hm. "}
        assert len(await asked(gateway)) == 1


async def test_without_thinking_the_format_binds_at_once() -> None:
    async with open_gateway(*THINKS) as gateway:
        add_all(gateway)
        reply = told(await chat(gateway, "able", format="json", think=False))
        assert reply["message"] == {"role": "assistant", "content": '{"a": 1}'}
        (only,) = await asked(gateway)
        assert (only["prompt"], only["json_schema"]) == (HI_PROMPT, ANY)


async def test_with_pictures_the_format_binds_at_once() -> None:
    async with open_gateway(*THINKS) as gateway:
        add_all(gateway)
        messages = [{**HI[0], "images": [BMP]}]
        told(await chat(gateway, "seeing", messages=messages, format="json"))
        (only,) = await asked(gateway)
        assert only["json_schema"] == ANY


async def test_the_ggufs_own_template_leaves_chats_to_the_engine_and_not_prompts() -> None:
    async with open_gateway(*THINKS) as gateway:
        add_all(gateway)
        told(await chat(gateway, "native", format="json"))
        reply = told(await generate(gateway, "native", format="json"))
        native, first, second = await asked(gateway)
    assert native["response_format"] == {"type": "json_object"}
    assert (reply["thinking"], reply["response"]) == ("Hm so. ", '{"a": 1}')
    assert second["prompt"] == first["prompt"] + THOUGHT


async def test_the_context_of_a_restarted_reply_is_all_that_was_said() -> None:
    async with open_gateway(*THINKS) as gateway:
        add_all(gateway)
        told(await generate(gateway, "able", format="json"))
        last = (await gateway.engine())["requests"][-1]
        assert last == {"content": HI_PROMPT + THOUGHT + '{"a": 1}'}


@pytest.mark.parametrize("stream", [True, False])
async def test_a_prompt_that_thinking_made_too_long_is_cut(stream: bool) -> None:
    words = " ".join(["word"] * 250)
    reply = "<think>" + "hm " * 10 + "</think>No."
    async with open_gateway("--reply", reply, "--formatted", '{"a": 1}') as gateway:
        add_all(gateway)
        messages = [*HI, {"role": "user", "content": words}]
        more = {"messages": messages, "format": "json", "options": {"num_ctx": 256}}
        got = await chat(gateway, "able", stream=stream, **more)
        said = lines(got) if stream else [told(got)]
        first, refused, last = await asked(gateway)
    assert "".join(line["message"].get("thinking", "") for line in said) == "hm " * 10
    assert "".join(line["message"]["content"] for line in said) == '{"a": 1}'
    assert refused["prompt"].startswith(first["prompt"])
    assert (last["prompt"][0], len(last["prompt"])) == (BEGIN_OF_TEXT, 131)
    assert last["json_schema"] == ANY


# ---- a call that must be made


async def must(gateway: Gateway, model: str, **body: Any) -> Any:
    given = {"messages": HI, "tools": [ADD, SUB], "tool_choice": "required", **body}
    return told(await post(gateway, "/v1/chat/completions", model, **given))["choices"][0]


async def test_a_model_that_makes_no_call_is_made_to() -> None:
    async with open_gateway(*REFUSES) as gateway:
        add_all(gateway)
        choice = await must(gateway, "able", reasoning_effort="none")
        first, second = await asked(gateway)
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "I will not."
    (call,) = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "add"
    assert json.loads(call["function"]["arguments"]) == {"a": 1}
    assert first["prompt"].startswith("tools: [")
    assert second["prompt"] == f"{first['prompt']}I will not.<tool_call>"
    assert "json_schema" not in first
    assert second["json_schema"] == forced.schema([ADD, SUB], ABLE_LAYER)
    assert "tool_choice" not in first


async def test_a_stream_goes_on_with_the_call() -> None:
    async with open_gateway(*REFUSES) as gateway:
        add_all(gateway)
        body = {"messages": HI, "tools": [ADD], "tool_choice": "required", "stream": True}
        reply = await post(gateway, "/v1/chat/completions", "able", **body)
        events = [json.loads(line[6:]) for line in reply.text.split("\n\n")[:-2]]
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "I will not."
    (call,) = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert (call["index"], call["function"]["name"]) == (0, "add")
    assert [e["choices"][0]["finish_reason"] for e in events if e["choices"]][-1] == "tool_calls"


async def test_a_model_that_calls_by_itself_is_asked_once() -> None:
    async with open_gateway("--reply", f"<tool_call>{CALL}</tool_call>") as gateway:
        add_all(gateway)
        choice = await must(gateway, "able")
        assert len(await asked(gateway)) == 1
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "add"


async def test_a_call_that_only_may_be_made_is_not_forced() -> None:
    async with open_gateway(*REFUSES) as gateway:
        add_all(gateway)
        choice = await must(gateway, "able", tool_choice="auto")
        assert len(await asked(gateway)) == 1
    assert (choice["finish_reason"], choice["message"]["content"]) == ("stop", "I will not.")


async def test_a_named_function_is_the_only_one_that_can_be_called() -> None:
    async with open_gateway(*REFUSES) as gateway:
        add_all(gateway)
        name = {"type": "function", "function": {"name": "sub"}}
        await must(gateway, "able", tool_choice=name)
        first, second = await asked(gateway)
    assert second["json_schema"] == forced.schema([SUB], ABLE_LAYER)
    assert '"add"' not in first["prompt"]


async def test_a_call_outweighs_a_format() -> None:
    async with open_gateway(*REFUSES) as gateway:
        add_all(gateway)
        form = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}
        choice = await must(gateway, "able", response_format=form)
        assert (await asked(gateway))[-1]["json_schema"] == forced.schema([ADD, SUB], ABLE_LAYER)
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "add"


async def test_pictures_stay_in_a_prompt_that_goes_on() -> None:
    async with open_gateway(*REFUSES) as gateway:
        add_all(gateway)
        image = {"type": "image_url", "image_url": {"url": f"data:image/bmp;base64,{BMP}"}}
        messages = [{"role": "user", "content": [{"type": "text", "text": "hi"}, image]}]
        await must(gateway, "seeing", messages=messages)
        first, second = (body["prompt"] for body in await asked(gateway))
    assert first["prompt_string"].count(MARKER) == 1
    assert second["prompt_string"] == f"{first['prompt_string']}I will not.<tool_call>"
    assert first["multimodal_data"] == second["multimodal_data"] == [BMP]


async def test_the_engine_itself_forces_calls_by_its_own_template() -> None:
    async with open_gateway(*REFUSES) as gateway:
        add_all(gateway)
        choice = await must(gateway, "native")
        (only,) = await asked(gateway)
    assert choice["message"]["content"] == "I will not."
    assert (only["tool_choice"], len(only["tools"])) == ("required", 2)


# ---- small things


@pytest.mark.parametrize(
    ("think", "seen"),
    [
        (None, Think(False, "", given=False)),
        (False, Think(False, "", given=True)),
        (True, Think(True, "medium", given=True)),
        ("high", Think(True, "high", given=True)),
    ],
)
def test_what_a_template_sees_of_thinking(think: bool | str | None, seen: Think) -> None:
    assert shown(think) == seen


def test_ids_of_calls_are_ollamas_in_form_and_never_the_same() -> None:
    found = {ident() for _ in range(50)}
    assert len(found) == 50
    assert all(re.fullmatch("call_[a-z0-9]{8}", each) for each in found)
