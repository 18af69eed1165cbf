"""What a runner is asked, and asked again where the prompt was too long."""

from collections.abc import Sequence
from datetime import date

import pytest

from gateway.inference.prompt import TOO_LONG
from tests.fakes.engine import BEGIN_OF_TEXT, MARKER, apply_template, split, token_id
from tests.fakes.prompts import (
    BMP,
    HI_PROMPT,
    LAYER,
    PNG,
    add_all,
    chat,
    generate,
    post,
    told,
)
from tests.fakes.server import ABLE, open_gateway

pytestmark = pytest.mark.anyio

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


# ---- the common case


@pytest.mark.parametrize(
    ("model", "paths"), [("native", ["/v1/chat/completions"]), ("plain", ["/completion"])]
)
async def test_a_chat_that_fits_costs_one_call(model: str, paths: list[str]) -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        reply = await chat(gateway, model)
        assert told(reply)["message"]["content"] == "Hello from the fake engine."
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
        assert told(await generate(gateway, model))["response"] == "Hello from the fake engine."
        assert (await gateway.engine())["paths"] == paths


async def test_a_templates_prompt_goes_out_as_text_with_the_options() -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        told(await chat(gateway, "plain", options={"temperature": 0.25, "stop": ["x"]}))
        (body,) = (await gateway.engine())["requests"]
        assert (body["prompt"], body["temperature"], body["stop"]) == (HI_PROMPT, 0.25, ["x"])
        assert (body["n_keep"], body["stream"]) == (4, True)
        assert "return_progress" not in body
        told(await chat(gateway, "plain", options={"num_batch": 64}))
        assert (await gateway.engine())["requests"][-1]["return_progress"] is True


# ---- too long: messages


async def test_as_few_of_the_oldest_messages_go_as_must() -> None:
    messages = talk("s" + "ua" * 30 + "u")
    async with open_gateway() as gateway:
        add_all(gateway)
        reply = await chat(gateway, "plain", messages=messages, options=SMALL)
        told(reply)
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
        told(reply)
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
        told(reply)
        prompt = (await gateway.engine())["requests"][-1]["prompt"]
    joined = f"{messages[0]['content']}\n\nBe brief."  # neighbours of one role are one
    assert prompt == rendered([{"role": "system", "content": joined}, messages[-1]])
    assert reply.headers["x-paddock-truncated"] == "41 messages"


async def test_a_chat_by_the_ggufs_own_template_is_shortened_too() -> None:
    messages = talk("s" + "ua" * 20 + "u", 20)
    async with open_gateway() as gateway:
        add_all(gateway)
        reply = await chat(gateway, "native", messages=messages, options=SMALL)
        told(reply)
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
        shown_ = told(await chat(gateway, "plain", **more))["_debug_info"]["rendered_template"]
        assert "/completion" not in (await gateway.engine())["paths"]
        told(await chat(gateway, "plain", messages=messages, options=SMALL))
        assert (await gateway.engine())["requests"][-1]["prompt"] == shown_
        whole = told(await chat(gateway, "plain", truncate=False, **more))
        assert whole["_debug_info"]["rendered_template"] == rendered(messages)


# ---- too long: tokens


def ids(text: str) -> list[int]:
    return [token_id(piece) for piece in split(text)]


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
        told(reply)
        body = (await gateway.engine())["requests"][-1]
    whole = [BEGIN_OF_TEXT, *ids(rendered(messages))]
    assert body["prompt"][:head] == whole[:head]
    assert body["prompt"][head:] == whole[len(whole) - (length - head) :]
    assert len(body["prompt"]) == length
    assert reply.headers["x-paddock-truncated"] == f"{len(whole) - length} tokens"
    assert told(reply)["prompt_eval_count"] == length


async def test_messages_go_before_tokens_do() -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        messages = talk("uau", 300)
        reply = await chat(gateway, "plain", messages=messages, options=SMALL)
        told(reply)
        seen = await gateway.engine()
    whole = [BEGIN_OF_TEXT, *ids(rendered(messages[-1:]))]
    assert seen["requests"][-1]["prompt"][:5] == whole[:5]
    cut = f"2 messages, {len(whole) - 131} tokens"
    assert reply.headers["x-paddock-truncated"] == cut


async def test_a_raw_prompt_has_no_messages_that_could_go() -> None:
    async with open_gateway() as gateway:
        gateway.add("m", template=ABLE, messages=talk("uau"))
        long = " ".join(["word"] * 400)
        reply = await generate(gateway, "m", prompt=long, raw=True, options=SMALL)
        assert told(reply)["prompt_eval_count"] == 131
        assert reply.headers["x-paddock-truncated"] == f"{401 - 131} tokens"
        paths = (await gateway.engine())["paths"]
        assert paths == ["/completion", "/tokenize", "/tokenize", "/completion"]
        shown = await generate(
            gateway, "m", prompt=long, raw=True, options=SMALL, _debug_render_only=True
        )
        assert told(shown)["_debug_info"]["rendered_template"] == long


@pytest.mark.parametrize("stream", [True, False])
async def test_without_shift_a_prompt_too_long_is_refused_in_ollamas_words(stream: bool) -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        more = {"messages": talk("u", 600), "options": SMALL, "stream": stream, "shift": False}
        reply = await chat(gateway, "plain", **more)
        assert (reply.status_code, reply.json()) == (400, {"error": TOO_LONG})
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


# ---- what a prompt is made of


async def test_media_take_the_place_of_their_markers() -> None:
    messages = [
        {"role": "user", "content": "What is [img] this?", "images": [BMP]},
        {"role": "assistant", "content": "A cat."},
        {"role": "user", "content": "And?", "images": [PNG]},
    ]
    async with open_gateway() as gateway:
        add_all(gateway)
        told(await chat(gateway, "seeing", messages=messages))
        (body,) = (await gateway.engine())["requests"]
    text = f"user: What is {MARKER} this? \nassistant: A cat. \nuser: {MARKER}And? \nassistant: "
    assert body["prompt"] == {"prompt_string": text, "multimodal_data": [BMP, PNG]}


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
        told(await chat(gateway, "seeing", messages=messages))
        body = (await gateway.engine())["requests"][-1]
        assert len(body["prompt"]["multimodal_data"]) == kept


async def test_a_suffix_is_what_the_reply_stands_before() -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        told(await generate(gateway, "insert", prompt="a = ", suffix="\nb"))
        told(await generate(gateway, "insert", prompt="a = "))
        first, _, second, _ = (await gateway.engine())["requests"]
        assert first["prompt"] == "<PRE>a = <SUF>\nb<MID>"
        assert second["prompt"] == "a = "


async def test_a_request_may_bring_its_template() -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        template = "<{{ .System }}|{{ .Prompt }}|{{ currentDate }}>"
        before = date.today()
        told(await generate(gateway, "plain", template=template, system="Be."))
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
        context = told(await generate(gateway, "plain"))["context"]
        said = "Hello from the fake engine."
        assert context == ids(HI_PROMPT + said)
        told(await generate(gateway, "plain", prompt="And?", context=context))
        prompts = [body.get("prompt") for body in (await gateway.engine())["requests"]]
        assert prompts[-2] == f"{HI_PROMPT}{said}user: And? \nassistant: "


async def test_a_raw_prompt_meets_no_template() -> None:
    async with open_gateway() as gateway:
        add_all(gateway)
        assert "context" not in told(await generate(gateway, "able", raw=True))
        seen = await gateway.engine()
        assert (seen["paths"], seen["requests"][0]["prompt"]) == (["/completion"], "hi there")
