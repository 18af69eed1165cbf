"""OpenAI's own client, and models for it: each by its GGUF's template, and by a TEMPLATE."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage

from tests.fakes.prompts import ABLE_LAYER, INSERT, LAYER
from tests.fakes.scripts import (
    ENDLESS,
    JSON,
    NATIVE,
    OWN,
    PLAIN,
    THINKING,
    TOOLS,
    Scripted,
    create,
)

HI = [{"role": "user", "content": "hi"}]
_AFTER: dict[str, Any] = {"side": ("It is ", "warm."), "jumps": {"<|ready|>": "It is "}}
_READY_LAYER = ABLE_LAYER.replace(
    "{{ end }}assistant: ", '{{ end }}assistant: {{ if eq $last "tool" }}<|ready|>{{ end }}'
)
_TWO_CALLS = tuple(
    f'<tool_call>\n{{"name": "weather", "arguments": {{"city": "{city}"}}}}\n</tool_call>'
    for city in ("Paris", "Rome")
)
SCRIPTS = {
    "native-parallel": Scripted(_TWO_CALLS, template=TOOLS.template),
    "layered-parallel": Scripted(_TWO_CALLS, template=None, recipe={"template": ABLE_LAYER}),
    "native-plain": OWN,
    "native-endless": Scripted(ENDLESS.pieces, template=NATIVE, more=ENDLESS.more),
    "native-json": Scripted(JSON.pieces, template=NATIVE),
    "native-thinking": THINKING,
    "native-agent": Scripted(
        TOOLS.pieces,
        template=f"{TOOLS.template}{{% if messages[-1].role == 'tool' %}}<|ready|>{{% endif %}}",
        more=_AFTER,
    ),
    "layered-plain": Scripted(PLAIN.pieces, template=None, recipe={"template": LAYER}),
    "layered-endless": Scripted(
        ENDLESS.pieces, template=None, recipe={"template": ABLE_LAYER}, more=ENDLESS.more
    ),
    "layered-json": Scripted(JSON.pieces, template=None, recipe={"template": ABLE_LAYER}),
    "layered-thinking": Scripted(THINKING.pieces, template=None, recipe={"template": ABLE_LAYER}),
    "layered-agent": Scripted(
        TOOLS.pieces,
        template=None,
        recipe={
            "template": '{{ $last := "" }}{{ range .Messages }}{{ $last = .Role }}{{ end }}'
            + _READY_LAYER
        },
        more=_AFTER,
    ),
    "layered-insert": Scripted(
        ("whole. ",),
        template=None,
        recipe={"template": INSERT},
        more={"side": ("middle.",), "jumps": {"<SUF>after<MID>": "middle."}},
    ),
    "embedding": Scripted(("Mute.",), more={"metadata": {"llama.pooling_type": 1}}),
}


def add_all(client: httpx.Client, folder: Path) -> None:
    for name, script in SCRIPTS.items():
        create(client, name, script, folder)


@contextmanager
def connected(url: str) -> Iterator[OpenAI]:
    """A client that does not try again, so that every error shows."""
    http = DefaultHttpxClient(trust_env=False)
    with OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0, http_client=http) as client:
        yield client


def waiting(url: str) -> AsyncOpenAI:
    """The same for coroutines; use as a context manager."""
    http = DefaultAsyncHttpxClient(trust_env=False)
    return AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0, http_client=http)


def ask(gpt: OpenAI, model: str, **body: Any) -> ChatCompletion:
    """A chat about "hi", unless `messages` says what about."""
    reply = gpt.chat.completions.create(**{"model": model, "messages": HI, **body})
    assert isinstance(reply, ChatCompletion)
    return reply


def message_of(reply: ChatCompletion) -> ChatCompletionMessage:
    (choice,) = reply.choices
    return choice.message


def stream(gpt: OpenAI, model: str, **body: Any) -> list[ChatCompletionChunk]:
    body = {"model": model, "messages": HI, "stream": True, **body}
    return list(gpt.chat.completions.create(**body))


def output(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
