"""Chat completions and completions in the OpenAI dialect."""

import json
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
TOOLS = [{"type": "function", "function": {"name": "add"}}]


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with open_gateway() as gateway:
        yield gateway


async def chat(gateway: Gateway, **body: Any) -> httpx.Response:
    body = {"model": "m", "messages": [HI], **body}
    return await gateway.client.post("/v1/chat/completions", json=body)


async def complete(gateway: Gateway, **body: Any) -> httpx.Response:
    return await gateway.client.post("/v1/completions", json={"model": "m", "prompt": "hi", **body})


def refusal(response: httpx.Response) -> tuple[int, str]:
    """Status and message; the rest of the envelope is checked."""
    kinds = {400: "invalid_request_error", 404: "not_found_error"}
    error = response.json()["error"]
    kind = kinds.get(response.status_code, "api_error")
    assert error == {"message": error["message"], "type": kind, "param": None, "code": None}
    assert response.headers["content-type"] == "application/json"
    return response.status_code, error["message"]


def events(response: httpx.Response) -> list[Any]:
    *output, done, nothing = response.text.split("\n\n")
    assert (done, nothing) == ("data: [DONE]", "")
    return [json.loads(line.removeprefix("data: ")) for line in output]


async def requested(gateway: Gateway, path: str = "/v1/chat/completions") -> Any:
    """The last body that the engine was sent at `path`."""
    seen = await gateway.engine()
    return [body for at, body in zip(seen["paths"], seen["requests"], strict=True) if at == path][
        -1
    ]


# ---- refused


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"model": None}, 400, "model is required"),
        ({"model": " "}, 400, "model is required"),
        ({"model": "nope"}, 404, "model 'nope' not found"),
        ({"model": "../x"}, 400, "invalid model name"),
        ({"model": "m:cloud"}, 403, "ollama cloud is disabled: remote model is unavailable"),
        ({"model": "nope", "n": 2}, 400, "'n' must be 1: a request gets one reply"),
        ({"keep_alive": "1d"}, 400, 'time: unknown unit "d" in duration "1d"'),
        (
            {"grammar": 'root ::= "a"{2,1}'},
            400,
            "'grammar': the repetition {2,1} ends before it begins",
        ),
    ],
)
async def test_both_refuse_what_cannot_be_had(
    gateway: Gateway, body: dict[str, Any], status: int, message: str
) -> None:
    gateway.add()
    for ask in (chat, complete):
        assert refusal(await ask(gateway, **body)) == (status, message)
    assert gateway.scheduler.snapshot().runners == ()


@pytest.mark.parametrize(
    ("body", "mismatch"),
    [
        ({"model": 5}, "number into Go struct field STRUCT.model of type string"),
        ({"stream": "yes"}, "string into Go struct field STRUCT.stream of type bool"),
        (
            {"max_tokens": "hot", "model": "nope"},
            "string into Go struct field STRUCT.max_tokens of type int",
        ),
    ],
)
async def test_both_refuse_another_type_in_ollamas_words(
    gateway: Gateway, body: dict[str, Any], mismatch: str
) -> None:
    for ask, struct in ((chat, "ChatCompletionRequest"), (complete, "CompletionRequest")):
        message = f"json: cannot unmarshal {mismatch.replace('STRUCT', struct)}"
        assert refusal(await ask(gateway, **body)) == (400, message)


@pytest.mark.parametrize(
    ("path", "data", "message"),
    [
        ("chat/completions", b"", "missing request body"),
        ("completions", b"", "EOF"),
        (
            "chat/completions",
            b"[]",
            "json: cannot unmarshal array into Go value of type openai.ChatCompletionRequest",
        ),
        (
            "completions",
            b"[]",
            "json: cannot unmarshal array into Go value of type openai.CompletionRequest",
        ),
        ("chat/completions", b"null", "[] is too short - 'messages'"),
        ("completions", b"null", "model is required"),
    ],
)
async def test_a_body_that_is_none_is_refused(
    gateway: Gateway, path: str, data: bytes, message: str
) -> None:
    assert refusal(await gateway.client.post(f"/v1/{path}", content=data)) == (400, message)


@pytest.mark.parametrize("path", ["chat/completions", "completions"])
async def test_a_number_without_bounds_is_refused(gateway: Gateway, path: str) -> None:
    response = await gateway.client.post(f"/v1/{path}", content=b'{"seed":1e999}')
    assert refusal(response)[0] == 400
    assert "seed" in refusal(response)[1]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"messages": []}, "[] is too short - 'messages'"),
        ({"messages": [], "model": "nope"}, "[] is too short - 'messages'"),
        ({"messages": [{"role": "user"}]}, "invalid message content type: <nil>"),
        ({"tools": TOOLS}, "registry.ollama.ai/library/m:latest does not support tools"),
        ({"reasoning_effort": "high"}, '"m" does not support thinking'),
        ({"reasoning": {"effort": "low"}}, '"m" does not support thinking'),
        (
            {"tool_choice": {"type": "function", "function": {"name": "x"}}},
            "'tool_choice' names 'x', which is not among the tools",
        ),
    ],
)
async def test_a_chat_refuses_what_its_model_cannot_do(
    gateway: Gateway, body: dict[str, Any], message: str
) -> None:
    gateway.add()
    assert refusal(await chat(gateway, **body)) == (400, message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"prompt": ["a"]},
            "json: cannot unmarshal array into Go struct field CompletionRequest.prompt of type "
            "string",
        ),
        ({"suffix": "x"}, "registry.ollama.ai/library/m:latest does not support insert"),
        ({"stop": [1]}, "invalid type for 'stop' field"),
        (
            {"logprobs": True},
            "json: cannot unmarshal bool into Go struct field CompletionRequest.logprobs of type "
            "int",
        ),
    ],
)
async def test_a_completion_refuses_what_its_model_cannot_do(
    gateway: Gateway, body: dict[str, Any], message: str
) -> None:
    gateway.add()
    assert refusal(await complete(gateway, **body)) == (400, message)


async def test_a_model_that_only_embeds_neither_chats_nor_completes(gateway: Gateway) -> None:
    gateway.add("e", metadata=EMBEDDER)
    assert refusal(await chat(gateway, model="E")) == (400, '"E" does not support chat')
    assert refusal(await complete(gateway, model="E")) == (400, '"E" does not support generate')


# ---- chat


async def test_a_whole_chat(gateway: Gateway) -> None:
    gateway.add()
    response = await chat(gateway, model="M:latest")
    reply = response.json()
    assert response.headers["content-type"] == "application/json"
    assert response.content.endswith(b"}\n")
    assert reply["id"].startswith("chatcmpl-")
    assert {key: reply[key] for key in ("object", "model", "system_fingerprint", "choices")} == {
        "object": "chat.completion",
        "model": "M:latest",
        "system_fingerprint": "fp_ollama",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": SAID},
                "finish_reason": "stop",
            }
        ],
    }
    assert (reply["usage"]["prompt_tokens"], reply["usage"]["completion_tokens"]) == (1, 6)


async def test_a_streamed_chat(gateway: Gateway) -> None:
    gateway.add()
    response = await chat(gateway, stream=True)
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-cache"
    reported = events(response)
    deltas = [event["choices"][0]["delta"] for event in reported]
    assert deltas[0] == {"role": "assistant", "content": "Hello "}
    assert "".join(delta.get("content", "") for delta in deltas) == SAID
    assert [event["choices"][0]["finish_reason"] for event in reported] == [None] * 5 + ["stop"]
    assert len({event["id"] for event in reported}) == 1
    assert not any("usage" in event or "prompt_progress" in event for event in reported)


async def test_usage_of_a_stream_comes_when_it_is_asked_for(gateway: Gateway) -> None:
    gateway.add()
    reported = events(await chat(gateway, stream=True, stream_options={"include_usage": True}))
    assert (reported[-1]["choices"], reported[-1]["usage"]["total_tokens"]) == ([], 7)


async def test_sampling_that_nobody_mentions_is_openais(gateway: Gateway) -> None:
    gateway.add(template=NATIVE)
    await chat(gateway)
    sent = await requested(gateway)
    assert (sent["temperature"], sent["top_p"], sent["top_k"]) == (1.0, 1.0, 40)
    assert (sent["n_predict"], sent["stop"]) == (10240, [])


async def test_the_models_parameters_lie_under_the_request(gateway: Gateway) -> None:
    parameters = {"temperature": 0.1, "stop": ["A"], "num_ctx": 512, "num_predict": 5}
    gateway.add(template=NATIVE, parameters=parameters)
    for ask, path in ((chat, "/v1/chat/completions"), (complete, "/completion")):
        await ask(gateway)
        sent = await requested(gateway, path)
        assert (sent["temperature"], sent["top_p"], sent["stop"]) == (0.1, 1.0, ["A"])
        assert sent["n_predict"] == 5
        await ask(gateway, temperature=0.7, stop="B", max_tokens=3)
        sent = await requested(gateway, path)
        assert (sent["temperature"], sent["stop"], sent["n_predict"]) == (0.7, ["B"], 3)
    [runner] = gateway.scheduler.snapshot().runners
    assert runner.spec.context == 512


@pytest.mark.parametrize("role", ["system", "developer"])
async def test_the_models_words_come_before_the_requests(gateway: Gateway, role: str) -> None:
    stored = {"role": "assistant", "content": "stored"}
    system, own = {"role": "system", "content": "Be."}, {"role": role, "content": "Mine."}
    gateway.add(template=NATIVE, system="Be.", messages=[stored])
    await chat(gateway)
    assert (await requested(gateway))["messages"] == [system, stored, HI]
    await chat(gateway, messages=[own, HI])
    assert (await requested(gateway))["messages"] == [stored, own, HI]


async def test_a_model_that_can_do_more_is_asked_for_more(gateway: Gateway) -> None:
    gateway.add(template=ABLE)
    await chat(gateway, tools=TOOLS)
    sent = await requested(gateway)
    assert (sent["tools"], sent["chat_template_kwargs"]) == (TOOLS, {"enable_thinking": True})
    for effort, kwargs in (
        ("none", {"enable_thinking": False}),
        ("minimal", {"enable_thinking": True, "reasoning_effort": "low"}),
        ("xhigh", {"enable_thinking": True, "reasoning_effort": "max"}),
    ):
        await chat(gateway, reasoning_effort=effort)
        sent = await requested(gateway)
        assert sent["chat_template_kwargs"] == kwargs
        assert "reasoning_effort" not in sent


async def test_a_model_that_cannot_think_may_be_told_not_to(gateway: Gateway) -> None:
    gateway.add(template=NATIVE)
    assert (await chat(gateway, reasoning_effort="none")).status_code == 200
    assert (await requested(gateway))["chat_template_kwargs"] == {"enable_thinking": False}
    await chat(gateway)
    assert "chat_template_kwargs" not in await requested(gateway)


@pytest.mark.parametrize(
    ("template", "path"), [(NATIVE, "/v1/chat/completions"), (CHATML, "/completion")]
)
async def test_a_client_cannot_reach_into_the_engine(
    gateway: Gateway, template: str, path: str
) -> None:
    gateway.add(template=template)
    ours = {"id_slot": 7, "model": "m", "cache_prompt": False, "return_progress": False}
    await chat(gateway, **ours, n_predict=1, lora=[1], grammar="root ::= x")
    sent = await requested(gateway, path)
    assert sent.keys().isdisjoint({"id_slot", "model", "lora"})
    assert "return_progress" not in sent
    assert (sent["cache_prompt"], sent["n_predict"]) == (True, 10240)
    assert sent["grammar"] == "root ::= x"


# ---- completions


@pytest.mark.parametrize(
    ("template", "paths"), [(CHATML, ["/completion"]), (NATIVE, ["/apply-template", "/completion"])]
)
async def test_a_whole_completion_goes_through_the_template(
    gateway: Gateway, template: str, paths: list[str]
) -> None:
    gateway.add(template=template, system="Be.")
    response = await complete(gateway)
    reply = response.json()
    assert (reply["object"], reply["model"]) == ("text_completion", "m")
    assert reply["id"].startswith("cmpl-")
    assert reply["choices"] == [{"text": SAID, "index": 0, "finish_reason": "stop"}]
    prompt = f"<|im_start|>system\nBe.<|im_end|>\n{PROMPT}"
    assert (await requested(gateway, "/completion"))["prompt"] == prompt
    assert (await gateway.engine())["paths"] == paths


async def test_a_streamed_completion(gateway: Gateway) -> None:
    gateway.add()
    *reported, used = events(
        await complete(gateway, stream=True, stream_options={"include_usage": True})
    )
    assert "".join(event["choices"][0]["text"] for event in reported) == SAID
    assert [event["choices"][0]["finish_reason"] for event in reported] == [None] * 5 + ["stop"]
    assert used["usage"]["completion_tokens"] == 6


@pytest.mark.parametrize("more", [{"prompt": ""}, {"prompt": None}])
async def test_a_completion_without_a_prompt_loads_the_model(
    gateway: Gateway, more: dict[str, Any]
) -> None:
    gateway.add()
    reply = (await complete(gateway, **more)).json()
    assert reply["choices"] == [{"text": "", "index": 0, "finish_reason": "load"}]
    assert len(gateway.scheduler.snapshot().runners) == 1
    [event] = events(await complete(gateway, stream=True, **more))
    assert event["choices"][0]["finish_reason"] == "load"
    assert (await gateway.engine())["paths"] == []


async def test_members_of_ollamas_own_requests_mean_nothing_in_a_completion(
    gateway: Gateway,
) -> None:
    gateway.add()
    more = {"system": 5, "images": 5, "context": "x", "raw": True, "format": "xml"}
    assert (await complete(gateway, **more)).status_code == 200
    assert (await requested(gateway, "/completion"))["prompt"] == PROMPT
