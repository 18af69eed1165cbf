"""Chat completions, completions and models of the OpenAI dialect, through the real engine."""

import json
from typing import Any

import httpx
import pytest

from tests.fakes.scripts import EMPTY, JSON, MODELS, PLAIN, THINKING, UNICODE, WEATHER

pytestmark = pytest.mark.engine

HI = [{"role": "user", "content": "hi"}]
CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
# Those of ChatML around "hi", as tests/e2e/test_ollama.py has them.
TOKENS = {"plain": 22, "own": 20}
either = pytest.mark.parametrize("model", TOKENS)
SCHEMA = {"type": "object", "properties": {"answer": {"type": "integer"}}}


def ask(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    reply = client.post(path, json={"messages": HI, "prompt": "hi", **body})
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/json"
    value: dict[str, Any] = reply.json()
    return value


def stream(client: httpx.Client, path: str, **body: Any) -> list[dict[str, Any]]:
    """The events; that [DONE] comes last is checked here."""
    body = {"messages": HI, "prompt": "hi", "stream": True, **body}
    reply = client.post(path, json=body)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "text/event-stream"
    *events, done, nothing = reply.content.split(b"\n\n")
    assert (done, nothing) == (b"data: [DONE]", b"")
    assert all(event.startswith(b"data: ") for event in events)
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


def output(events: list[dict[str, Any]]) -> str:
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


def choice_of(reply: dict[str, Any]) -> dict[str, Any]:
    (choice,) = reply["choices"]
    assert choice["index"] == 0
    result: dict[str, Any] = choice
    return result


# Chat completions


@either
def test_a_chat_completion_in_one_object(client: httpx.Client, model: str) -> None:
    reply = ask(client, CHAT, model=model)
    assert reply["id"].startswith("chatcmpl-")
    assert reply["object"] == "chat.completion"
    assert (reply["model"], reply["system_fingerprint"]) == (model, "fp_ollama")
    assert choice_of(reply)["message"] == {"role": "assistant", "content": PLAIN.text}
    assert choice_of(reply)["finish_reason"] == "stop"
    spoken = len(PLAIN.pieces) + 1
    usage = {key: reply["usage"][key] for key in ("prompt_tokens", "completion_tokens")}
    assert usage == {"prompt_tokens": TOKENS[model], "completion_tokens": spoken}
    assert reply["usage"]["total_tokens"] == TOKENS[model] + spoken


@either
def test_a_chat_completion_event_by_event(client: httpx.Client, model: str) -> None:
    events = stream(client, CHAT, model=model)
    first, *others, last = (choice_of(event) for event in events)
    assert first["delta"] == {"role": "assistant", "content": PLAIN.pieces[0]}
    assert [choice["delta"] for choice in others] == [{"content": p} for p in PLAIN.pieces[1:]]
    assert (last["delta"], last["finish_reason"]) == ({}, "stop")
    assert all(choice["finish_reason"] is None for choice in (first, *others))
    assert len({event["id"] for event in events}) == 1
    shared = ("object", "model", "system_fingerprint")
    reported = {tuple(event[name] for name in shared) for event in events}
    assert reported == {("chat.completion.chunk", model, "fp_ollama")}


def test_usage_comes_as_an_event_of_its_own(client: httpx.Client) -> None:
    options = {"stream_options": {"include_usage": True}, "max_tokens": 3}
    *events, last = stream(client, CHAT, model="endless", **options)
    assert output(events) == "tick tack tock "
    assert choice_of(events[-1])["finish_reason"] == "length"
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 3


def test_a_chat_completion_without_text(client: httpx.Client) -> None:
    assert choice_of(ask(client, CHAT, model="empty"))["message"]["content"] == ""
    first, last = stream(client, CHAT, model="empty")
    assert choice_of(first)["delta"] == {"role": "assistant", "content": ""}
    assert choice_of(last)["finish_reason"] == "stop"


def test_text_of_every_kind_survives(client: httpx.Client) -> None:
    assert choice_of(ask(client, CHAT, model="unicode"))["message"]["content"] == UNICODE.text
    assert output(stream(client, CHAT, model="unicode")) == UNICODE.text
    assert choice_of(ask(client, COMPLETIONS, model="unicode"))["text"] == UNICODE.text


@pytest.mark.parametrize("name", ["PLAIN", "library/plain:latest"])
def test_the_model_is_called_what_the_client_called_it(client: httpx.Client, name: str) -> None:
    assert ask(client, CHAT, model=name)["model"] == name
    assert {event["model"] for event in stream(client, CHAT, model=name)} == {name}
    assert {event["model"] for event in stream(client, COMPLETIONS, model=name)} == {name}


def test_stop_words_and_limits(client: httpx.Client) -> None:
    stopped = choice_of(ask(client, CHAT, model="endless", stop="tock"))
    assert (stopped["message"]["content"], stopped["finish_reason"]) == ("tick tack ", "stop")
    cut = choice_of(ask(client, CHAT, model="endless", max_completion_tokens=2))
    assert (cut["message"]["content"], cut["finish_reason"]) == ("tick tack ", "length")


def test_the_models_own_parameters_hold_here_too(client: httpx.Client) -> None:
    assert choice_of(ask(client, CHAT, model="tutored"))["message"]["content"] == "Yes, "
    own = ask(client, CHAT, model="tutored", stop=["never"])
    assert choice_of(own)["message"]["content"] == "Yes, indeed."


def test_a_schema_is_kept_to(client: httpx.Client) -> None:
    schema = {"name": "answer", "schema": SCHEMA}
    for form in ({"type": "json_object"}, {"type": "json_schema", "json_schema": schema}):
        reply = ask(client, CHAT, model="json", response_format=form)
        assert choice_of(reply)["message"]["content"] == JSON.text
        other = ask(client, CHAT, model="plain", response_format=form, max_tokens=99, seed=1)
        assert choice_of(other)["message"]["content"].startswith("{")


def test_reasoning_is_set_apart(client: httpx.Client) -> None:
    message = choice_of(ask(client, CHAT, model="thinking"))["message"]
    assert (message["content"], message["reasoning"]) == ("It is 4.", "Let me see.\n")
    events = stream(client, CHAT, model="thinking")
    deltas = [choice_of(event)["delta"] for event in events]
    assert "".join(delta.get("reasoning", "") for delta in deltas) == "Let me see.\n"
    assert output(events) == "It is 4."


def test_reasoning_can_be_switched_off(client: httpx.Client) -> None:
    message = choice_of(ask(client, CHAT, model="thinking", reasoning_effort="none"))["message"]
    assert message == {"role": "assistant", "content": "".join(THINKING.more["side"])}


def test_a_tool_is_called(client: httpx.Client) -> None:
    choice = choice_of(ask(client, CHAT, model="tools", tools=[WEATHER]))
    (call,) = choice["message"]["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "weather")
    assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}
    assert choice["finish_reason"] == "tool_calls"


def test_a_tool_call_is_streamed_in_pieces(client: httpx.Client) -> None:
    events = stream(client, CHAT, model="tools", tools=[WEATHER])
    pieces = [p for event in events for p in choice_of(event)["delta"].get("tool_calls", ())]
    assert pieces[0]["function"]["name"] == "weather"
    assert pieces[0]["id"]
    arguments = "".join(piece["function"].get("arguments", "") for piece in pieces)
    assert json.loads(arguments) == {"city": "Paris"}
    assert choice_of(events[-1])["finish_reason"] == "tool_calls"


# Completions


@either
def test_a_completion_in_one_object(client: httpx.Client, model: str) -> None:
    reply = ask(client, COMPLETIONS, model=model)
    assert (reply["object"], reply["model"]) == ("text_completion", model)
    assert choice_of(reply) == {"text": PLAIN.text, "index": 0, "finish_reason": "stop"}
    spoken = len(PLAIN.pieces) + 1
    result = reply["usage"]
    assert 0 <= result.pop("prompt_tokens_details")["cached_tokens"] < TOKENS[model]
    assert result == {
        "prompt_tokens": TOKENS[model],
        "completion_tokens": spoken,
        "total_tokens": TOKENS[model] + spoken,
    }


def test_a_completion_event_by_event(client: httpx.Client) -> None:
    options = {"stream_options": {"include_usage": True}}
    *events, last, usage = stream(client, COMPLETIONS, model="plain", **options)
    assert [choice_of(event)["text"] for event in events] == [*PLAIN.pieces]
    assert (choice_of(last)["text"], choice_of(last)["finish_reason"]) == ("", "stop")
    assert usage["usage"]["completion_tokens"] == len(PLAIN.pieces) + 1


def test_a_completion_that_ends_at_once(client: httpx.Client) -> None:
    assert choice_of(ask(client, COMPLETIONS, model="empty", prompt="x"))["text"] == ""
    assert EMPTY.pieces[0] not in json.dumps(stream(client, COMPLETIONS, model="empty"))


def test_a_completion_is_cut_where_it_is_told(client: httpx.Client) -> None:
    cut = choice_of(ask(client, COMPLETIONS, model="endless", max_tokens=3))
    assert cut == {"text": "tick tack tock ", "index": 0, "finish_reason": "length"}
    stopped = choice_of(ask(client, COMPLETIONS, model="endless", stop=["tack"]))
    assert stopped == {"text": "tick ", "index": 0, "finish_reason": "stop"}


# Models and errors


def test_the_library_is_listed(client: httpx.Client) -> None:
    listing = client.get("/v1/models").json()
    assert listing["object"] == "list"
    assert {entry["id"] for entry in listing["data"]} >= {f"{name}:latest" for name in MODELS}
    one = client.get("/v1/models/plain").json()
    assert (one["id"], one["object"], one["owned_by"]) == ("plain", "model", "library")


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        (CHAT, {"model": "missing"}, 404, "model 'missing' not found"),
        (COMPLETIONS, {"model": "missing"}, 404, "model 'missing' not found"),
        (CHAT, {"model": "plain", "messages": []}, 400, ""),
        (CHAT, {"model": "plain", "tools": [WEATHER]}, 400, "does not support tools"),
        (CHAT, {}, 400, "model is required"),
    ],
)
def test_an_error_has_the_dialects_envelope(
    client: httpx.Client, path: str, body: dict[str, Any], status: int, words: str
) -> None:
    for more in ({}, {"stream": True}):
        reply = client.post(path, json={"messages": HI, "prompt": "hi", **body, **more})
        assert reply.status_code == status
        error = reply.json()["error"]
        assert [*error] == ["message", "type", "param", "code"]
        assert words in error["message"]


@either
def test_a_prompt_that_is_too_long_has_its_code(client: httpx.Client, model: str) -> None:
    messages = [{"role": "user", "content": "x" * 600}]
    for more in ({}, {"stream": True}):
        reply = client.post(CHAT, json={"model": model, "messages": messages, **more})
        assert reply.status_code == 400
        error = reply.json()["error"]
        assert (error["type"], error["code"]) == (
            "invalid_request_error",
            "context_length_exceeded",
        )
