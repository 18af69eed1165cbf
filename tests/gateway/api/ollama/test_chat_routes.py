"""Chat and generate: what is refused, what the engine is asked, and what comes back."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from runners.build.scripted_model import CHATML
from tests.fakes.scripts import NATIVE
from tests.fakes.server import ABLE, Gateway, open_gateway

pytestmark = pytest.mark.anyio

HI = {"role": "user", "content": "hi"}
SAID = "Hello from the fake engine."
PROMPT = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
EMBEDDER = {"llama.pooling_type": 1}


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with open_gateway() as gateway:
        yield gateway


async def chat(gateway: Gateway, **body: Any) -> httpx.Response:
    body = {"model": "m", "messages": [HI], "stream": False, **body}
    return await gateway.client.post("/api/chat", json=body)


async def generate(gateway: Gateway, **body: Any) -> httpx.Response:
    body = {"model": "m", "prompt": "hi", "stream": False, **body}
    return await gateway.client.post("/api/generate", json=body)


def refusal(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]


async def asked(gateway: Gateway, path: str = "/v1/chat/completions") -> Any:
    """The last body that the engine was sent at `path`."""
    seen = await gateway.engine()
    return [body for at, body in zip(seen["paths"], seen["requests"], strict=True) if at == path][
        -1
    ]


# ---- refused


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"model": ""}, 400, "model is required"),
        ({"model": "  "}, 400, "model is required"),
        ({"model": "nope"}, 404, "model 'nope' not found"),
        ({"model": "a b"}, 400, "invalid model name"),
        ({"top_logprobs": 21}, 400, "top_logprobs must be between 0 and 20"),
        ({"top_logprobs": -1, "model": "nope"}, 400, "top_logprobs must be between 0 and 20"),
        ({"think": True}, 400, '"m" does not support thinking'),
        ({"think": "high"}, 400, '"m" does not support thinking'),
        (
            {"format": "xml"},
            400,
            r'invalid format: "\"xml\""; expected "json" or a valid JSON Schema object',
        ),
        ({"options": {"num_ctx": "x"}}, 400, 'option "num_ctx" must be of type integer'),
        ({"keep_alive": "1d"}, 400, 'time: unknown unit "d" in duration "1d"'),
    ],
)
async def test_both_refuse_what_cannot_be_had(
    gateway: Gateway, body: dict[str, Any], status: int, message: str
) -> None:
    gateway.add()
    for ask in (chat, generate):
        assert refusal(await ask(gateway, **body)) == (status, message)
    assert gateway.scheduler.snapshot().runners == ()


async def test_a_body_that_is_not_json_is_refused(gateway: Gateway) -> None:
    for path in ("/api/chat", "/api/generate"):
        response = await gateway.client.post(path, content=b"")
        assert refusal(response) == (400, "missing request body")
        assert response.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            "registry.ollama.ai/library/m:latest does not support tools",
        ),
        (
            {"messages": "hi"},
            "json: cannot unmarshal string into Go struct field ChatRequest.messages of type "
            "[]api.Message",
        ),
    ],
)
async def test_a_chat_refuses_what_its_model_cannot_do_and_what_is_no_chat(
    gateway: Gateway, body: dict[str, Any], message: str
) -> None:
    gateway.add()
    assert refusal(await chat(gateway, **body)) == (400, message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"suffix": "x"}, "registry.ollama.ai/library/m:latest does not support insert"),
        ({"raw": True, "system": "x"}, "raw mode does not support template, system, or context"),
        ({"raw": True, "template": "x"}, "raw mode does not support template, system, or context"),
        ({"raw": True, "context": [1]}, "raw mode does not support template, system, or context"),
        ({"template": "{{ .Prompt"}, "template: :1: unclosed action"),
    ],
)
async def test_generate_refuses_what_contradicts_itself(
    gateway: Gateway, body: dict[str, Any], message: str
) -> None:
    gateway.add()
    assert refusal(await generate(gateway, **body)) == (400, message)


async def test_a_model_that_only_embeds_neither_chats_nor_generates(gateway: Gateway) -> None:
    gateway.add("E", metadata=EMBEDDER)
    for name in ("e", "E:latest"):
        assert refusal(await chat(gateway, model=name)) == (
            400,
            f'"{name}" does not support chat',
        )
        assert refusal(await generate(gateway, model=name)) == (
            400,
            f'"{name}" does not support generate',
        )
    assert (await chat(gateway, model="e", messages=[], keep_alive=0)).status_code == 200


# ---- chat


async def test_a_chat_goes_to_the_engine_and_comes_back(gateway: Gateway) -> None:
    gateway.add(template=NATIVE)
    reply = (await chat(gateway)).json()
    assert reply["message"] == {"role": "assistant", "content": SAID}
    assert (reply["model"], reply["done"], reply["done_reason"]) == ("m", True, "stop")
    assert (reply["prompt_eval_count"], reply["eval_count"]) == (1, 6)
    assert reply["total_duration"] >= reply["load_duration"] > 0
    sent = await asked(gateway)
    assert sent["messages"] == [HI]
    assert (sent["n_predict"], sent["temperature"], sent["stop"]) == (10240, 0.8, [])
    assert sent["stream"] is sent["cache_prompt"] is True


async def test_a_chat_is_streamed_unless_it_says_otherwise(gateway: Gateway) -> None:
    gateway.add()
    response = await gateway.client.post("/api/chat", json={"model": "m", "messages": [HI]})
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.text.count("\n") == response.text.count('{"model":"m"') == 6


async def test_the_models_words_and_parameters_lie_under_the_request(gateway: Gateway) -> None:
    stored = {"role": "assistant", "content": "stored"}
    parameters = {"temperature": 0.1, "stop": ["A"], "num_ctx": 512, "top_k": 7}
    gateway.add(template=NATIVE, system="Be.", messages=[stored], parameters=parameters)
    options = {"top_k": 9, "unknown": 1, "seed": 3}
    assert (await chat(gateway, options=options)).status_code == 200
    sent = await asked(gateway)
    assert sent["messages"] == [{"role": "system", "content": "Be."}, stored, HI]
    assert (sent["temperature"], sent["stop"], sent["top_k"], sent["seed"]) == (0.1, ["A"], 9, 3)
    assert "unknown" not in sent
    [runner] = gateway.scheduler.snapshot().runners
    assert runner.spec.context == 512
    own = {"role": "system", "content": "Mine."}
    await chat(gateway, messages=[own, HI])
    assert (await asked(gateway))["messages"] == [stored, own, HI]


async def test_a_model_that_can_do_more_is_asked_for_more(gateway: Gateway) -> None:
    gateway.add(template=ABLE)
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    await chat(gateway, tools=tools, format="json", logprobs=True)
    sent = await asked(gateway)
    assert sent["tools"][0]["function"]["name"] == "add"
    assert sent["chat_template_kwargs"] == {"enable_thinking": True}
    assert (sent["response_format"], sent["n_probs"]) == ({"type": "json_object"}, 1)
    for think, kwargs in (
        (False, {"enable_thinking": False}),
        ("low", {"enable_thinking": True, "reasoning_effort": "low"}),
    ):
        await chat(gateway, think=think)
        assert (await asked(gateway))["chat_template_kwargs"] == kwargs


async def test_a_model_that_cannot_think_may_be_told_not_to(gateway: Gateway) -> None:
    gateway.add(template=NATIVE)
    await chat(gateway, think=False)
    assert (await asked(gateway))["chat_template_kwargs"] == {"enable_thinking": False}
    await chat(gateway)
    assert "chat_template_kwargs" not in await asked(gateway)


async def test_shifting_the_context_is_the_requests_choice(gateway: Gateway) -> None:
    gateway.add()
    await chat(gateway, shift=False)
    assert (await gateway.engine())["argv"].count("--context-shift") == 0
    await chat(gateway)
    assert (await gateway.engine())["argv"].count("--context-shift") == 1


# ---- load, unload, render


@pytest.mark.parametrize("stream", [True, False])
async def test_nothing_to_say_loads_the_model(gateway: Gateway, stream: bool) -> None:
    gateway.add()
    for response in (
        await chat(gateway, messages=[], stream=stream),
        await generate(gateway, prompt="", suffix="", images=[], stream=stream),
    ):
        reply = response.json()
        assert (reply["done"], reply["done_reason"]) == (True, "load")
        assert "total_duration" not in reply
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        assert response.headers["content-length"] == str(len(response.content))
    assert len(gateway.scheduler.snapshot().runners) == 1
    assert (await gateway.engine())["requests"] == []


async def test_nothing_to_say_and_no_time_to_stay_unloads_it(gateway: Gateway) -> None:
    gateway.add("one")
    gateway.add("two")
    await chat(gateway, model="one")
    assert len(gateway.scheduler.snapshot().runners) == 1
    reply = await chat(gateway, model="two", messages=[], keep_alive=0, stream=True)
    assert reply.json()["done_reason"] == "unload"
    assert reply.json()["message"] == {"role": "assistant", "content": ""}
    await gateway.until(lambda: not gateway.scheduler.snapshot().runners)
    reply = await generate(gateway, model="two", prompt="", keep_alive="0s")
    assert (reply.json()["response"], reply.json()["done_reason"]) == ("", "unload")
    assert gateway.scheduler.snapshot().runners == ()
    missing = await chat(gateway, model="nope", messages=[], keep_alive=0)
    assert refusal(missing) == (404, "model 'nope' not found")


@pytest.mark.parametrize(("template", "paths"), [(CHATML, []), (NATIVE, ["/apply-template"] * 2)])
async def test_a_prompt_can_be_seen_without_a_reply(
    gateway: Gateway, template: str, paths: list[str]
) -> None:
    gateway.add(template=template, system="Be.")
    prompt = f"<|im_start|>system\nBe.<|im_end|>\n{PROMPT}"
    for response in (
        await chat(gateway, _debug_render_only=True, stream=True),
        await generate(gateway, _debug_render_only=True),
    ):
        reply = response.json()
        assert reply["_debug_info"] == {"rendered_template": prompt}
        assert (reply["done"], response.headers["content-type"][:16]) == (False, "application/json")
    assert (await gateway.engine())["paths"] == paths


# ---- generate


@pytest.mark.parametrize(
    ("template", "paths"),
    [
        (CHATML, ["/completion", "/tokenize"]),
        (NATIVE, ["/apply-template", "/completion", "/tokenize"]),
    ],
)
async def test_a_prompt_goes_through_the_template_and_the_reply_has_its_context(
    gateway: Gateway, template: str, paths: list[str]
) -> None:
    gateway.add(template=template)
    reply = (await generate(gateway)).json()
    assert (reply["response"], reply["done_reason"]) == (SAID, "stop")
    assert (await gateway.engine())["paths"] == paths
    assert (await asked(gateway, "/completion"))["prompt"] == PROMPT
    assert (await asked(gateway, "/tokenize")) == {"content": PROMPT + SAID}
    assert len(reply["context"]) == len((PROMPT + SAID).split(" "))


async def test_a_requests_template_takes_the_place_of_the_models(gateway: Gateway) -> None:
    gateway.add(system="Be.")
    await generate(gateway, template="<{{ .System }}> {{ .Prompt }} =")
    assert (await asked(gateway, "/completion"))["prompt"] == "<Be.> hi ="


@pytest.mark.parametrize("template", [CHATML, NATIVE])
async def test_a_context_goes_before_the_prompt_and_takes_the_place_of_stored_messages(
    gateway: Gateway, template: str
) -> None:
    gateway.add(template=template, messages=[{"role": "assistant", "content": "stored"}])
    context = (await generate(gateway)).json()["context"]
    stored = "<|im_start|>assistant\nstored<|im_end|>\n"
    assert (await asked(gateway, "/completion"))["prompt"] == stored + PROMPT
    await generate(gateway, context=context)
    assert (await asked(gateway, "/detokenize")) == {"tokens": context}
    assert (await asked(gateway, "/completion"))["prompt"] == stored + PROMPT + SAID + PROMPT
    await generate(gateway, context=[])
    assert (await asked(gateway, "/completion"))["prompt"] == PROMPT


async def test_a_requests_system_replaces_the_models(gateway: Gateway) -> None:
    gateway.add(system="Be.")
    for given, system in (("Mine.", "Mine."), ("", "Be.")):
        await generate(gateway, system=given)
        prompt = (await asked(gateway, "/completion"))["prompt"]
        assert prompt == f"<|im_start|>system\n{system}<|im_end|>\n{PROMPT}"


async def test_a_raw_prompt_is_left_as_it_is(gateway: Gateway) -> None:
    gateway.add(system="Be.")
    reply = (await generate(gateway, raw=True, context=[])).json()
    assert (await asked(gateway, "/completion"))["prompt"] == "hi"
    assert "context" not in reply
    assert (await gateway.engine())["paths"] == ["/completion"]


async def test_a_model_without_a_template_takes_the_prompt_as_it_is(gateway: Gateway) -> None:
    gateway.add(template=None)
    reply = (await generate(gateway)).json()
    assert (await asked(gateway, "/completion"))["prompt"] == "hi"
    assert len(reply["context"]) == len(("hi" + SAID).split(" "))


async def test_generate_passes_format_and_logprobs(gateway: Gateway) -> None:
    gateway.add()
    await generate(gateway, format={"type": "object"}, logprobs=True, top_logprobs=2)
    sent = await asked(gateway, "/completion")
    assert (sent["json_schema"], sent["n_probs"]) == ({"type": "object"}, 2)


async def test_a_limit_of_tokens_is_a_reason_to_end(gateway: Gateway) -> None:
    gateway.add()
    for ask in (chat, generate):
        reply = (await ask(gateway, options={"num_predict": 2})).json()
        assert (reply["done_reason"], reply["eval_count"]) == ("length", 2)
