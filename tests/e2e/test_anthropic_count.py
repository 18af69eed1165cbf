"""What is counted beforehand is what a request then has, images and all, by the real engine."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import pytest
from PIL import Image

from runners import Engine
from runners.build.scripted_model import CHATML
from tests.fakes import projector
from tests.fakes.claude import HI, WEATHER, connected
from tests.fakes.process import Gateway, gateway
from tests.fakes.projector import SIDE, TOKENS
from tests.fakes.prompts import ABLE_LAYER
from tests.fakes.scripts import upload

pytestmark = pytest.mark.engine

OWN = (
    "{#- " + "The chat template of a model that nobody else has. " * 9 + "-#}"
    "{%- if tools -%}There are: {{ tools | tojson }}{%- endif -%}"
    "{%- for m in messages -%}<|im_start|>{{ m.role }}\n"
    "{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}"
    "{{ m.content }}{% if m.tool_calls %}<tool_call>{{ m.tool_calls | tojson }}</tool_call>"
    "{% endif %}<|im_end|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}"
    "<think>\n\n</think>\n\n{% endif %}{%- endif -%}"
)
MODELS: dict[str, tuple[str | None, dict[str, Any]]] = {
    "native": (OWN, {}),
    "known": (CHATML, {}),
    "layered": (None, {"template": ABLE_LAYER}),
    "deaf": (CHATML, {"template": "{{ .System }}: {{ .Prompt }} {{ .Response }}"}),
}
"""Each model's own template, and what it is created with."""
TEXTS: dict[str, dict[str, Any]] = {
    "a question": {},
    "a system message": {
        "system": [{"type": "text", "text": "Be "}, {"type": "text", "text": "!"}]
    },
    "a beginning": {"messages": [HI, {"role": "assistant", "content": "I "}]},
    "a form": {
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
        "thinking": {"type": "disabled"},
    },
}
ABLE: dict[str, dict[str, Any]] = {
    "tools": {"tools": [WEATHER]},
    "one tool of two": {
        "tools": [WEATHER, {"name": "other", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    },
    "no tool": {"tools": [WEATHER], "tool_choice": {"type": "none"}},
    "no thinking": {"thinking": {"type": "disabled"}},
    "thinking": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
}


@pytest.fixture(scope="module")
def serving(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("counting")
    with gateway(folder, engine=engine.server, max_loaded_models=2) as running:
        with running.client() as client:
            for name, (template, recipe) in MODELS.items():
                add(client, name, folder, template, recipe)
        yield running


@pytest.fixture
def claude(serving: Gateway) -> Iterator[anthropic.Anthropic]:
    with connected(serving.url) as client:
        yield client


def add(
    client: httpx.Client, name: str, folder: Path, template: str | None, recipe: dict[str, Any]
) -> None:
    """A model that sees, and the same with a SYSTEM and with MESSAGEs."""
    text = projector.model(folder / f"{name}.gguf", template)
    tower = projector.vision(folder / f"{name}-tower.gguf", text)
    files = {path.name: upload(client, path.read_bytes()) for path in (text, tower)}
    stored = [HI, {"role": "assistant", "content": "What is it?"}]
    taught = {"from": name, "system": "Look well.", "messages": stored}
    for body in ({"model": name, "files": files, **recipe}, {"model": f"{name}-taught", **taught}):
        reply = client.post("/api/create", json={**body, "stream": False})
        assert reply.json() == {"status": "success"}


def image(colour: str, size: tuple[int, int] = (SIDE, SIDE), form: str = "PNG") -> dict[str, Any]:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, form)
    data = base64.b64encode(out.getvalue()).decode()
    source = {"type": "base64", "media_type": f"image/{form.lower()}", "data": data}
    return {"type": "image", "source": source}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def user(*blocks: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(blocks)}]


def seen() -> dict[str, list[dict[str, Any]]]:
    """Conversations with images, by what they are."""
    red, blue, large = image("red"), image("blue", form="WEBP"), image("blue", (300, 20), "JPEG")
    call = {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Rome"}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": [red, text("and"), blue]}
    thought = {"type": "thinking", "thinking": "Red, I think.", "signature": ""}
    answer = [thought, text("A wall."), call]
    return {
        "one": user(red),
        "one before text": user(red, text("what is it?")),
        "one after text": user(text("what is "), red),
        "several": user(red, blue, large, red),
        "several among text": user(text("this: "), red, text(" and this: "), blue, text("?")),
        "an own marker": user(text("an [img] and [img-0] and <__media__>"), red),
        "several messages": [*user(red), {"role": "assistant", "content": "Red."}, *user(large)],
        "a result": [*user(large), {"role": "assistant", "content": answer}, *user(result)],
        "a result and more": [
            *user(text("look")),
            {"role": "assistant", "content": answer},
            *user(result, text("then"), blue),
        ],
    }


def both(claude: anthropic.Anthropic, **body: Any) -> tuple[int, int]:
    """The count of a prompt, and what it has where it is answered."""
    body = {"messages": [HI], **body}
    counted = claude.messages.count_tokens(**body)
    usage = claude.messages.create(**body, max_tokens=1).usage
    cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    return counted.input_tokens, usage.input_tokens + cached


@pytest.mark.parametrize("what", seen())
@pytest.mark.parametrize("model", MODELS)
def test_images_are_counted_as_they_will_be(
    claude: anthropic.Anthropic, model: str, what: str
) -> None:
    before, then = both(claude, model=model, messages=seen()[what])
    assert before == then
    before, then = both(claude, model=f"{model}-taught", messages=seen()[what], system="Be brief.")
    assert before == then


@pytest.mark.parametrize(
    ("model", "body"),
    [
        *((model, body) for model in MODELS for body in TEXTS.values()),
        *((model, body) for model in ("native", "layered") for body in ABLE.values()),
        # With a TEMPLATE these take two goes: the first reply has no call.
        *(
            (model, {"tools": [WEATHER], "tool_choice": {"type": "any"}})
            for model in ("native", "layered")
        ),
    ],
)
def test_so_is_everything_else(
    claude: anthropic.Anthropic, model: str, body: dict[str, Any]
) -> None:
    for name in (model, f"{model}-taught"):
        before, then = both(claude, model=name, **body)
        assert before == then


@pytest.mark.parametrize("model", ["native", "layered"])
def test_what_cannot_be_seen_cannot_be_counted(claude: anthropic.Anthropic, model: str) -> None:
    broken = image("red")
    broken["source"]["data"] = base64.b64encode(b"\x89PNG\r\n\x1a\nno image").decode()
    body: dict[str, Any] = {"model": model, "messages": user(broken)}
    with pytest.raises(anthropic.BadRequestError) as refused:
        claude.messages.create(**body, max_tokens=1)
    with pytest.raises(anthropic.BadRequestError) as counted:
        claude.messages.count_tokens(**body)
    assert counted.value.message.replace(str(counted.value.request_id), "") == (
        refused.value.message.replace(str(refused.value.request_id), "")
    )


def test_nothing_is_computed_to_count(serving: Gateway, claude: anthropic.Anthropic) -> None:
    """What has been read once lies in the cache; here, nothing has."""
    for model in ("native", "layered"):
        cached: Any = {**image("green"), "cache_control": {"type": "ephemeral"}}
        body: dict[str, Any] = {"model": model, "messages": user(text("look " * 250), cached)}
        counted = claude.messages.count_tokens(**body).input_tokens
        first = claude.messages.create(**body, max_tokens=1).usage
        again = claude.messages.create(**body, max_tokens=1).usage
        assert (first.input_tokens, first.cache_read_input_tokens) == (counted, 0)
        assert again.cache_read_input_tokens


def test_an_image_adds_its_tokens(claude: anthropic.Anthropic) -> None:
    for model in ("native", "layered"):
        one, two = (
            claude.messages.count_tokens(model=model, messages=user(*[image("red")] * many))  # type: ignore[arg-type]
            for many in (1, 2)
        )
        assert two.input_tokens - one.input_tokens == TOKENS
