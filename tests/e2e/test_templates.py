"""Models with TEMPLATE layers through the real engine: what they say is known beforehand."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from runners import Engine
from tests.fakes.process import Gateway, gateway
from tests.fakes.prompts import ABLE_LAYER, HI, HI_PROMPT, INSERT, LAYER
from tests.fakes.scripts import NATIVE, WEATHER, Scripted, create

pytestmark = pytest.mark.engine

CONTEXT = 512
HALF = CONTEXT - (CONTEXT - 5) // 2
"""Tokens that stay of a prompt too long, the beginning of text and four more at its head."""
CUT = "x-paddock-truncated"
BEGIN = "<s>"
"""One token, which the engine puts before every prompt, unless the model says that it must not."""
YES = {"enum": ["yes"]}
"""A schema that leaves nothing to chance."""
PARIS = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Paris"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
STRICT = (
    "{%- for m in messages -%}"
    "{%- if m.role == 'system' and not loop.first -%}"
    "{{ raise_exception('System message must be at the beginning.') }}{%- endif -%}"
    "{%- if m.role == 'developer' -%}{{ raise_exception('Unexpected role.') }}{%- endif -%}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|im_start|>assistant\n{%- endif -%}"
)
"""As Qwen 3.5 has it, and others."""
THOUGHT = ("<think>", "\nLet ", "me see.\n", "</think>")


def layered(*pieces: str, layer: str = ABLE_LAYER, **more: Any) -> Scripted:
    return Scripted(pieces, template=None, recipe={"template": layer}, more=more)


MODELS = {
    "plain": layered("Alpha ", "beta.", layer=LAYER),
    "tools": layered(
        "So: ",
        "<tool_call>",
        '\n{"name": "',
        "weather",
        '", "arguments": {"city": "',
        "Paris",
        '"}}',
        "\n</tool_call>",
    ),
    "thinking": layered(*THOUGHT, "\n\nIt ", "is 4."),
    "prefilled": layered(
        "Let me ",
        "see. ",
        "</think>",
        " It is 4.",
        layer=ABLE_LAYER + "{{ if .Think }}<think>\n{{ end }}",
    ),
    "refusing": layered("No, ", "thanks."),
    "native": Scripted(("Delta ", "eta."), template=NATIVE),
    "strict": Scripted(("Theta ", "iota."), template=STRICT),
    "begun": layered("Gamma ", "delta.", layer=BEGIN + ABLE_LAYER),
    "begins": layered(
        "Gamma ",
        "delta. ",
        layer=BEGIN + ABLE_LAYER,
        metadata={"tokenizer.ggml.add_bos_token": False},
    ),
    "insert": layered(
        "whole. ", layer=INSERT, side=("middle.",), jumps={"<SUF>after<MID>": "middle."}
    ),
}


@pytest.fixture(scope="module")
def serving(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("templates")
    with gateway(folder, engine=engine.server, num_parallel=2, context_length=CONTEXT) as running:
        with running.client() as client:
            for name, script in MODELS.items():
                create(client, name, script, folder)
        yield running


@pytest.fixture
def client(serving: Gateway) -> Iterator[httpx.Client]:
    with serving.client() as client:
        yield client


def ask(client: httpx.Client, path: str, **body: Any) -> httpx.Response:
    reply = client.post(path, json=body)
    assert reply.status_code == 200, reply.text
    return reply


def chat(client: httpx.Client, model: str, **body: Any) -> Any:
    return ask(client, "/api/chat", **{"model": model, "messages": HI, "stream": False, **body})


def generate(client: httpx.Client, model: str, **body: Any) -> Any:
    return ask(client, "/api/generate", **{"model": model, "stream": False, **body})


def streamed(client: httpx.Client, model: str, **body: Any) -> list[dict[str, Any]]:
    reply = chat(client, model, stream=True, **body)
    return [json.loads(line) for line in reply.text.splitlines()]


def joined(lines: list[dict[str, Any]], member: str) -> str:
    return "".join(line["message"].get(member, "") for line in lines)


# ---- prompts


def test_a_chat_is_counted_in_the_tokens_of_its_text(client: httpx.Client) -> None:
    reported = chat(client, "plain", _debug_render_only=True).json()
    assert reported["_debug_info"]["rendered_template"] == HI_PROMPT
    reply = chat(client, "plain")
    assert reply.json()["message"]["content"] == "Alpha beta."
    # A letter is a token, and one stands before them all.
    assert reply.json()["prompt_eval_count"] == 1 + len(HI_PROMPT)
    assert reply.json()["eval_count"] == 3
    assert CUT not in reply.headers


@pytest.mark.parametrize("model", ["begun", "begins"])
def test_a_prompt_begins_once(client: httpx.Client, model: str) -> None:
    reported = chat(client, model, _debug_render_only=True).json()
    assert reported["_debug_info"]["rendered_template"] == BEGIN + HI_PROMPT
    count = 1 + len(HI_PROMPT)
    assert chat(client, model).json()["prompt_eval_count"] == count
    reply = generate(client, model, prompt="hi there").json()
    assert reply["prompt_eval_count"] == count
    assert [place for place, token in enumerate(reply["context"]) if token == 1] == [0]
    # What is taken up again has its beginning before it, and that of its TEMPLATE within.
    again = generate(client, model, prompt="hi there", context=reply["context"]).json()
    assert again["prompt_eval_count"] == count + 2 + len(HI_PROMPT) + 1
    body = {"model": model, "messages": HI, "max_tokens": 9}
    assert ask(client, "/v1/messages/count_tokens", **body).json() == {"input_tokens": count}


@pytest.mark.parametrize(
    ("model", "prompt", "count"),
    [
        ("plain", "hi", 3),
        ("plain", "<s>hi", 3),
        ("plain", "<s><s>hi", 4),
        ("plain", "hi<s>", 4),
        ("plain", "<s>", 1),
        ("begins", "hi", 2),
        ("begins", "<s>hi", 3),
    ],
)
def test_a_raw_prompt_begins_once_too(
    client: httpx.Client, model: str, prompt: str, count: int
) -> None:
    reply = generate(client, model, prompt=prompt, raw=True).json()
    assert reply["prompt_eval_count"] == count


@pytest.mark.parametrize("model", ["begun", "begins"])
def test_a_cut_prompt_begins_once(client: httpx.Client, model: str) -> None:
    reply = chat(client, model, messages=[{"role": "user", "content": "x" * 600}])
    whole = 1 + len(f"user: {'x' * 600} \nassistant: ")
    kept = HALF if model == "begun" else CONTEXT - (CONTEXT - 4) // 2
    assert reply.json()["prompt_eval_count"] == kept
    assert reply.headers[CUT] == f"{whole - kept} tokens"


def test_answers_that_follow_each_other_are_gone_on_with(client: httpx.Client) -> None:
    answers = [{"role": "assistant", "content": text} for text in ("First, ", "a")]
    joined = "user: hi there \nassistant: First, \n\na \nassistant: "
    reported = chat(client, "plain", messages=[*HI, *answers], _debug_render_only=True).json()
    assert reported["_debug_info"]["rendered_template"] == joined
    reported = chat(client, "native", messages=[*HI, *answers], _debug_render_only=True).json()
    shown = reported["_debug_info"]["rendered_template"]
    assert shown.endswith("<|im_start|>assistant\nFirst, <|im_end|><|im_start|>assistanta")
    reply = chat(client, "native", messages=[*HI, *answers]).json()
    assert reply["message"]["content"] == "Delta eta."
    marks = shown.count("<|im_start|>"), shown.count("<|im_end|>")
    letters = len(shown.replace("<|im_start|>", "").replace("<|im_end|>", ""))
    assert reply["prompt_eval_count"] == 1 + sum(marks) + letters


def test_answers_that_follow_each_other_stay_when_older_messages_go(client: httpx.Client) -> None:
    old = [{"role": "user", "content": "x" * 300}, {"role": "assistant", "content": "y" * 600}]
    answers = [{"role": "assistant", "content": text} for text in ("First, ", "a")]
    reply = chat(client, "native", messages=[*old, *HI, *answers])
    assert reply.json()["message"]["content"] == "Delta eta."
    assert reply.headers[CUT] == "2 messages"


def test_text_between_two_texts_is_filled_in(client: httpx.Client) -> None:
    reply = generate(client, "insert", prompt="before", suffix="after").json()
    assert (reply["response"], reply["done_reason"]) == ("middle.", "stop")
    assert generate(client, "insert", prompt="before").json()["response"] == "whole. "
    body = {"model": "insert", "prompt": "before", "suffix": "after"}
    reply = ask(client, "/v1/completions", **body).json()
    assert reply["choices"][0]["text"] == "middle."


def test_as_many_messages_as_fit_stay(client: httpx.Client) -> None:
    roles = [("user", "assistant")[at % 2] for at in range(41)]
    talk = [{"role": role, "content": f"message {at}"} for at, role in enumerate(roles)]
    messages = [{"role": "system", "content": "Be brief."}, *talk]
    reported = chat(client, "plain", messages=messages, _debug_render_only=True).json()
    shown = reported["_debug_info"]["rendered_template"]
    reply = chat(client, "plain", messages=messages)
    assert reply.json()["prompt_eval_count"] == 1 + len(shown) < CONTEXT
    gone = len(messages) - shown.count(" \n")
    assert reply.headers[CUT] == f"{gone} messages"
    assert shown.startswith("system: Be brief. \n")
    assert shown.endswith("user: message 40 \nassistant: ")
    # The last that went would not have fitted.
    assert len(shown) + len(f"{roles[gone - 1]}: message {gone - 1} \n") > CONTEXT


def test_the_middle_of_a_message_that_is_too_long_goes(client: httpx.Client) -> None:
    text = "x" * 600
    reply = chat(client, "plain", messages=[{"role": "user", "content": text}])
    whole = 1 + len(f"user: {text} \nassistant: ")
    assert reply.json()["prompt_eval_count"] == HALF
    assert reply.json()["message"]["content"] == "Alpha beta."
    assert reply.headers[CUT] == f"{whole - HALF} tokens"


def test_what_must_not_be_cut_is_refused(client: httpx.Client) -> None:
    long = {"model": "plain", "messages": [{"role": "user", "content": "x" * 600}]}
    for more, words in (
        ({"shift": False}, "the prompt is longer than the context length currently available"),
        ({"truncate": False}, "exceeds the available context size"),
    ):
        reply = client.post("/api/chat", json=long | more)
        assert reply.status_code == 400
        assert words in reply.json()["error"]


# ---- thinking


@pytest.mark.parametrize(
    ("model", "thinking", "text"),
    [
        ("thinking", "Let me see.\n", "It is 4."),
        ("prefilled", "Let me see. ", "It is 4."),
    ],
)
def test_thinking_is_told_from_text(
    client: httpx.Client, model: str, thinking: str, text: str
) -> None:
    message = chat(client, model).json()["message"]
    assert message == {"role": "assistant", "content": text, "thinking": thinking}
    lines = streamed(client, model)
    assert (joined(lines, "thinking"), joined(lines, "content")) == (thinking, text)
    reply = generate(client, model, prompt="hi").json()
    assert (reply["thinking"], reply["response"]) == (thinking, text)


def test_thinking_that_is_not_wanted_is_left_out(client: httpx.Client) -> None:
    message = chat(client, "thinking", think=False).json()["message"]
    assert message == {"role": "assistant", "content": "It is 4."}
    lines = streamed(client, "thinking", think=False)
    assert (joined(lines, "thinking"), joined(lines, "content")) == ("", "It is 4.")


@pytest.mark.parametrize("stream", [True, False])
def test_a_format_holds_for_what_follows_the_thinking(client: httpx.Client, stream: bool) -> None:
    more = {"format": YES, "stream": stream}
    lines = [json.loads(line) for line in chat(client, "thinking", **more).text.splitlines()]
    assert joined(lines, "thinking") == "Let me see.\n"
    assert json.loads(joined(lines, "content")) == "yes"
    assert lines[-1]["done_reason"] == "stop"


def test_a_format_holds_at_once_without_thinking(client: httpx.Client) -> None:
    for model in ("thinking", "plain"):
        message = chat(client, model, format=YES, think=False).json()["message"]
        assert message == {"role": "assistant", "content": '"yes"'}


# ---- tools


def test_a_call_is_told_from_text(client: httpx.Client) -> None:
    message = chat(client, "tools", tools=[WEATHER]).json()["message"]
    (call,) = message["tool_calls"]
    assert message["content"] == "So: "
    assert call["id"].startswith("call_")
    assert call["function"] == {"index": 0, "name": "weather", "arguments": {"city": "Paris"}}


def test_a_call_is_a_line_of_its_own_in_a_stream(client: httpx.Client) -> None:
    *lines, last = streamed(client, "tools", tools=[WEATHER])
    assert joined(lines, "content") == "So: "
    calls = [line["message"] for line in lines if "tool_calls" in line["message"]]
    assert [(message["content"], len(message["tool_calls"])) for message in calls] == [("", 1)]
    assert last["message"] == {"role": "assistant", "content": ""}
    assert (last["done"], last["done_reason"]) == (True, "stop")


def test_without_tools_a_call_is_text(client: httpx.Client) -> None:
    message = chat(client, "tools").json()["message"]
    assert message == {"role": "assistant", "content": "".join(MODELS["tools"].pieces)}


def test_earlier_calls_and_their_results_are_in_the_prompt(client: httpx.Client) -> None:
    call = {"function": {"name": "weather", "arguments": {"city": "Paris"}}}
    reported = [
        *HI,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_name": "weather", "content": "11 degrees"},
    ]
    reply = chat(client, "tools", messages=reported, _debug_render_only=True).json()
    assert reply["_debug_info"]["rendered_template"] == (
        "user: hi there \nassistant: <tool_call>"
        '{"name": "weather", "arguments": {"city":"Paris"}}</tool_call> \n'
        "tool: 11 degrees \nassistant: "
    )


@pytest.mark.parametrize("stream", [True, False])
def test_a_call_that_must_be_made_is_made(client: httpx.Client, stream: bool) -> None:
    body = {"model": "refusing", "messages": HI, "tools": [PARIS], "tool_choice": "required"}
    reply = ask(client, "/v1/chat/completions", stream=stream, **body)
    if stream:
        events = [json.loads(line[6:]) for line in reply.text.split("\n\n")[:-2]]
        choices = [choice for event in events for choice in event["choices"]]
        output = [choice["delta"] for choice in choices]
    else:
        choices = reply.json()["choices"]
        output = [choices[0]["message"]]
    assert "".join(part.get("content") or "" for part in output) == "No, thanks."
    (call,) = [call for part in output for call in part.get("tool_calls") or ()]
    assert call["function"]["name"] == "weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}
    assert choices[-1]["finish_reason"] == "tool_calls"


# ---- templates that refuse


LATE = [*HI, {"role": "system", "content": "Be brief."}, {"role": "user", "content": "well?"}]
EARLY = [LATE[1], *HI, LATE[2]]


def test_a_template_that_wants_the_system_message_first_gets_it_first(client: httpx.Client) -> None:
    late, early = (chat(client, "strict", messages=messages).json() for messages in (LATE, EARLY))
    assert late["message"]["content"] == "Theta iota."
    assert late["prompt_eval_count"] == early["prompt_eval_count"]


def test_so_it_is_for_every_other_dialect(client: httpx.Client) -> None:
    developer = [
        {**message, "role": message["role"].replace("system", "developer")} for message in LATE
    ]
    body = {"model": "strict", "messages": developer}
    reported = ask(client, "/v1/chat/completions", **body).json()
    assert reported["choices"][0]["message"]["content"] == "Theta iota."
    streamed = ask(client, "/v1/chat/completions", **body, stream=True).text
    assert streamed.endswith("data: [DONE]\n\n")
    reported = ask(client, "/v1/responses", model="strict", input=developer).json()
    assert reported["output"][-1]["content"][0]["text"] == "Theta iota."


def test_what_it_refuses_all_the_same_is_told(client: httpx.Client) -> None:
    body = {
        "model": "strict",
        "messages": [*HI, {"role": "developer", "content": [{"type": "text", "text": "x"}]}],
    }
    reply = client.post("/v1/chat/completions", json=body)
    assert (reply.status_code, "Jinja Exception" in reply.text) == (400, True)
