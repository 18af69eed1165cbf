"""Ollama's requests as turns."""

from typing import Any

import orjson
import pytest

from gateway.api.ollama import requests as ollama
from gateway.api.ollama.fields import CHAT, GENERATE
from gateway.errors import Invalid
from gateway.inference.types import GenerationRequest

HI = {"role": "user", "content": "hi"}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
JSON = {"type": "json_object"}


def schema(form: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "schema", "schema": form}}


def chat(**body: Any) -> GenerationRequest:
    return ollama.chat(CHAT.decode(orjson.dumps(body)))


def generate(**body: Any) -> GenerationRequest:
    return ollama.generate(GENERATE.decode(orjson.dumps(body)))


# ---- chat


def test_a_plain_chat_is_its_messages_and_may_be_shortened() -> None:
    assert chat(messages=[HI]) == GenerationRequest(model="", messages=[HI], truncate=True)
    assert chat() == GenerationRequest(model="", messages=[], truncate=True)


def test_all_that_a_chat_may_say() -> None:
    body = {
        "messages": [HI],
        "tools": TOOLS,
        "think": "high",
        "format": "json",
        "options": {"seed": 3, "stop": ["x"], "stream": False},
        "keep_alive": 60,
        "truncate": False,
        "shift": True,
        "logprobs": True,
        "top_logprobs": 5,
    }
    assert chat(**body) == GenerationRequest(
        model="",
        messages=[HI],
        tools=TOOLS,
        think="high",
        response_format=JSON,
        options={"seed": 3, "stop": ["x"], "stream": False},
        keep_alive=60.0,
        truncate=False,
        shift=True,
        top_logprobs=5,
    )


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        (None, None),
        ("", None),
        ("json", JSON),
        ({"type": "object"}, schema({"type": "object"})),
        ({}, schema({})),
    ],
)
def test_a_format_is_a_response_format(form: Any, wanted: Any) -> None:
    for turn in (chat(**{"format": form}), generate(**{"format": form})):
        assert turn.response_format == wanted


@pytest.mark.parametrize("think", [None, True, False, "high"])
def test_thinking_is_what_the_request_says_of_it(think: bool | str | None) -> None:
    body = {} if think is None else {"think": think}
    for turn in (chat(**body), generate(**body)):
        assert (turn.think, type(turn.think)) == (think, type(think))


def test_tools_are_passed_on_unless_there_are_none() -> None:
    assert chat(tools=TOOLS).tools == TOOLS
    assert chat(tools=[]).tools == []
    assert chat(**{"tools": None}).tools == ()


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"logprobs": True}, 0),
        ({"logprobs": True, "top_logprobs": 0}, 0),
        ({"logprobs": True, "top_logprobs": 5}, 5),
        ({"logprobs": False, "top_logprobs": 5}, None),
        ({"top_logprobs": 5}, None),
    ],
)
def test_alternatives_alone_are_no_wish_for_logprobs(
    body: dict[str, Any], wanted: int | None
) -> None:
    for turn in (chat(**body), generate(**body)):
        assert turn.top_logprobs == wanted


# ---- generate


def test_a_prompt_is_a_conversation_of_one_message() -> None:
    assert generate(**{"prompt": "hi"}) == GenerationRequest(
        model="", messages=[HI], truncate=True, kind="generate"
    )
    assert generate(**{}).messages == [{"role": "user", "content": ""}]


def test_a_prompt_may_have_a_system_text_and_images() -> None:
    turn = generate(**{"prompt": "hi", "system": "Be.", "images": ["AAA="]})
    image = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AAA="}}
    text = {"type": "text", "text": "hi"}
    assert turn.system == "Be."
    assert turn.messages == [{"role": "user", "content": [text, image]}]


def test_a_context_takes_the_place_of_stored_messages() -> None:
    assert generate(**{"prompt": "hi"}).stored
    assert not generate(**{"prompt": "hi", "context": []}).stored
    assert not generate(**{"prompt": "hi", "context": [1]}).stored


# ---- checks


@pytest.mark.parametrize("number", [0, 1, 20])
def test_up_to_twenty_alternatives_can_be_had(number: int) -> None:
    ollama.check(CHAT.decode(orjson.dumps({"top_logprobs": number})))
    ollama.check(GENERATE.decode(b"{}"))


@pytest.mark.parametrize("number", [-1, 21])
def test_more_alternatives_cannot(number: int) -> None:
    with pytest.raises(Invalid, match=r"^top_logprobs must be between 0 and 20$"):
        ollama.check(CHAT.decode(orjson.dumps({"top_logprobs": number})))


@pytest.mark.parametrize(
    ("form", "quoted"),
    [
        ("xml", r'"\"xml\""'),
        (" ", r'"\" \""'),
        (5, '"5"'),
        ([], '"[]"'),
        (True, '"true"'),
        (0, '"0"'),
        (False, '"false"'),
    ],
)
def test_a_format_that_cannot_be_had_is_quoted(form: Any, quoted: str) -> None:
    words = f'invalid format: {quoted}; expected "json" or a valid JSON Schema object'
    for make in (chat, generate):
        with pytest.raises(Invalid) as caught:
            make(format=form)
        assert caught.value.message == words
