"""Chat and generate through the real engine: texts, counts and endings are known beforehand."""

import json
import re
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.fakes.scripts import JSON, PLAIN, THINKING, UNICODE, WEATHER

pytestmark = pytest.mark.engine

HI = [{"role": "user", "content": "hi"}]
# What ChatML makes of "hi": by the TEMPLATE that "plain" got, and by the template of "own", where
# no line ends after a mark. And as tokens: <s>, then mark u s e r \n h i mark \n, mark
# a s s i s t a n t \n.
PROMPTS = {
    "plain": "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
    "own": "<|im_start|>user\nhi<|im_end|><|im_start|>assistant",
}
TOKENS = {"plain": 1 + 10 + 11, "own": 1 + 9 + 10}
either = pytest.mark.parametrize("model", PROMPTS)
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "integer"}},
    "required": ["answer"],
}
COUNTS = ("prompt_eval_count", "eval_count")
TIMES = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


def ask(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    reply = client.post(path, json={"stream": False, **body})
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    value: dict[str, Any] = reply.json()
    return value


def chat(client: httpx.Client, model: str, **body: Any) -> dict[str, Any]:
    return ask(client, "/api/chat", model=model, **{"messages": HI, **body})


def generate(client: httpx.Client, model: str, **body: Any) -> dict[str, Any]:
    return ask(client, "/api/generate", model=model, **{"prompt": "hi", **body})


def stream(client: httpx.Client, path: str, **body: Any) -> list[dict[str, Any]]:
    reply = client.post(path, json=body)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert reply.content.endswith(b"\n")
    return [json.loads(line) for line in reply.content.split(b"\n")[:-1]]


def prompt_of(client: httpx.Client, path: str, **body: Any) -> str:
    """The text that the engine would go on from."""
    return str(
        ask(client, path, _debug_render_only=True, **body)["_debug_info"]["rendered_template"]
    )


# Whole and streamed


@either
def test_a_chat_in_one_object(client: httpx.Client, model: str) -> None:
    reply = chat(client, model)
    assert [*reply] == ["model", "created_at", "message", "done", "done_reason", *sorted_metrics()]
    assert reply["message"] == {"role": "assistant", "content": PLAIN.text}
    assert (reply["done"], reply["done_reason"]) == (True, "stop")
    assert reply["prompt_eval_count"] == TOKENS[model]
    assert reply["eval_count"] == len(PLAIN.pieces) + 1
    assert all(reply[name] > 0 for name in TIMES)
    assert abs(seconds_since(reply["created_at"])) < 60


def sorted_metrics() -> list[str]:
    return [
        "total_duration",
        "load_duration",
        "prompt_eval_count",
        "prompt_eval_duration",
        "eval_count",
        "eval_duration",
    ]


def seconds_since(stamp: str) -> float:
    """`stamp` is RFC 3339 in UTC; Python reads six digits of a second."""
    whole, _, fraction = stamp.removesuffix("Z").partition(".")
    moment = datetime.fromisoformat(f"{whole}.{fraction[:6] or '0'}+00:00")
    return datetime.now(moment.tzinfo).timestamp() - moment.timestamp()


@either
def test_a_chat_line_by_line(client: httpx.Client, model: str) -> None:
    *lines, last = stream(client, "/api/chat", model=model, messages=HI)
    assert [line["message"] for line in lines] == [
        {"role": "assistant", "content": piece} for piece in PLAIN.pieces
    ]
    assert all([*line] == ["model", "created_at", "message", "done"] for line in lines)
    assert not any(line["done"] for line in lines)
    assert last["message"] == {"role": "assistant", "content": ""}
    assert (last["done"], last["done_reason"]) == (True, "stop")
    assert [last[name] for name in COUNTS] == [TOKENS[model], len(PLAIN.pieces) + 1]


@either
def test_a_completion_in_one_object(client: httpx.Client, model: str) -> None:
    reply = generate(client, model)
    assert (reply["response"], reply["done_reason"]) == (PLAIN.text, "stop")
    assert [reply[name] for name in COUNTS] == [TOKENS[model], len(PLAIN.pieces) + 1]
    # What was read, but for <s>, which every prompt gets anew; and what was said, but for its end.
    assert len(reply["context"]) == TOKENS[model] - 1 + len(PLAIN.pieces)


def test_a_completion_line_by_line(client: httpx.Client) -> None:
    *lines, last = stream(client, "/api/generate", model="plain", prompt="hi")
    assert [line["response"] for line in lines] == [*PLAIN.pieces]
    assert (last["response"], last["done"], last["done_reason"]) == ("", True, "stop")
    assert last["context"] == generate(client, "plain")["context"]


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
def test_a_reply_without_text(client: httpx.Client, path: str) -> None:
    lines = stream(client, path, model="empty", messages=HI, prompt="hi")
    assert [line["done"] for line in lines] == [True]
    assert [lines[0][name] for name in ("done_reason", "eval_count")] == ["stop", 1]


def test_text_of_every_kind_survives(client: httpx.Client) -> None:
    assert chat(client, "unicode")["message"]["content"] == UNICODE.text
    assert generate(client, "unicode")["response"] == UNICODE.text
    lines = stream(client, "/api/chat", model="unicode", messages=HI)
    assert [line["message"]["content"] for line in lines[:-1]] == [*UNICODE.pieces]


def test_line_separators_are_escaped_for_clients_that_split_at_them(client: httpx.Client) -> None:
    raw = client.post("/api/chat", json={"model": "unicode", "messages": HI}).content
    assert "\u2028".encode() not in raw
    assert b'"a\\u2028b"' in raw
    assert b'" \\u003c\\u0026\\u003e"' in raw


@pytest.mark.parametrize("name", ["PLAIN", "plain:latest", "registry.ollama.ai/library/plain"])
def test_the_model_is_called_what_the_client_called_it(client: httpx.Client, name: str) -> None:
    assert chat(client, name)["model"] == name
    lines = stream(client, "/api/generate", model=name, prompt="hi")
    assert {line["model"] for line in lines} == {name}


# Endings


def test_a_limit_ends_a_reply(client: httpx.Client) -> None:
    reply = generate(client, "endless", options={"num_predict": 4})
    assert (reply["response"], reply["done_reason"]) == ("tick tack tock tick ", "length")
    assert reply["eval_count"] == 4
    last = stream(client, "/api/chat", model="endless", messages=HI, options={"num_predict": 2})[-1]
    assert (last["done_reason"], last["eval_count"]) == ("length", 2)


def test_a_stop_word_ends_a_reply_and_is_not_in_it(client: httpx.Client) -> None:
    options = {"stop": ["tock"]}
    reply = chat(client, "endless", options=options)
    assert reply["message"]["content"] == "tick tack "
    assert reply["done_reason"] == "stop"
    lines = stream(client, "/api/generate", model="endless", prompt="hi", options=options)
    assert "".join(line["response"] for line in lines) == "tick tack "


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_prompt_that_must_not_be_cut_is_refused(
    client: httpx.Client, path: str, whole: bool
) -> None:
    text = "x" * 600
    body = {"model": "plain", "prompt": text, "messages": [{"role": "user", "content": text}]}
    reply = client.post(path, json={**body, "truncate": False, "stream": not whole})
    assert reply.status_code == 400
    assert "exceeds the available context size" in reply.json()["error"]


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
def test_of_a_prompt_that_is_too_long_the_middle_goes(client: httpx.Client, path: str) -> None:
    """Half of the context is the reply's, and the head of the prompt stays with it."""
    text = "x" * 600
    body = {"model": "plain", "prompt": text, "messages": [{"role": "user", "content": text}]}
    reply = client.post(path, json={**body, "stream": False})
    assert reply.status_code == 200
    kept = 256 + 4 // 2 + 1
    assert reply.headers["x-paddock-truncated"] == f"{TOKENS['plain'] - 2 + 600 - kept} tokens"
    assert reply.json()["prompt_eval_count"] == kept


# Prompts


@either
def test_a_prompt_goes_through_the_models_template(client: httpx.Client, model: str) -> None:
    hi = PROMPTS[model]
    assert prompt_of(client, "/api/chat", model=model, messages=HI) == hi
    assert prompt_of(client, "/api/generate", model=model, prompt="hi") == hi
    system = "<|im_start|>system\nBe nice.<|im_end|>" + "\n" * (model == "plain")
    nice = prompt_of(client, "/api/generate", model=model, prompt="hi", system="Be nice.")
    assert nice == system + hi


def test_system_and_messages_of_the_model_come_first(client: httpx.Client) -> None:
    whole = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nSure?<|im_end|>\n"
        "<|im_start|>assistant\nSure.<|im_end|>\n"
    ) + PROMPTS["plain"]
    assert prompt_of(client, "/api/chat", model="tutored", messages=HI) == whole
    assert prompt_of(client, "/api/generate", model="tutored", prompt="hi") == whole


def test_parameters_of_the_model_hold_unless_the_request_has_its_own(client: httpx.Client) -> None:
    assert chat(client, "tutored")["message"]["content"] == "Yes, "
    own = chat(client, "tutored", options={"stop": ["never"]})
    assert own["message"]["content"] == "Yes, indeed."
    short = chat(client, "tutored", options={"num_predict": 1, "stop": ["never"]})
    assert (short["message"]["content"], short["done_reason"]) == ("Yes, ", "length")


@either
def test_a_context_is_what_the_next_prompt_goes_on_from(client: httpx.Client, model: str) -> None:
    context = generate(client, model)["context"]
    again = prompt_of(client, "/api/generate", model=model, prompt="hi", context=context)
    assert again == PROMPTS[model] + PLAIN.text + PROMPTS[model]


def test_a_raw_prompt_is_gone_on_from_as_it_is(client: httpx.Client) -> None:
    reply = generate(client, "plain", prompt="Alpha beta ", raw=True)
    assert reply["response"] == "gamma delta."
    assert reply["prompt_eval_count"] == 3
    assert "context" not in reply


# Forms


@pytest.mark.parametrize("form", ["json", SCHEMA])
def test_json_that_the_model_would_write_anyway(client: httpx.Client, form: Any) -> None:
    assert json.loads(chat(client, "json", format=form)["message"]["content"]) == {"answer": 42}
    assert generate(client, "json", format=form)["response"] == JSON.text


@either
def test_a_format_keeps_the_model_from_its_own_text(client: httpx.Client, model: str) -> None:
    """Its script is no JSON, so what it writes instead is the grammar's doing."""
    options = {"num_predict": 60, "seed": 1}
    assert generate(client, model, format="json", options=options)["response"].startswith("{")
    reply = chat(client, model, format=SCHEMA, options=options)
    assert re.match(r'\{\s*"answer"\s*:', reply["message"]["content"])


def test_a_format_that_is_none_is_refused(client: httpx.Client) -> None:
    reply = client.post("/api/chat", json={"model": "plain", "messages": HI, "format": "yaml"})
    assert reply.status_code == 400
    assert "invalid format" in reply.json()["error"]


def test_thinking_is_set_apart(client: httpx.Client) -> None:
    message = chat(client, "thinking")["message"]
    assert message == {"role": "assistant", "content": "It is 4.", "thinking": "Let me see.\n"}
    lines = stream(client, "/api/chat", model="thinking", messages=HI)
    assert "".join(line["message"].get("thinking", "") for line in lines) == "Let me see.\n"
    assert "".join(line["message"]["content"] for line in lines) == "It is 4."
    assert lines[-1]["eval_count"] == len(THINKING.pieces) + 1


def test_thinking_can_be_switched_off(client: httpx.Client) -> None:
    message = chat(client, "thinking", think=False)["message"]
    assert message == {"role": "assistant", "content": "No thoughts."}


@pytest.mark.parametrize("whole", [True, False])
def test_a_tool_is_called(client: httpx.Client, whole: bool) -> None:
    body = {"model": "tools", "messages": HI, "tools": [WEATHER]}
    reply = ask(client, "/api/chat", **body) if whole else stream(client, "/api/chat", **body)[-1]
    (call,) = reply["message"]["tool_calls"]
    assert call["function"] == {"index": 0, "name": "weather", "arguments": {"city": "Paris"}}
    assert (reply["message"]["content"], reply["done_reason"]) == ("", "stop")


def test_the_answer_of_a_tool_reaches_the_prompt(client: httpx.Client) -> None:
    call = {"function": {"name": "weather", "arguments": {"city": "Paris"}}}
    reported = [
        *HI,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_name": "weather", "content": "11 degrees"},
    ]
    prompt = prompt_of(client, "/api/chat", model="tools", messages=reported)
    assert '{"name": "weather", "arguments": {"city": "Paris"}}' in prompt
    assert "<|im_start|>tool11 degrees<|im_end|>" in prompt


def test_abilities_the_model_lacks_are_refused(client: httpx.Client) -> None:
    for more, words in (
        ({"tools": [WEATHER]}, "does not support tools"),
        ({"think": True}, "does not support thinking"),
    ):
        reply = client.post("/api/chat", json={"model": "plain", "messages": HI, **more})
        assert reply.status_code == 400
        assert words in reply.json()["error"]
