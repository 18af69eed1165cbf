"""Every member of chat completions and completions, sent by OpenAI's own client."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, OpenAI
from openai.types import Completion

from gateway.api.openai.fields import CHAT, COMPLETION
from tests.fakes.gpt import HI, add_all, ask, connected, message_of, output, stream
from tests.fakes.process import Gateway
from tests.fakes.scripts import ENDLESS, PLAIN, WEATHER

pytestmark = pytest.mark.engine

FIRST = 355
"""The number of a script's first piece, after the bytes and ASCII."""
HOT = {"temperature": 100, "max_tokens": 5}
"""What makes a script's next piece no likelier than some other tokens."""
both = pytest.mark.parametrize("family", ["native", "layered"])


@dataclass(frozen=True)
class Sent:
    """What is sent to which model, what comes back (None: anything but the script)."""

    body: dict[str, Any]
    text: str | None = PLAIN.text
    model: str = "plain"
    reason: str = "stop"


@dataclass(frozen=True)
class Refused:
    body: dict[str, Any]
    words: str


def also(**members: Any) -> dict[str, Any]:
    """Members, also where the official client has no room for them."""
    return {"extra_body": members}


def form(kind: str, **more: Any) -> dict[str, Any]:
    return also(response_format={"type": kind, **more})


LONG = ENDLESS.text * 4
SAMPLING: dict[str, list[Sent | Refused]] = {
    "temperature": [Sent({"temperature": 0}), Sent({**HOT, "seed": 1}, None)],
    "top_p": [Sent({**HOT, "top_p": 0.5, "max_tokens": 9})],
    "frequency_penalty": [
        Sent({"frequency_penalty": 99, "max_tokens": 12}, None, "endless", "length"),
        Sent({"frequency_penalty": 0, "max_tokens": 12}, LONG, "endless", "length"),
    ],
    "presence_penalty": [
        Sent({"presence_penalty": 999, "max_tokens": 12}, None, "endless", "length"),
        Sent({"presence_penalty": 0, "max_tokens": 12}, LONG, "endless", "length"),
    ],
    "max_tokens": [Sent({"max_tokens": 2}, "tick tack ", "endless", "length")],
    "stop": [
        Sent({"stop": "tock"}, "tick tack ", "endless"),
        Sent({"stop": ["never", "tack"]}, "tick ", "endless"),
    ],
    "logit_bias": [
        Sent({"logit_bias": {str(FIRST): -100, str(FIRST + 2): 100}}, "gamma delta."),
        Refused({"logit_bias": {str(FIRST): "x"}}, "must be a number"),
    ],
    "response_format": [
        Sent(form("text")),
        Sent(form("json_object"), '{"answer": 42 }', "json"),
        Sent(form("json_object", schema={"const": 7}), "7"),
        Sent(form("json_schema", schema={"const": 7}), "7"),
        Sent(form("json_schema", json_schema={"schema": {"const": 7}}), "7"),
        Refused(form("xml"), "must be text, json_object, json_schema"),
        Refused(form("json_object", schema={"minItems": 2, "maxItems": 1}), "at #:"),
    ],
    "grammar": [
        Sent(also(grammar='root ::= "a"{3}'), "aaa"),
        Refused(also(grammar='root ::= "a"{3,2}'), "ends before it begins"),
    ],
    "json_schema": [
        Sent(also(json_schema={"const": 7}), "7"),
        Refused(also(json_schema={"type": "array", "items": {"type": "x"}}), "#/items"),
    ],
    "n_probs": [
        Sent(also(n_probs=2)),
        Refused(also(n_probs=21), "must be between 0 and 20"),
    ],
    "post_sampling_probs": [Refused(also(post_sampling_probs=True), "those before sampling")],
    "max_completion_tokens": [
        Sent(also(max_completion_tokens=1, max_tokens=9), "tick ", "endless", "length")
    ],
    "n": [Sent({"n": 1}), Refused({"n": 2}, "'n' must be 1")],
    "user": [Sent({"user": "somebody"})],
    "keep_alive": [
        Sent({"extra_body": {"keep_alive": "7m"}}),
        Refused({"extra_body": {"keep_alive": "soon"}}, "soon"),
    ],
}
ONLY_CHAT: dict[str, list[Sent | Refused]] = {
    "messages": [
        Sent({"messages": [{"role": "developer", "content": "Be brief."}, *HI]}),
        Refused({"messages": []}, "[] is too short - 'messages'"),
    ],
    "tools": [
        Refused({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "'custom'"),
        Sent({"tools": []}),
    ],
    "tool_choice": [
        Refused({"tools": [WEATHER], "tool_choice": "any"}, "invalid 'tool_choice': 'any'")
    ],
    "parallel_tool_calls": [Sent({"parallel_tool_calls": False})],
    "reasoning_effort": [
        Sent({"reasoning_effort": "high"}, "It is 4.", "thinking"),
        Refused({"reasoning_effort": "high"}, '"{model}" does not support thinking'),
    ],
    "reasoning": [
        Sent({"extra_body": {"reasoning": {"effort": "high"}}}, "It is 4.", "thinking"),
        Refused({"extra_body": {"reasoning": {"effort": "some"}}}, 'reasoning value: "some"'),
    ],
    "logprobs": [Sent({"logprobs": True}), Sent({"logprobs": False})],
    "top_logprobs": [
        Sent({"logprobs": True, "top_logprobs": 2}),
        Refused({"logprobs": True, "top_logprobs": 21}, "must be between 0 and 20"),
    ],
    "chat_template_kwargs": [Sent({"extra_body": {"chat_template_kwargs": {"any": 1}}})],
    "metadata": [Sent({"metadata": {"a": "b"}})],
    "store": [Sent({"store": True})],
    "service_tier": [Sent({"service_tier": "flex"})],
    "prediction": [Sent({"prediction": {"type": "content", "content": "Alpha"}})],
    "verbosity": [Sent({"verbosity": "low"})],
    "safety_identifier": [Sent({"safety_identifier": "somebody"})],
    "prompt_cache_key": [Sent({"prompt_cache_key": "key"})],
    "prompt_cache_retention": [Sent({"prompt_cache_retention": "24h"})],
    "prompt_cache_options": [Sent({"prompt_cache_options": {}})],
    "moderation": [Sent({"moderation": {}})],
    "modalities": [
        Sent({"modalities": ["text"]}),
        Refused({"modalities": ["text", "audio"]}, "'modalities' must be"),
    ],
    "audio": [Refused({"audio": {"voice": "x", "format": "wav"}}, "no model here speaks")],
    "web_search_options": [Refused({"web_search_options": {}}, "no search here")],
    "functions": [Refused({"functions": [{"name": "f"}]}, "use 'tools'")],
    "function_call": [Refused({"function_call": "auto"}, "use 'tool_choice'")],
}
ONLY_COMPLETION: dict[str, list[Sent | Refused]] = {
    # What Ollama says when a model is only loaded.
    "prompt": [
        Sent({"prompt": ""}, "", reason="load"),
        Refused({"prompt": ["hi"]}, "unmarshal array"),
    ],
    "suffix": [Refused({"suffix": "after"}, "does not support insert")],
    "logprobs": [
        Sent({"logprobs": 1}),
        Refused({"logprobs": 21}, "must be between 0 and 20"),
    ],
    "echo": [Sent({"echo": True}, f"hi{PLAIN.text}"), Sent({"echo": False})],
    "best_of": [Sent({"best_of": 1}), Refused({"best_of": 2}, "'best_of' must be 1")],
}
# Each has a test of its own below.
APART = {"model", "stream", "stream_options", "seed"}


@pytest.fixture(scope="module")
def serving(served: Gateway, folder: Path) -> Gateway:
    with served.client() as client:
        add_all(client, folder)
    return served


@pytest.fixture
def gpt(serving: Gateway) -> Iterator[OpenAI]:
    with connected(serving.url) as client:
        yield client


def completion(gpt: OpenAI, model: str, **body: Any) -> Completion:
    reply = gpt.completions.create(**{"model": model, "prompt": "hi", **body})
    assert isinstance(reply, Completion)
    return reply


def cases(*tables: dict[str, list[Sent | Refused]]) -> pytest.MarkDecorator:
    result = [
        pytest.param(case, id=f"{name}-{at}")
        for table in tables
        for name, list_ in table.items()
        for at, case in enumerate(list_)
    ]
    return pytest.mark.parametrize("case", result)


def check(case: Sent, text: str | None, reason: str) -> None:
    if case.text is None:
        assert text not in (PLAIN.text, LONG, "")
    else:
        assert (text, reason) == (case.text, case.reason)


def test_no_member_is_left_out() -> None:
    assert {*SAMPLING, *ONLY_CHAT} | APART == set(CHAT.fields)
    assert {*SAMPLING, *ONLY_COMPLETION} | APART == set(COMPLETION.fields)


@both
@cases(SAMPLING, ONLY_CHAT)
def test_a_member_of_a_chat_completion(gpt: OpenAI, family: str, case: Sent | Refused) -> None:
    if isinstance(case, Refused):
        words = case.words.replace("{model}", f"{family}-plain")
        with pytest.raises(BadRequestError) as caught:
            ask(gpt, f"{family}-plain", **case.body)
        assert words in caught.value.message
        assert caught.value.type == "invalid_request_error"
        return
    (choice,) = ask(gpt, f"{family}-{case.model}", **case.body).choices
    check(case, choice.message.content, choice.finish_reason)
    chunks = stream(gpt, f"{family}-{case.model}", **case.body)
    check(case, output(chunks), chunks[-1].choices[0].finish_reason or "")


@both
@cases(SAMPLING, ONLY_COMPLETION)
def test_a_member_of_a_completion(gpt: OpenAI, family: str, case: Sent | Refused) -> None:
    if isinstance(case, Refused):
        with pytest.raises(BadRequestError) as caught:
            completion(gpt, f"{family}-plain", **case.body)
        assert case.words in caught.value.message
        return
    (choice,) = completion(gpt, f"{family}-{case.model}", **case.body).choices
    check(case, choice.text, choice.finish_reason)
    body = {"model": f"{family}-{case.model}", "prompt": "hi", **case.body, "stream": True}
    chunks = list(gpt.completions.create(**body))
    check(
        case,
        "".join(chunk.choices[0].text for chunk in chunks),
        chunks[-1].choices[0].finish_reason,
    )


# Those apart, and what the cases above cannot see


@both
def test_the_model_goes_by_the_name_it_was_asked_by(gpt: OpenAI, family: str) -> None:
    name = f"library/{family}-plain:latest"
    assert ask(gpt, name).model == completion(gpt, name).model == name
    assert {chunk.model for chunk in stream(gpt, name)} == {name}


@both
def test_a_stream_ends_with_counts_if_they_are_wanted(gpt: OpenAI, family: str) -> None:
    name = f"{family}-plain"
    whole = ask(gpt, name).usage
    assert whole is not None
    counts = (whole.prompt_tokens, whole.completion_tokens, whole.total_tokens)
    assert counts[1:] == (len(PLAIN.pieces) + 1, counts[0] + len(PLAIN.pieces) + 1)
    options: Any = {"stream_options": {"include_usage": True}}
    chat = stream(gpt, name, **options)
    text = list(gpt.completions.create(model=name, prompt="hi", stream=True, **options))
    for chunks in (chat, text):
        last = chunks[-1]
        assert last.choices == []
        assert last.usage is not None
        reported = last.usage
        assert (reported.prompt_tokens, reported.completion_tokens, reported.total_tokens) == counts
        assert all(chunk.usage is None for chunk in chunks[:-1])
        assert all("usage" in chunk.model_fields_set for chunk in chunks)
    assert all("usage" not in chunk.model_fields_set for chunk in stream(gpt, name))


@both
def test_a_seed_makes_chance_repeatable(gpt: OpenAI, family: str) -> None:
    def texts(seed: int) -> tuple[str | None, str]:
        body = {**HOT, "seed": seed, "max_tokens": 16}
        reply = ask(gpt, f"{family}-endless", **body)
        return message_of(reply).content, completion(gpt, f"{family}-endless", **body).choices[
            0
        ].text

    first = texts(1)
    assert first == texts(1) != texts(2)


@both
def test_how_long_a_model_stays_is_up_to_the_client(
    gpt: OpenAI, serving: Gateway, family: str
) -> None:
    def left() -> timedelta:
        with serving.client() as client:
            models = client.get("/api/ps").json()["models"]
        (ends,) = [m["expires_at"] for m in models if m["name"] == f"{family}-plain:latest"]
        return datetime.fromisoformat(ends) - datetime.now(UTC)

    for requested in (ask, completion):
        for hours in (7, 3):
            requested(gpt, f"{family}-plain", extra_body={"keep_alive": f"{hours}h"})
            assert timedelta(hours=hours - 1) < left() < timedelta(hours=hours + 1)


@both
def test_the_tokens_of_a_chat_have_their_chances(gpt: OpenAI, family: str) -> None:
    body = {"logprobs": True, "top_logprobs": 3}
    (choice,) = ask(gpt, f"{family}-plain", **body).choices
    assert choice.logprobs is not None
    entries = choice.logprobs.content or []
    assert [entry.token for entry in entries[:4]] == [*PLAIN.pieces]
    assert all(len(entry.top_logprobs) == 3 for entry in entries)
    assert all(entry.top_logprobs[0].token == entry.token for entry in entries)
    assert all(-1e-3 < entry.logprob <= 0 for entry in entries)
    assert bytes(entries[0].bytes or ()) == PLAIN.pieces[0].encode()
    result = [c.logprobs for chunk in stream(gpt, f"{family}-plain", **body) for c in chunk.choices]
    streamed = [entry for part in result if part for entry in part.content or ()]
    assert [entry.token for entry in streamed] == [entry.token for entry in entries]
    (plain,) = ask(gpt, f"{family}-plain", logprobs=True).choices
    assert plain.logprobs is not None
    assert [entry.top_logprobs for entry in plain.logprobs.content or ()][:4] == [[]] * 4
    assert ask(gpt, f"{family}-plain").choices[0].logprobs is None
    (same,) = ask(gpt, f"{family}-plain", extra_body={"n_probs": 3}).choices
    assert same.logprobs == choice.logprobs


@both
def test_the_tokens_of_a_completion_have_their_chances(gpt: OpenAI, family: str) -> None:
    (choice,) = completion(gpt, f"{family}-plain", logprobs=2).choices
    result = choice.logprobs
    assert result is not None
    assert (result.tokens or [])[:4] == [*PLAIN.pieces]
    assert (result.text_offset or [])[:4] == [0, 6, 11, 17]
    assert all(-1e-3 < value <= 0 for value in result.token_logprobs or ())
    assert [len(tops) for tops in result.top_logprobs or ()][:4] == [2] * 4
    (same,) = completion(gpt, f"{family}-plain", extra_body={"n_probs": 2}).choices
    assert same.logprobs == result


def test_a_gap_is_filled(gpt: OpenAI) -> None:
    reply = completion(gpt, "layered-insert", prompt="before", suffix="after")
    assert reply.choices[0].text == "middle."


def test_the_gguf_s_own_template_is_told_more(gpt: OpenAI) -> None:
    more = {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}
    assert message_of(ask(gpt, "native-thinking", **more)).content == "No thoughts."
    assert message_of(ask(gpt, "native-thinking")).content == "It is 4."


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"max_tokens": "x"}, "cannot unmarshal string"),
        ({"seed": 1.5}, "cannot unmarshal number 1.5"),
        ({"logit_bias": [1]}, "'logit_bias' must be an object"),
        ({"temperature": "warm"}, "cannot unmarshal string"),
    ],
)
def test_values_of_wrong_types_are_refused(gpt: OpenAI, body: dict[str, Any], words: str) -> None:
    for requested in (ask, completion):
        with pytest.raises(BadRequestError, match=words):
            requested(gpt, "native-plain", **body)
