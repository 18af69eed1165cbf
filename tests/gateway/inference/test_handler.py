"""What a model lays under a turn, and what it must be able to do, whatever the dialect."""

import logging
import math
from typing import Any

import httpx
import pytest

from runners.build.scripted_model import CHATML
from tests.fakes.prompts import (
    BMP,
    HI,
    HI_PROMPT,
    INSERT,
    LAYER,
    add_all,
    chat,
    generate,
    ok_json,
    post,
)
from tests.fakes.scripts import NATIVE
from tests.fakes.server import ABLE, Gateway, open_gateway

pytestmark = pytest.mark.anyio

TOOL = {"type": "function", "function": {"name": "add"}}
FULL = "registry.ollama.ai/library/"


def refusal(reply: httpx.Response, status: int = 400) -> str:
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    return str(error if isinstance(error, str) else error["message"])


async def last(gateway: Gateway) -> Any:
    """The body of the last completion."""
    seen = await gateway.engine()
    paths = ("/completion", "/v1/chat/completions")
    both = zip(seen["paths"], seen["requests"], strict=True)
    return [body for path, body in both if path in paths][-1]


# ---- thinking


@pytest.mark.parametrize(
    ("model", "more", "kwargs"),
    [
        ("native", {}, {"enable_thinking": True}),
        ("native", {"think": True}, {"enable_thinking": True}),
        ("native", {"think": False}, {"enable_thinking": False}),
        ("native", {"think": "low"}, {"enable_thinking": True, "reasoning_effort": "low"}),
        ("silent", {}, None),
        ("silent", {"think": False}, {"enable_thinking": False}),
    ],
)
async def test_models_that_can_think_do_unless_told_otherwise(
    model: str, more: dict[str, Any], kwargs: Any
) -> None:
    async with open_gateway() as gateway:
        gateway.add("native", template=ABLE)
        gateway.add("silent", pieces=("Hm ",), template=NATIVE)
        ok_json(await chat(gateway, model, **more))
        assert (await last(gateway)).get("chat_template_kwargs") == kwargs


@pytest.mark.parametrize("think", [True, "high"])
async def test_thinking_cannot_be_had_of_a_model_that_cannot(think: bool | str) -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        words = '"plain:latest" does not support thinking'
        assert refusal(await chat(gateway, "plain:latest", think=think)) == words
        assert refusal(await generate(gateway, "plain:latest", think=think)) == words
        openai = {"messages": HI, "reasoning_effort": "high"}
        reply = await post(gateway, "/v1/chat/completions", "plain:latest", **openai)
        assert refusal(reply) == words


async def test_thinking_is_left_in_the_text_where_its_tags_are_not_known() -> None:
    output = "<think>Hm. </think>So."
    half = NATIVE + "{# content.split('</think>') #}"
    async with open_gateway("--reply", output) as gateway:
        gateway.add("half", template=half)
        gateway.add("native", pieces=("Hm ",), template=ABLE)
        assert ok_json(await generate(gateway, "half"))["response"] == output
        reply = ok_json(await generate(gateway, "native"))
        assert (reply["thinking"], reply["response"]) == ("Hm. ", "So.")


# ---- abilities


async def test_a_model_that_only_embeds_does_not_answer() -> None:
    async with open_gateway() as gateway:
        gateway.add("vectors", metadata={"llama.pooling_type": 1})
        assert refusal(await chat(gateway, "vectors")) == '"vectors" does not support chat'
        assert refusal(await generate(gateway, "vectors")) == '"vectors" does not support generate'
        reply = await post(gateway, "/v1/completions", "vectors", prompt="hi")
        assert refusal(reply) == '"vectors" does not support generate'


@pytest.mark.parametrize("model", ["plain", "silent"])
async def test_tools_and_suffixes_need_a_model_that_knows_them(model: str) -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        gateway.add("silent", pieces=("Hm ",), template=NATIVE)
        name = f"{FULL}{model}:latest"
        reply = await chat(gateway, model, tools=[TOOL])
        assert refusal(reply) == f"{name} does not support tools"
        reply = await generate(gateway, model, suffix="b")
        assert refusal(reply) == f"{name} does not support insert"
        reply = await post(gateway, "/v1/completions", model, prompt="a", suffix="b")
        assert refusal(reply) == f"{name} does not support insert"


async def test_what_is_wrong_is_told_in_ollamas_order() -> None:
    async with open_gateway() as gateway:
        gateway.add("vectors", metadata={"llama.pooling_type": 1})
        gateway.add("plain", pieces=("Hm ",), template=None, layer=LAYER)
        wrong = {"think": True, "tools": [TOOL], "options": {"temperature": "hot"}}
        assert refusal(await chat(gateway, "nobody", **wrong), 404) == "model 'nobody' not found"
        thinking = '"vectors" does not support thinking'
        assert refusal(await chat(gateway, "vectors", **wrong)) == thinking
        del wrong["think"]
        assert refusal(await chat(gateway, "vectors", **wrong)) == '"vectors" does not support chat'
        tools = f"{FULL}plain:latest does not support tools"
        assert refusal(await chat(gateway, "plain", **wrong)) == tools
        del wrong["tools"]
        words = 'option "temperature" must be of type float32'
        assert refusal(await chat(gateway, "plain", **wrong)) == words


async def test_a_model_that_cannot_see_gets_no_pictures() -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        messages = [{**HI[0], "images": [BMP]}]
        words = "this model does not support image input"
        assert refusal(await chat(gateway, "plain", messages=messages)) == words
        ok_json(await chat(gateway, "seeing", messages=messages))
        assert refusal(await generate(gateway, "plain", images=[BMP])) == words
        loaded = ok_json(await generate(gateway, "plain", prompt="", images=[BMP]))
        assert loaded["done_reason"] == "load"
        openai = {"type": "image_url", "image_url": {"url": f"data:image/bmp;base64,{BMP}"}}
        parts = [{"role": "user", "content": [openai]}]
        reply = await post(gateway, "/v1/chat/completions", "plain", messages=parts)
        assert refusal(reply) == words


async def test_a_model_that_cannot_hear_gets_no_sounds() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": BMP, "format": "wav"}}
    async with open_gateway() as gateway:
        add_all(gateway)
        parts = [{"role": "user", "content": [sound]}]
        reply = await post(gateway, "/v1/chat/completions", "seeing", messages=parts)
        assert refusal(reply) == "this model does not support audio input"


# ---- options


@pytest.mark.parametrize(
    ("parameters", "request_", "temperature", "top_p"),
    [
        ({}, {}, 1.0, 1.0),
        ({"temperature": 0.25}, {}, 0.25, 1.0),
        ({"temperature": 0.25, "top_p": 0.5}, {"temperature": 0.75}, 0.75, 0.5),
        ({}, {"temperature": 0, "top_p": 0.125}, 0.0, 0.125),
    ],
)
async def test_openais_defaults_lie_under_the_models_parameters(
    parameters: dict[str, Any], request_: dict[str, Any], temperature: float, top_p: float
) -> None:
    async with open_gateway() as gateway:
        gateway.add("m", template=ABLE, parameters=parameters)
        for path, more in (
            ("/v1/chat/completions", {"messages": HI}),
            ("/v1/completions", {"prompt": "hi"}),
        ):
            ok_json(await post(gateway, path, "m", **more, **request_))
            body = await last(gateway)
            assert (body["temperature"], body["top_p"]) == (temperature, top_p)


async def test_ollamas_defaults_are_its_own() -> None:
    async with open_gateway() as gateway:
        gateway.add("m", parameters={"top_k": 7, "stop": ["x"]})
        ok_json(await chat(gateway, "m", options={"seed": 3, "stop": ["y"]}))
        body = await last(gateway)
        assert (body["temperature"], body["top_p"], body["top_k"]) == (0.8, 0.9, 7)
        assert (body["seed"], body["stop"]) == (3, ["y"])


async def test_options_that_nobody_knows_are_named_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with open_gateway() as gateway:
        gateway.add("m")
        ok_json(await chat(gateway, "m", options={"zeal": 1, "mirostat": 2, "seed": 3}))
    assert "ignored options: mirostat, zeal" in caplog.messages


# ---- messages

TUTORED: dict[str, Any] = {
    "system": "Be brief.",
    "messages": [
        {"role": "user", "content": "Sure?"},
        {"role": "assistant", "content": "Sure."},
    ],
}
STORED = [*TUTORED["messages"]]
SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("messages", "seen"),
    [
        (HI, [SYSTEM, *STORED, *HI]),
        ([{"role": "system", "content": "Be long."}, *HI], None),
        ([*HI, {"role": "system", "content": "Be long."}], None),
    ],
)
async def test_the_models_system_and_messages_come_first(messages: Any, seen: Any) -> None:
    own = messages[0]["role"] == "system"
    expected = seen or [*([] if own else [SYSTEM]), *STORED, *messages]
    async with open_gateway() as gateway:
        gateway.add("m", template=NATIVE, **TUTORED)
        ok_json(await chat(gateway, "m", messages=messages))
        assert (await last(gateway))["messages"] == expected
        ok_json(await post(gateway, "/v1/chat/completions", "m", messages=messages))
        assert (await last(gateway))["messages"] == expected


async def test_a_developers_message_stands_in_for_the_models_system() -> None:
    messages = [{"role": "developer", "content": "Be long."}, *HI]
    async with open_gateway() as gateway:
        gateway.add("m", template=NATIVE, **TUTORED)
        ok_json(await post(gateway, "/v1/chat/completions", "m", messages=messages))
        assert (await last(gateway))["messages"] == [*STORED, *messages]


async def test_a_prompts_system_stands_in_for_the_models_and_a_context_for_its_messages() -> None:
    before = "system: Be brief. \nuser: Sure? \nassistant: Sure. \n"
    async with open_gateway() as gateway:
        gateway.add("m", template=None, layer=LAYER, **TUTORED)
        ok_json(await generate(gateway, "m"))
        assert (await last(gateway))["prompt"] == before + HI_PROMPT
        ok_json(await generate(gateway, "m", system="Be long."))
        assert (await last(gateway))["prompt"] == before.replace("brief", "long") + HI_PROMPT
        ok_json(await generate(gateway, "m", context=[1]))
        assert (await last(gateway))["prompt"] == f"system: Be brief. \n{HI_PROMPT}"


THOUGHTFUL = [
    {"role": "user", "content": "2 + 2?"},
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\n4"},
    *HI,
]


@pytest.mark.parametrize(
    ("name", "architecture", "content"),
    [
        ("deepseek-r1", "llama", "4"),
        ("some/deepseek-r1:7b", "llama", "4"),
        ("m", "qwen3", "4"),
        ("m", "qwen2", "<think>\nhm\n</think>\n\n4"),
        ("deepseek-r1-distill", "llama", "<think>\nhm\n</think>\n\n4"),
    ],
)
async def test_earlier_thoughts_are_kept_from_models_that_must_not_see_them(
    name: str, architecture: str, content: str
) -> None:
    counts = {"context_length": 2048, "embedding_length": 512, "block_count": 1}
    metadata = {"general.architecture": architecture}
    more = {f"{architecture}.{key}": value for key, value in counts.items()}
    async with open_gateway() as gateway:
        gateway.add(name, template=NATIVE, metadata={**metadata, **more})
        ok_json(await chat(gateway, name, messages=THOUGHTFUL))
        messages = (await last(gateway))["messages"]
        assert messages == [THOUGHTFUL[0], {"role": "assistant", "content": content}, *HI]


# ---- whose template


@pytest.mark.parametrize(
    ("template", "layer", "path"),
    [
        (NATIVE, "", "/v1/chat/completions"),
        (CHATML, "", "/completion"),  # a bundled layer fits it
        (None, LAYER, "/completion"),
        (NATIVE, LAYER, "/completion"),
        (ABLE, LAYER, "/v1/chat/completions"),
        (NATIVE, INSERT, "/completion"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_the_template_that_can_more_makes_the_prompt(
    template: str | None, layer: str, path: str, stream: bool
) -> None:
    async with open_gateway() as gateway:
        gateway.add("m", template=template, layer=layer)
        reply = await post(gateway, "/v1/chat/completions", "m", messages=HI, stream=stream)
        assert reply.status_code == 200
        assert ("fp_ollama" in reply.text, "[DONE]" in reply.text) == (True, stream)
        assert (await gateway.engine())["paths"] == [path]


async def test_a_prompt_without_any_template_goes_out_as_it_is() -> None:
    async with open_gateway() as gateway:
        gateway.add("m", template=None, system="Be brief.")
        ok_json(await generate(gateway, "m"))
        assert (await last(gateway))["prompt"] == "hi there"


async def test_a_line_in_the_log_names_the_model_as_the_client_did(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "paddock")
    async with open_gateway() as gateway:
        gateway.add("m")
        ok_json(await chat(gateway, "M:latest"))
        await chat(gateway, "nobody")
    facts = [vars(line)["fields"] for line in caplog.records if line.name == "paddock"]
    assert [(fact["model"], fact["status"]) for fact in facts] == [
        ("M:latest", 200),
        ("nobody", 404),
    ]


# ---- keep alive


@pytest.mark.parametrize(
    ("header", "body", "seconds"),
    [
        ("90", {}, 90.0),
        ("2m", {}, 120.0),
        ("-1", {}, math.inf),
        ("90", {"keep_alive": 7}, 7.0),
        (None, {"keep_alive": "1m"}, 60.0),
        (None, {}, 300.0),
    ],
)
@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/messages"])
async def test_how_long_a_model_stays_can_be_said_by_a_header(
    path: str, header: str | None, body: dict[str, Any], seconds: float
) -> None:
    async with open_gateway() as gateway:
        gateway.add("m")
        requested = {"model": "m", "messages": HI, "max_tokens": 5, "stream": False, **body}
        headers = {"x-keep-alive": header} if header else {}
        reply = await gateway.client.post(path, json=requested, headers=headers)
        assert reply.status_code == 200
        [runner] = gateway.scheduler.snapshot().runners
        assert runner.keep_alive == seconds


async def test_a_header_that_is_no_duration_is_refused() -> None:
    async with open_gateway() as gateway:
        gateway.add("m")
        requested = {"model": "m", "messages": HI}
        reply = await gateway.client.post(
            "/api/chat", json=requested, headers={"x-keep-alive": "1d"}
        )
        assert refusal(reply) == 'time: unknown unit "d" in duration "1d"'
