"""What the engine's own server promises of replies holds through the gateway, in every dialect.

Each family of models twice: by the chat template of its GGUF, where the engine does nearly all, and
by a TEMPLATE, where prompts and replies are the gateway's work.
"""

import json
import math
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.gpt import add_all
from tests.fakes.process import Gateway
from tests.fakes.scripts import ENDLESS, JSON, PLAIN, UNICODE

pytestmark = pytest.mark.engine

HI = [{"role": "user", "content": "hi"}]
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
RESPONSES, MESSAGES, EMBEDDINGS = "/v1/responses", "/v1/messages", "/v1/embeddings"
DIALECTS = (CHAT, COMPLETIONS, RESPONSES, MESSAGES)
SECOND = 356
"""The number of a script's second piece, after the bytes and ASCII."""
HOT = {"temperature": 100, "max_tokens": 24}
"""Any token may come next, also single bytes of no character."""
both = pytest.mark.parametrize("family", ["native", "layered"])
speaking = pytest.mark.parametrize("path", DIALECTS)


@pytest.fixture(scope="module")
def client(served: Gateway, folder: Path) -> Iterator[httpx.Client]:
    with served.client() as client:
        add_all(client, folder)
        yield client


def asking(path: str, text: str = "hi", **more: Any) -> dict[str, Any]:
    """A body that asks about `text` in the dialect of `path`; `max_tokens` by its name there."""
    message = [{"role": "user", "content": text}]
    if path == RESPONSES and "max_tokens" in more:
        more["max_output_tokens"] = more.pop("max_tokens")
    output: dict[str, dict[str, Any]] = {
        CHAT: {"messages": message},
        COMPLETIONS: {"prompt": text},
        RESPONSES: {"input": text},
        MESSAGES: {"messages": message, "max_tokens": 50},
    }
    return {**output[path], **more}


def ask(client: httpx.Client, path: str, model: str, **more: Any) -> dict[str, Any]:
    reply = client.post(path, json={**asking(path, **more), "model": model})
    assert reply.status_code == 200, reply.text
    result: dict[str, Any] = reply.json()
    return result


def events(client: httpx.Client, path: str, model: str, **more: Any) -> list[dict[str, Any]]:
    body = {**asking(path, **more), "model": model, "stream": True}
    reply = client.post(path, json=body)
    assert reply.status_code == 200, reply.text
    lines = [line.removeprefix("data: ") for line in reply.text.split("\n") if line[:5] == "data:"]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def text_of(path: str, reply: dict[str, Any]) -> str:
    match path:
        case "/v1/chat/completions":
            return str(reply["choices"][0]["message"]["content"])
        case "/v1/completions":
            return str(reply["choices"][0]["text"])
        case "/v1/messages":
            return "".join(block["text"] for block in reply["content"])
    return "".join(part["text"] for item in reply["output"] for part in item["content"])


def streamed(path: str, reported: list[dict[str, Any]]) -> str:
    """The text of a stream of events, put together."""
    match path:
        case "/v1/chat/completions":
            deltas = [choice["delta"] for event in reported for choice in event["choices"]]
            return "".join(delta.get("content") or "" for delta in deltas)
        case "/v1/completions":
            return "".join(choice["text"] for event in reported for choice in event["choices"])
        case "/v1/messages":
            return "".join(event.get("delta", {}).get("text", "") for event in reported)
    return "".join(e["delta"] for e in reported if e["type"] == "response.output_text.delta")


def counts(reply: dict[str, Any]) -> tuple[int, int, int]:
    """Tokens of the prompt, of them from the cache, and of the reply."""
    usage = reply["usage"]
    if "prompt_tokens" in usage:
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        return usage["prompt_tokens"], cached, usage["completion_tokens"]
    if "total_tokens" in usage:
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        cached = usage["input_tokens_details"]["cached_tokens"]
        return usage["input_tokens"], cached, usage["output_tokens"]
    cached = usage["cache_read_input_tokens"]
    return usage["input_tokens"] + cached, cached, usage["output_tokens"]


# Counts and limits


@both
@speaking
def test_a_prompt_is_not_read_twice(client: httpx.Client, family: str, path: str) -> None:
    text = f"{family} {path} " * 5
    first = counts(ask(client, path, f"{family}-plain", text=text))
    second = counts(ask(client, path, f"{family}-plain", text=text))
    assert (first[0], first[2]) == (second[0], second[2]) == (first[0], len(PLAIN.pieces) + 1)
    assert first[1] < first[0] - len(text) // 2
    if path in (CHAT, COMPLETIONS):  # the others tell it only to clients that ask, or of more
        assert second[1] == second[0] - 1


@both
@speaking
@pytest.mark.parametrize("limit", [1, 4, 7])
def test_a_limit_is_the_same_by_every_name(
    client: httpx.Client, family: str, path: str, limit: int
) -> None:
    reply = ask(client, path, f"{family}-endless", max_tokens=limit)
    assert text_of(path, reply) == (ENDLESS.text * 3)[: 5 * limit]
    assert counts(reply)[2] == limit
    reported = (
        reply.get("stop_reason") or reply.get("status") or reply["choices"][0]["finish_reason"]
    )
    assert reported in {"max_tokens", "incomplete", "length"}


def test_the_end_of_a_reply_can_be_forbidden(client: httpx.Client) -> None:
    for model in ("native-plain", "layered-plain"):
        reply = ask(client, CHAT, model, ignore_eos=True, max_tokens=9)
        assert text_of(CHAT, reply).startswith(PLAIN.text)
        assert (counts(reply)[2], reply["choices"][0]["finish_reason"]) == (9, "length")


@both
@speaking
def test_a_prompt_that_is_too_long_is_the_clients_mistake(
    client: httpx.Client, family: str, path: str
) -> None:
    more = {"truncation": "disabled"} if path == RESPONSES else {}
    body = {**asking(path, "x" * 900, **more), "model": f"{family}-plain"}
    for stream in (False, True):
        reply = client.post(path, json={**body, "stream": stream})
        error = reply.json()["error"]
        assert (reply.status_code, error["type"]) == (400, "invalid_request_error")
        assert error.get("code", "context_length_exceeded") == "context_length_exceeded"
        assert re.search(r"9\d\d tokens", error["message"])


# Streams


@both
@speaking
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_stream_says_what_the_whole_says(
    client: httpx.Client, family: str, path: str, seed: int
) -> None:
    """Also of bytes that are no text, and of bytes that become text one by one."""
    if path in (RESPONSES, MESSAGES):
        more: dict[str, Any] = {"max_tokens": seed * 3}
        whole = ask(client, path, f"{family}-endless", **more)
        reported = events(client, path, f"{family}-endless", **more)
    else:
        more = {**HOT, "seed": seed}
        whole = ask(client, path, f"{family}-plain", **more)
        reported = events(client, path, f"{family}-plain", **more)
    assert streamed(path, reported) == text_of(path, whole) != ""


@both
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_the_last_chunk_has_the_counts(client: httpx.Client, family: str, path: str) -> None:
    more = {"stream_options": {"include_usage": True}, "max_tokens": 3}
    *reported, last = events(client, path, f"{family}-endless", **more)
    assert [event for event in reported if event.get("usage")] == []
    assert {event["id"] for event in reported} == {last["id"]}
    assert (last["choices"], counts(last)[2]) == ([], 3)
    assert reported[-1]["choices"][0]["finish_reason"] == "length"
    if (family, path) == ("native", CHAT):  # the engine's own chunks, passed on
        assert last["timings"]["predicted_n"] == 3
        assert "timings" not in reported[0]


@both
def test_the_events_of_a_response_name_one_response(client: httpx.Client, family: str) -> None:
    reported = events(client, RESPONSES, f"{family}-thinking")
    (ident,) = {event["response"]["id"] for event in reported if "response" in event}
    assert ident.startswith("resp_")
    items = [e["item"]["id"] for e in reported if e["type"] == "response.output_item.added"]
    assert [item.split("_")[0] for item in items] == ["rs", "msg"]
    assert {event["item_id"] for event in reported if "item_id" in event} == set(items)
    assert [item["id"] for item in reported[-1]["response"]["output"]] == items


def test_many_at_once_are_each_told_their_own(client: httpx.Client) -> None:
    models = {"plain": PLAIN.text, "json": JSON.text, "agent": "<tool_call>"}
    requested = [
        (family, name, path)
        for family in ("native", "layered")
        for name in models
        for path in DIALECTS
    ]

    def one(what: tuple[str, str, str]) -> tuple[bool, str]:
        family, name, path = what
        whole = text_of(path, ask(client, path, f"{family}-{name}"))
        reported = events(client, path, f"{family}-{name}")
        return whole == streamed(path, reported), whole

    with ThreadPoolExecutor(8) as pool:
        result = list(pool.map(one, requested))
    for (_, name, _), (same, whole) in zip(requested, result, strict=True):
        assert same
        assert whole.startswith(models[name])


# Sampling


@both
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_a_seed_says_the_same_in_every_slot(client: httpx.Client, family: str, path: str) -> None:
    def text(seed: int) -> str:
        return text_of(path, ask(client, path, f"{family}-plain", **HOT, seed=seed))

    with ThreadPoolExecutor(4) as pool:
        same = set(pool.map(text, [42] * 4))
        others = set(pool.map(text, range(4)))
    assert len(same) == 1
    assert len(others) == 4


@both
@pytest.mark.parametrize("most", [0, 1, 5, 20])
def test_chances_add_up_to_one_at_most(client: httpx.Client, family: str, most: int) -> None:
    more = {"logprobs": True, "top_logprobs": most, **HOT, "seed": 5}
    (choice,) = ask(client, CHAT, f"{family}-plain", **more)["choices"]
    entries = choice["logprobs"]["content"]
    reported = events(client, CHAT, f"{family}-plain", **more)
    parts = [choice.get("logprobs") for event in reported for choice in event["choices"]]
    assert [entry for part in parts if part for entry in part["content"]] == entries
    assert {len(entry["top_logprobs"]) for entry in entries} == {most}
    for entry in entries:
        assert entry["logprob"] <= 0
        chances = [top["logprob"] for top in entry["top_logprobs"]]
        assert chances == sorted(chances, reverse=True)
        assert sum(map(math.exp, chances)) <= 1 + 1e-3


@both
@pytest.mark.parametrize("path", [COMPLETIONS, RESPONSES])
def test_chances_come_with_their_text(client: httpx.Client, family: str, path: str) -> None:
    more = {"logprobs": 2} if path == COMPLETIONS else {"top_logprobs": 2}
    whole = ask(client, path, f"{family}-plain", **more)
    reported = events(client, path, f"{family}-plain", **more)
    if path == RESPONSES:
        (done,) = [event for event in reported if event["type"] == "response.output_text.done"]
        deltas = [event for event in reported if event["type"] == "response.output_text.delta"]
        result = [entry for delta in deltas for entry in delta["logprobs"]]
        assert done["logprobs"] == whole["output"][0]["content"][0]["logprobs"]
        assert result == done["logprobs"][: len(result)]
        assert [entry["token"] for entry in result][: len(PLAIN.pieces)] == [*PLAIN.pieces]
        return
    parts = [event["choices"][0].get("logprobs") for event in reported]
    for name, values in whole["choices"][0]["logprobs"].items():
        assert [value for part in parts if part for value in part[name]] == values
        assert len(values) >= len(PLAIN.pieces)


@both
def test_the_tokens_with_chances_make_the_text(client: httpx.Client, family: str) -> None:
    model = "unicode" if family == "layered" else "native-plain"
    script = UNICODE if family == "layered" else PLAIN
    more = {"logprobs": True, "top_logprobs": 2}
    (choice,) = ask(client, CHAT, model, **more)["choices"]
    reported = events(client, CHAT, model, **more)
    parts = [choice.get("logprobs") for event in reported for choice in event["choices"]]
    one_by_one = [entry for part in parts if part for entry in part["content"]]
    for entries in (choice["logprobs"]["content"], one_by_one):
        data = b"".join(bytes(entry["bytes"]) for entry in entries)
        assert data.decode() == choice["message"]["content"] == script.text


@both
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize("banned", [{str(SECOND): -1000}, {str(SECOND): False}, {"beta ": False}])
def test_a_token_can_be_forbidden(
    client: httpx.Client, family: str, path: str, banned: dict[str, Any]
) -> None:
    more = {"logit_bias": banned, "temperature": 0, "max_tokens": 4}
    text = text_of(path, ask(client, path, f"{family}-plain", **more))
    assert text.startswith("Alpha ")
    assert "beta " not in text
    strange = {"logit_bias": {"999999": -100, "-5": 100}}
    assert text_of(path, ask(client, path, f"{family}-plain", **strange)) == PLAIN.text


@both
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, MESSAGES])
def test_a_stop_text_may_lie_across_tokens(client: httpx.Client, family: str, path: str) -> None:
    name = "stop_sequences" if path == MESSAGES else "stop"
    for stop, text in (("ta g", "Alpha be"), ("ta x", PLAIN.text), ("a. ", PLAIN.text)):
        more: dict[str, Any] = {name: [stop]}
        whole = ask(client, path, f"{family}-plain", **more)
        assert text_of(path, whole) == text
        assert streamed(path, events(client, path, f"{family}-plain", **more)) == text
        if path == MESSAGES:
            expected = stop if text != PLAIN.text else None
            assert whole["stop_sequence"] == expected
        else:
            assert whole["choices"][0]["finish_reason"] == "stop"


# Prompts


@pytest.mark.parametrize("content", ["Alpha ", [{"type": "text", "text": "Alpha "}]])
def test_a_reply_goes_on_where_the_assistant_stopped(client: httpx.Client, content: Any) -> None:
    """What was there already is not repeated."""
    begun = {"messages": [*HI, {"role": "assistant", "content": content}]}
    rest = "".join(PLAIN.pieces[1:])
    for path in (CHAT, MESSAGES):
        whole = ask(client, path, "native-plain", **begun)
        assert text_of(path, whole) == rest
        assert streamed(path, events(client, path, "native-plain", **begun)) == rest


@pytest.mark.parametrize(
    ("path", "kind"), [(CHAT, "text"), (RESPONSES, "input_text"), (MESSAGES, "text")]
)
def test_the_parts_of_a_message_are_one_message(client: httpx.Client, path: str, kind: str) -> None:
    """Each dialect has its own seam between them."""
    seam = {CHAT: "\n", RESPONSES: "", MESSAGES: ""}[path]
    member = "input" if path == RESPONSES else "messages"

    def tokens(content: Any) -> int:
        message = [{"role": "user", "content": content}]
        return counts(ask(client, path, "native-plain", **{member: message}))[0]

    parts = [{"type": kind, "text": text} for text in ("one", "two")]
    assert tokens(parts) == tokens(f"one{seam}two")


# Embeddings


def test_a_vector_is_the_same_in_any_company(client: httpx.Client) -> None:
    texts = [letter * (position % 5 + 1) for position, letter in enumerate("abcdefghijkl" * 2)]
    lengths = [letter * count for letter, count in zip("wxyz", range(253, 257), strict=True)]
    for batch in (texts, lengths, ["same"] * 5):
        reply = client.post(EMBEDDINGS, json={"model": "embedding", "input": batch}).json()
        assert [entry["index"] for entry in reply["data"]] == list(range(len(batch)))
        alone = {text: _alone(client, text) for text in set(batch)}
        for text, entry in zip(batch, reply["data"], strict=True):
            assert entry["embedding"] == pytest.approx(alone[text]["vector"], abs=1e-5)
            assert math.hypot(*entry["embedding"]) == pytest.approx(1, abs=1e-3)
        usage = reply["usage"]
        assert usage["prompt_tokens"] == usage["total_tokens"]
        assert usage["prompt_tokens"] == sum(alone[text]["tokens"] for text in batch)


def _alone(client: httpx.Client, text: str) -> dict[str, Any]:
    reply = client.post(EMBEDDINGS, json={"model": "embedding", "input": text}).json()
    return {"vector": reply["data"][0]["embedding"], "tokens": reply["usage"]["prompt_tokens"]}
