"""What prompts are made of, by TEMPLATEs and by the GGUF's own template."""

import re
from datetime import date

import pytest

from gateway.inference.prompt import new_call_id, template_think
from gateway.templates.messages import ThinkFlags
from tests.fakes.engine import MARKER
from tests.fakes.prompts import (
    BMP,
    HI_PROMPT,
    PNG,
    add_all,
    chat,
    generate,
    ok_json,
    token_ids,
)
from tests.fakes.server import open_gateway

pytestmark = pytest.mark.anyio

# ---- the common case


@pytest.mark.parametrize(
    ("model", "paths"), [("native", ["/v1/chat/completions"]), ("plain", ["/completion"])]
)
async def test_a_chat_that_fits_costs_one_call(model: str, paths: list[str]) -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        reply = await chat(gateway, model)
        assert ok_json(reply)["message"]["content"] == "Hello from the fake engine."
        assert "x-paddock-truncated" not in reply.headers
        assert (await gateway.engine())["paths"] == paths


@pytest.mark.parametrize(
    ("model", "paths"),
    [
        ("native", ["/apply-template", "/completion", "/tokenize"]),
        ("plain", ["/completion", "/tokenize"]),
    ],
)
async def test_a_prompt_that_fits_costs_its_template_and_its_context(
    model: str, paths: list[str]
) -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        assert ok_json(await generate(gateway, model))["response"] == "Hello from the fake engine."
        assert (await gateway.engine())["paths"] == paths


async def test_a_templates_prompt_goes_out_as_text_with_the_options() -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        ok_json(await chat(gateway, "plain", options={"temperature": 0.25, "stop": ["x"]}))
        (body,) = (await gateway.engine())["requests"]
        assert (body["prompt"], body["temperature"], body["stop"]) == (HI_PROMPT, 0.25, ["x"])
        assert (body["n_keep"], body["stream"]) == (4, True)
        assert "return_progress" not in body
        ok_json(await chat(gateway, "plain", options={"num_batch": 64}))
        assert (await gateway.engine())["requests"][-1]["return_progress"] is True


# ---- what a prompt is made of


async def test_media_take_the_place_of_their_markers() -> None:
    messages = [
        {"role": "user", "content": "What is [img] this?", "images": [BMP]},
        {"role": "assistant", "content": "A cat."},
        {"role": "user", "content": "And?", "images": [PNG]},
    ]
    async with open_gateway() as gateway:
        add_all(gateway)
        ok_json(await chat(gateway, "seeing", messages=messages))
        (body,) = (await gateway.engine())["requests"]
    text = f"user: What is {MARKER} this? \nassistant: A cat. \nuser: {MARKER}And? \nassistant: "
    assert body["prompt"] == {"prompt_string": text, "multimodal_data": [BMP, PNG]}


async def test_a_suffix_is_what_the_reply_stands_before() -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        ok_json(await generate(gateway, "insert", prompt="a = ", suffix="\nb"))
        ok_json(await generate(gateway, "insert", prompt="a = "))
        first, _, second, _ = (await gateway.engine())["requests"]
        assert first["prompt"] == "<PRE>a = <SUF>\nb<MID>"
        assert second["prompt"] == "a = "


async def test_a_request_may_bring_its_template() -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        template = "<{{ .System }}|{{ .Prompt }}|{{ currentDate }}>"
        before = date.today()
        ok_json(await generate(gateway, "plain", template=template, system="Be."))
        days = {before, date.today()}
        prompt = (await gateway.engine())["requests"][0]["prompt"]
        assert prompt in {f"<Be.|hi there|{day.isoformat()}>" for day in days}


@pytest.mark.parametrize(
    ("template", "status", "words"),
    [
        ("{{ .Prompt", 400, "template: :1: unclosed action"),
        ("{{ nosuch }}", 400, 'template: :1: function "nosuch" not defined'),
        ("{{ .Prompt }}{{ index .Prompt 99 }}", 500, "template: :1:16: executing"),
    ],
)
async def test_a_bad_template_is_refused_in_gos_words(
    template: str, status: int, words: str
) -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        reply = await generate(gateway, "plain", template=template)
        assert reply.status_code == status
        assert reply.json()["error"].startswith(words)


async def test_a_context_stands_before_the_prompt() -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        context = ok_json(await generate(gateway, "plain"))["context"]
        output = "Hello from the fake engine."
        assert context == token_ids(HI_PROMPT + output)
        ok_json(await generate(gateway, "plain", prompt="And?", context=context))
        prompts = [body.get("prompt") for body in (await gateway.engine())["requests"]]
        assert prompts[-2] == f"{HI_PROMPT}{output}user: And? \nassistant: "


async def test_a_raw_prompt_meets_no_template() -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        assert "context" not in ok_json(await generate(gateway, "able", raw=True))
        seen = await gateway.engine()
        assert (seen["paths"], seen["requests"][0]["prompt"]) == (["/completion"], "hi there")


# ---- small things


@pytest.mark.parametrize(
    ("think", "seen"),
    [
        (None, ThinkFlags(False, "", given=False)),
        (False, ThinkFlags(False, "", given=True)),
        (True, ThinkFlags(True, "medium", given=True)),
        ("high", ThinkFlags(True, "high", given=True)),
    ],
)
def test_what_a_template_sees_of_thinking(think: bool | str | None, seen: ThinkFlags) -> None:
    assert template_think(think) == seen


def test_ids_of_calls_are_ollamas_in_form_and_never_the_same() -> None:
    result = {new_call_id() for _ in range(50)}
    assert len(result) == 50
    assert all(re.fullmatch("call_[a-z0-9]{8}", each) for each in result)
