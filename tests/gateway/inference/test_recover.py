"""What is sent instead of a call that the engine refused, or that cannot go on."""

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from gateway.inference.handler import build_generation
from gateway.inference.prompt import PromptBuilder
from gateway.inference.recover import PROMPT_TOO_LONG, RECOVERIES, Failure
from gateway.inference.types import Attempt, GenerationRequest, PromptState
from gateway.llama.errors import CacheMiss, ContextOverflow, EngineError, TemplateRefused
from gateway.llama.events import ChatEventReader
from gateway.llama.requests import Call, Message
from gateway.llama.sse import RestartNeeded
from gateway.templates import forced_call as forced
from gateway.templates.media import Rendered
from runners import Lease
from tests.fakes.engine import BEGIN_OF_TEXT, MARKER, apply_template, split
from tests.fakes.prompts import (
    ABLE_LAYER,
    BMP,
    HI,
    HI_PROMPT,
    LAYER,
    add_all,
    chat,
    generate,
    ok_json,
    post,
    token_ids,
)
from tests.fakes.server import ABLE, Gateway, open_gateway

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


async def requested(gateway: Gateway) -> list[dict[str, Any]]:
    """The bodies of all completions so far."""
    seen = await gateway.engine()
    paths = ("/completion", "/v1/chat/completions")
    both = zip(seen["paths"], seen["requests"], strict=True)
    return [body for path, body in both if path in paths]


def lines(reply: httpx.Response) -> list[dict[str, Any]]:
    assert reply.status_code == 200, reply.text
    return [json.loads(line) for line in reply.text.splitlines()]


SMALL = {"num_ctx": 256}


def talk(roles: str, words: int = 9) -> list[dict[str, str]]:
    """A conversation; each message but the system's has so many words, all of them its own."""
    names = {"s": "system", "u": "user", "a": "assistant"}
    return [
        {"role": names[letter], "content": " ".join(f"{at}w{word}" for word in range(words))}
        for at, letter in enumerate(roles)
    ]


def rendered(messages: Sequence[dict[str, str]]) -> str:
    """A conversation by LAYER."""
    return "".join(f"{m['role']}: {m['content']} \n" for m in messages) + "assistant: "


def counted(model: str, messages: Sequence[dict[str, str]]) -> int:
    """Tokens of a conversation by the template of `model`."""
    own = apply_template({"messages": messages})["prompt"]
    return len(split(own if model == "native" else rendered(messages)))


# ---- too long: messages


async def test_as_few_of_the_oldest_messages_go_as_must() -> None:
    messages = talk("s" + "ua" * 30 + "u")
    async with open_gateway() as gateway:
        add_all(gateway)
        reply = await chat(gateway, "plain", messages=messages, options=SMALL)
        ok_json(reply)
        seen = await gateway.engine()
    fitting = next(
        gone
        for gone in range(len(messages))
        if len(split(rendered([messages[0], *messages[1 + gone :]]))) <= 256
    )
    kept = [messages[0], *messages[1 + fitting :]]
    assert 1 < fitting < 60
    assert seen["requests"][-1]["prompt"] == rendered(kept)
    assert reply.headers["x-paddock-truncated"] == f"{fitting} messages"
    # One that is refused, six questions for the place among sixty, and the one that runs.
    assert seen["paths"] == ["/completion", *["/tokenize"] * 6, "/completion"]


@pytest.mark.parametrize("model", ["native", "plain"])
async def test_a_prompt_that_fits_by_ollamas_count_alone_loses_one_message_more(model: str) -> None:
    """It leaves the engine no room for a first token."""
    tail: list[dict[str, str]] = []
    extra = gone = 0
    while counted(model, tail) != 256:
        messages = [*talk("s" + "ua" * 20), *talk("u", 9 + extra)]
        tails = ([messages[0], *messages[1 + at :]] for at in range(40))
        gone, tail = next((at, t) for at, t in enumerate(tails) if counted(model, t) <= 256)
        extra += 1
    async with open_gateway() as gateway:
        add_all(gateway)
        reply = await chat(gateway, model, messages=messages, options=SMALL)
        ok_json(reply)
        seen = await gateway.engine()
    assert reply.headers["x-paddock-truncated"] == f"{gone + 1} messages"
    generations = [path for path in seen["paths"] if "completion" in path]
    assert len(generations) == 3


async def test_every_system_message_and_the_last_one_stay() -> None:
    messages = [*talk("su"), *talk("ua" * 20, 30), {"role": "system", "content": "Be brief."}]
    messages.append({"role": "user", "content": " ".join(["long"] * 235)})
    async with open_gateway() as gateway:
        add_all(gateway)
        reply = await chat(gateway, "plain", messages=messages, options=SMALL)
        ok_json(reply)
        prompt = (await gateway.engine())["requests"][-1]["prompt"]
    joined = f"{messages[0]['content']}\n\nBe brief."  # neighbours of one role are one
    assert prompt == rendered([{"role": "system", "content": joined}, messages[-1]])
    assert reply.headers["x-paddock-truncated"] == "41 messages"


async def test_a_chat_by_the_ggufs_own_template_is_shortened_too() -> None:
    messages = talk("s" + "ua" * 20 + "u", 20)
    async with open_gateway() as gateway:
        add_all(gateway)
        reply = await chat(gateway, "native", messages=messages, options=SMALL)
        ok_json(reply)
        seen = await gateway.engine()
    # Each message costs 20 words, parted by 19 spaces, and its neighbours' marks.
    kept = seen["requests"][-1]["messages"]
    gone = len(messages) - len(kept)
    assert kept == [messages[0], *messages[1 + gone :]]
    assert 12 <= len(kept) <= 13
    assert reply.headers["x-paddock-truncated"] == f"{gone} messages"
    first, *between, last = seen["paths"]
    assert (first, last) == ("/v1/chat/completions", "/v1/chat/completions")
    assert between == ["/apply-template", "/tokenize"] * 5


async def test_a_last_message_that_is_too_long_by_itself_is_the_engines_refusal_there() -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        messages = talk("uau", 300)
        reply = await chat(gateway, "native", messages=messages, options=SMALL)
        assert reply.status_code == 400
        assert "exceeds the available context size (256 tokens)" in reply.json()["error"]
        assert [*(await gateway.engine())["requests"][-1]["messages"]] == messages[-1:]


async def test_a_prompt_that_is_only_shown_is_shortened_before() -> None:
    messages = talk("u" + "au" * 30)
    async with open_gateway() as gateway:
        add_all(gateway)
        more = {"messages": messages, "options": SMALL, "_debug_render_only": True}
        shown_ = ok_json(await chat(gateway, "plain", **more))["_debug_info"]["rendered_template"]
        assert "/completion" not in (await gateway.engine())["paths"]
        ok_json(await chat(gateway, "plain", messages=messages, options=SMALL))
        assert (await gateway.engine())["requests"][-1]["prompt"] == shown_
        whole = ok_json(await chat(gateway, "plain", truncate=False, **more))
        assert whole["_debug_info"]["rendered_template"] == rendered(messages)


# ---- too long: tokens


@pytest.mark.parametrize(
    ("keep", "head", "length"),
    # The beginning of text is kept as well: 256 - (256 - 5) // 2 and so on.
    [(None, 5, 131), (0, 1, 129), (10, 11, 134), (-1, 255, 255)],
)
async def test_the_middle_of_a_single_message_goes(
    keep: int | None, head: int, length: int
) -> None:
    messages = talk("u", 600)
    options = SMALL if keep is None else {**SMALL, "num_keep": keep}
    async with open_gateway() as gateway:
        add_all(gateway)
        reply = await chat(gateway, "plain", messages=messages, options=options)
        ok_json(reply)
        body = (await gateway.engine())["requests"][-1]
    whole = [BEGIN_OF_TEXT, *token_ids(rendered(messages))]
    assert body["prompt"][:head] == whole[:head]
    assert body["prompt"][head:] == whole[len(whole) - (length - head) :]
    assert len(body["prompt"]) == length
    assert reply.headers["x-paddock-truncated"] == f"{len(whole) - length} tokens"
    assert ok_json(reply)["prompt_eval_count"] == length


async def test_messages_go_before_tokens_do() -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        messages = talk("uau", 300)
        reply = await chat(gateway, "plain", messages=messages, options=SMALL)
        ok_json(reply)
        seen = await gateway.engine()
    whole = [BEGIN_OF_TEXT, *token_ids(rendered(messages[-1:]))]
    assert seen["requests"][-1]["prompt"][:5] == whole[:5]
    cut = f"2 messages, {len(whole) - 131} tokens"
    assert reply.headers["x-paddock-truncated"] == cut


async def test_a_raw_prompt_has_no_messages_that_could_go() -> None:
    async with open_gateway() as gateway:
        gateway.add("m", template=ABLE, messages=talk("uau"))
        long = " ".join(["word"] * 400)
        reply = await generate(gateway, "m", prompt=long, raw=True, options=SMALL)
        assert ok_json(reply)["prompt_eval_count"] == 131
        assert reply.headers["x-paddock-truncated"] == f"{401 - 131} tokens"
        paths = (await gateway.engine())["paths"]
        assert paths == ["/completion", "/tokenize", "/tokenize", "/completion"]
        shown = await generate(
            gateway, "m", prompt=long, raw=True, options=SMALL, _debug_render_only=True
        )
        assert ok_json(shown)["_debug_info"]["rendered_template"] == long


@pytest.mark.parametrize("stream", [True, False])
async def test_without_shift_a_prompt_too_long_is_refused_in_ollamas_words(stream: bool) -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        more = {"messages": talk("u", 600), "options": SMALL, "stream": stream, "shift": False}
        reply = await chat(gateway, "plain", **more)
        assert (reply.status_code, reply.json()) == (400, {"error": PROMPT_TOO_LONG})
        assert "x-paddock-truncated" not in reply.headers


@pytest.mark.parametrize("model", ["plain", "native"])
async def test_without_truncate_the_engines_own_words_are_told(model: str) -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        more = {"messages": talk("uau", 200), "options": SMALL, "truncate": False}
        reply = await chat(gateway, model, **more)
        assert reply.status_code == 400
        assert "exceeds the available context size (256 tokens)" in reply.json()["error"]
        assert len((await gateway.engine())["paths"]) == 1


async def test_an_openai_chat_is_never_shortened() -> None:
    async with open_gateway() as gateway:
        gateway.add("plain", template=None, layer=LAYER, parameters={"num_ctx": 256})
        reply = await post(gateway, "/v1/chat/completions", "plain", messages=talk("uau", 200))
        assert reply.status_code == 400
        assert reply.json()["error"]["code"] == "context_length_exceeded"
        assert (await gateway.engine())["paths"] == ["/completion"]


async def test_a_prompt_with_media_is_never_cut() -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        (message,) = talk("u", 2100)
        messages = [{**message, "images": [BMP]}]
        reply = await chat(gateway, "seeing", messages=messages, options={"num_ctx": 2048})
        assert reply.status_code == 400
        assert "exceeds the available context size" in reply.json()["error"]


@pytest.mark.parametrize(("projector", "kept"), [(False, 4), (True, 1)])
async def test_a_projectors_pictures_count_as_tokens(projector: bool, kept: int) -> None:
    """768 of them each, by Ollama's estimate."""
    messages = [{**message, "images": [BMP]} for message in talk("uauau", 450)]
    async with open_gateway() as gateway:
        add_all(gateway)
        if projector:
            model = gateway.blob(("six ",), template=None)
            eyes = gateway.blob(("eyes ",), metadata={"general.type": "mmproj"})
            gateway.add("seeing", layer=LAYER, files={"m.gguf": model, "eyes.gguf": eyes})
        ok_json(await chat(gateway, "seeing", messages=messages))
        body = (await gateway.engine())["requests"][-1]
        assert len(body["prompt"]["multimodal_data"]) == kept


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
        message = ok_json(await chat(gateway, "m"))["message"]
        assert (message["thinking"], message["content"]) == ("Hm so. ", "Yes.")


async def test_thinking_that_is_not_wanted_is_left_out() -> None:
    async with open_gateway("--reply", f"{THOUGHT}Yes.") as gateway:
        add_all(gateway)
        message = ok_json(await chat(gateway, "able", think=False))["message"]
        assert message == {"role": "assistant", "content": "Yes."}
        reply = ok_json(await generate(gateway, "native", think=False))
        assert ("thinking" in reply, reply["response"]) == (False, "Yes.")


# ---- a format after thinking


async def test_a_model_thinks_before_the_format_binds_it() -> None:
    async with open_gateway(*THINKS) as gateway:
        add_all(gateway)
        reply = ok_json(await chat(gateway, "able", format="json"))
        first, second = await requested(gateway)
    assert reply["message"]["thinking"] == "Hm so. "
    assert reply["message"]["content"] == '{"a": 1}'
    assert (first["prompt"], "json_schema" in first) == (HI_PROMPT, False)
    assert (second["prompt"], second["json_schema"]) == (HI_PROMPT + THOUGHT, ANY)
    # Of the second prompt's seven tokens the model wrote three; then it wrote two and the end.
    assert (reply["prompt_eval_count"], reply["eval_count"]) == (4, 3 + 3)


async def test_a_stream_goes_on_from_its_thinking() -> None:
    async with open_gateway(*THINKS) as gateway:
        add_all(gateway)
        output = lines(await chat(gateway, "able", format=SCHEMA, stream=True))
        _, second = await requested(gateway)
    assert second["json_schema"] == SCHEMA
    assert "".join(line["message"].get("thinking", "") for line in output) == "Hm so. "
    assert "".join(line["message"]["content"] for line in output) == '{"a": 1}'
    assert [line["done"] for line in output].count(True) == 1


async def test_a_model_that_does_not_think_is_asked_anew_all_the_same() -> None:
    async with open_gateway("--reply", "No JSON.", "--formatted", '{"a": 1}') as gateway:
        add_all(gateway)
        reply = ok_json(await chat(gateway, "able", format="json"))
        first, second = await requested(gateway)
    assert reply["message"] == {"role": "assistant", "content": '{"a": 1}'}
    assert first["prompt"] == second["prompt"] == HI_PROMPT


@pytest.mark.parametrize(("limit", "left"), [(50, 47), (4, 1), (3, 1)])
async def test_what_was_thought_counts_towards_the_limit(limit: int, left: int) -> None:
    async with open_gateway(*THINKS) as gateway:
        add_all(gateway)
        ok_json(await chat(gateway, "able", format="json", options={"num_predict": limit}))
        first, second = await requested(gateway)
    assert (first["n_predict"], second["n_predict"]) == (limit, left)


async def test_thinking_without_an_answer_is_not_asked_again() -> None:
    async with open_gateway("--reply", "<think>Hm. ") as gateway:
        add_all(gateway)
        reply = ok_json(await chat(gateway, "able", format="json"))
        assert reply["message"] == {"role": "assistant", "content": "", "thinking": "Hm. "}
        assert len(await requested(gateway)) == 1


async def test_without_thinking_the_format_binds_at_once() -> None:
    async with open_gateway(*THINKS) as gateway:
        add_all(gateway)
        reply = ok_json(await chat(gateway, "able", format="json", think=False))
        assert reply["message"] == {"role": "assistant", "content": '{"a": 1}'}
        (only,) = await requested(gateway)
        assert (only["prompt"], only["json_schema"]) == (HI_PROMPT, ANY)


async def test_with_pictures_the_format_binds_at_once() -> None:
    async with open_gateway(*THINKS) as gateway:
        add_all(gateway)
        messages = [{**HI[0], "images": [BMP]}]
        ok_json(await chat(gateway, "seeing", messages=messages, format="json"))
        (only,) = await requested(gateway)
        assert only["json_schema"] == ANY


async def test_the_ggufs_own_template_leaves_chats_to_the_engine_and_not_prompts() -> None:
    async with open_gateway(*THINKS) as gateway:
        add_all(gateway)
        ok_json(await chat(gateway, "native", format="json"))
        reply = ok_json(await generate(gateway, "native", format="json"))
        native, first, second = await requested(gateway)
    assert native["response_format"] == {"type": "json_object"}
    assert (reply["thinking"], reply["response"]) == ("Hm so. ", '{"a": 1}')
    assert second["prompt"] == first["prompt"] + THOUGHT


async def test_the_context_of_a_restarted_reply_is_all_that_was_said() -> None:
    async with open_gateway(*THINKS) as gateway:
        add_all(gateway)
        ok_json(await generate(gateway, "able", format="json"))
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
        output = lines(got) if stream else [ok_json(got)]
        first, refused, last = await requested(gateway)
    assert "".join(line["message"].get("thinking", "") for line in output) == "hm " * 10
    assert "".join(line["message"]["content"] for line in output) == '{"a": 1}'
    assert refused["prompt"].startswith(first["prompt"])
    assert (last["prompt"][0], len(last["prompt"])) == (BEGIN_OF_TEXT, 131)
    assert last["json_schema"] == ANY


# ---- a call that must be made


async def must(gateway: Gateway, model: str, **body: Any) -> Any:
    given = {"messages": HI, "tools": [ADD, SUB], "tool_choice": "required", **body}
    return ok_json(await post(gateway, "/v1/chat/completions", model, **given))["choices"][0]


async def test_a_model_that_makes_no_call_is_made_to() -> None:
    async with open_gateway(*REFUSES) as gateway:
        add_all(gateway)
        choice = await must(gateway, "able", reasoning_effort="none")
        first, second = await requested(gateway)
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
        assert len(await requested(gateway)) == 1
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "add"


async def test_a_call_that_only_may_be_made_is_not_forced() -> None:
    async with open_gateway(*REFUSES) as gateway:
        add_all(gateway)
        choice = await must(gateway, "able", tool_choice="auto")
        assert len(await requested(gateway)) == 1
    assert (choice["finish_reason"], choice["message"]["content"]) == ("stop", "I will not.")


async def test_a_named_function_is_the_only_one_that_can_be_called() -> None:
    async with open_gateway(*REFUSES) as gateway:
        add_all(gateway)
        name = {"type": "function", "function": {"name": "sub"}}
        await must(gateway, "able", tool_choice=name)
        first, second = await requested(gateway)
    assert second["json_schema"] == forced.schema([SUB], ABLE_LAYER)
    assert '"add"' not in first["prompt"]


async def test_a_call_outweighs_a_format() -> None:
    async with open_gateway(*REFUSES) as gateway:
        add_all(gateway)
        form = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}
        choice = await must(gateway, "able", response_format=form)
        assert (await requested(gateway))[-1]["json_schema"] == forced.schema(
            [ADD, SUB], ABLE_LAYER
        )
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "add"


async def test_pictures_stay_in_a_prompt_that_goes_on() -> None:
    async with open_gateway(*REFUSES) as gateway:
        add_all(gateway)
        image = {"type": "image_url", "image_url": {"url": f"data:image/bmp;base64,{BMP}"}}
        messages = [{"role": "user", "content": [{"type": "text", "text": "hi"}, image]}]
        await must(gateway, "seeing", messages=messages)
        first, second = (body["prompt"] for body in await requested(gateway))
    assert first["prompt_string"].count(MARKER) == 1
    assert second["prompt_string"] == f"{first['prompt_string']}I will not.<tool_call>"
    assert first["multimodal_data"] == second["multimodal_data"] == [BMP]


async def test_the_engine_itself_forces_calls_by_its_own_template() -> None:
    async with open_gateway(*REFUSES) as gateway:
        add_all(gateway)
        choice = await must(gateway, "native")
        (only,) = await requested(gateway)
    assert choice["message"]["content"] == "I will not."
    assert (only["tool_choice"], len(only["tools"])) == ("required", 2)


# ---- which recovery answers what


class NoTemplate(PromptBuilder):
    """A builder whose prompt nothing can shorten; its lease is never used."""

    async def _attempt(self, lease: Lease, state: PromptState) -> Attempt:
        raise AssertionError

    async def render(self, lease: Lease, messages: Sequence[Message]) -> Rendered:
        raise AssertionError

    async def count(self, lease: Lease, state: PromptState) -> int:
        raise AssertionError


SYSTEMS: list[Message] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "hi"},
    {"role": "system", "content": "Be kind."},
]
MERGED = [{"role": "system", "content": "Be brief.\n\nBe kind."}, SYSTEMS[1]]


@pytest.mark.parametrize(
    ("before", "failure", "after"),
    [
        (PromptState(SYSTEMS), CacheMiss("x", 500), PromptState(SYSTEMS, cached=False)),
        (PromptState(SYSTEMS, cached=False), CacheMiss("x", 500), None),
        (
            PromptState(SYSTEMS),
            TemplateRefused("x", 400),
            PromptState(MERGED, system_merged=True),
        ),
        (PromptState(MERGED, system_merged=True), TemplateRefused("x", 400), None),
        (PromptState(MERGED), TemplateRefused("x", 400), None),
        (PromptState(SYSTEMS), ContextOverflow.of(9, 4), None),
        (PromptState(SYSTEMS), RestartNeeded(), None),
        (PromptState(SYSTEMS), EngineError("x", 500), None),
    ],
)
async def test_a_recovery_answers_its_own_failure_once(
    before: PromptState, failure: Failure, after: PromptState | None
) -> None:
    async with open_gateway() as gateway:
        model = gateway.add()
        request = GenerationRequest(model="m", messages=SYSTEMS)
        generation = build_generation(gateway.services.models, model, request)
        async with gateway.scheduler.lease(generation.spec, None) as lease:
            builder = NoTemplate(generation)
            attempt = Attempt(Call("/x", b"{}"), ChatEventReader(), before)
            states = [await step(builder, lease, attempt, failure) for step in RECOVERIES]
    assert [state for state in states if state is not None] == ([] if after is None else [after])
