"""What the engine streams as Ollama's chats, byte for byte."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.ollama.replies import logprob, tool_call
from gateway.llama.errors import EngineError
from gateway.llama.events import Delta, End, ToolCallDelta, Usage
from tests.fakes import recorded
from tests.fakes.writing import HEAD, chat, of_chat, run, whole


def said(text: str, more: str = "", tail: str = "") -> str:
    """A line of a chat's stream."""
    message = f'{{"role":"assistant","content":"{text}"{more}}}'
    return f'{HEAD},"message":{message},"done":false{tail}}}\n'


LINES = [said("Hi "), said("you\\u2028"), said("\\u003cb\\u003e\\u0026"), said("é.")]
METRICS = (
    '"total_duration":14,"load_duration":7,"prompt_eval_count":20,"prompt_eval_duration":2155000,'
    '"eval_count":5,"eval_duration":685000'
)


# ---- chat, streamed


def test_each_chunk_of_a_chat_is_a_line_and_the_last_line_counts() -> None:
    reply = chat()
    last = '"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"'
    assert reply.media_type == "application/x-ndjson"
    assert run(of_chat(reply), recorded.PLAIN) == "".join(LINES) + f"{HEAD},{last},{METRICS}}}\n"


def test_what_is_known_is_said_at_once() -> None:
    reply = of_chat(chat())
    assert reply.feed(recorded.PROGRESS + recorded.START) == b""
    for chunk, line in zip(recorded.SAID, LINES, strict=True):
        assert reply.feed(chunk[:50]) == b""
        assert reply.feed(chunk[50:]).decode() == line


def test_thinking_has_a_member_of_its_own() -> None:
    *lines, last = run(of_chat(chat()), recorded.THOUGHT).splitlines(keepends=True)
    thought = [said("", f',"thinking":"{text}"') for text in ("hm ", "o.k.", "\\n")]
    assert lines == [*thought, said("Done"), said(" now.")]
    assert json.loads(last)["message"] == {"role": "assistant", "content": ""}


def test_tool_calls_are_given_whole_with_the_last_line() -> None:
    *lines, last = run(of_chat(chat()), recorded.CALLED).splitlines(keepends=True)
    assert lines == [said("", ',"thinking":"hm "'), said("Let me. ")]
    one = f'{{"id":"{recorded.ONE_ID}","function":{{"index":0,"name":"add","arguments":'
    two = f'{{"id":"{recorded.TWO_ID}","function":{{"index":1,"name":"sub","arguments":{{}}}}}}'
    calls = f'[{one}{{"a":1,"b":"\\u003c"}}}}}},{two}]'
    message = f'{{"role":"assistant","content":"","tool_calls":{calls}}}'
    assert last.startswith(f'{HEAD},"message":{message},"done":true,"done_reason":"stop","total_')


def test_logprobs_stand_with_their_line() -> None:
    *lines, last = run(of_chat(chat()), recorded.SCORED).splitlines(keepends=True)
    one = '{"token":"Hi ","logprob":0.0,"bytes":[72,105,32]}'
    two = '{"token":"you\\u2028","logprob":0.0,"bytes":[121,111,117,226,128,168]}'
    assert lines == [
        said("Hi ", tail=f',"logprobs":[{one}]'),
        said("you\\u2028", tail=f',"logprobs":[{two}]'),
    ]
    assert "logprobs" not in last
    assert json.loads(last)["done_reason"] == "length"


def test_alternatives_are_shown_only_if_they_were_asked_for() -> None:
    reply = chat()
    reply.alternatives = True
    first = run(of_chat(reply), recorded.SCORED).splitlines()[0]
    assert json.loads(first)["logprobs"][0]["top_logprobs"] == [
        {"token": "Hi ", "logprob": 0.0, "bytes": [72, 105, 32]},
        {"token": "", "logprob": -3.4028234663852886e38},
    ]


def test_an_empty_reply_is_one_line() -> None:
    assert run(of_chat(chat()), recorded.STOPPED) == (
        f'{HEAD},"message":{{"role":"assistant","content":""}},"done":true,"done_reason":"stop",'
        '"total_duration":14,"load_duration":7,"prompt_eval_count":20,'
        '"prompt_eval_duration":268000,"eval_count":1,"eval_duration":1000}\n'
    )


def test_a_model_is_named_as_the_client_named_it() -> None:
    lines = run(of_chat(chat(model='M<"\ud800')), recorded.PLAIN).splitlines()
    assert {line.partition(",")[0] for line in lines} == {'{"model":"M\\u003c\\"\ufffd"'}


def test_counts_that_are_zero_are_left_out() -> None:
    nothing = '"timings":{"cache_n":0,"prompt_n":0,"prompt_ms":0,"predicted_n":0}'
    data = recorded.chat("{}", '"stop"', more=f",{nothing}")
    last = json.loads(run(of_chat(chat()), recorded.chat("null") + data))
    assert list(last)[-3:] == ["done_reason", "total_duration", "load_duration"]


# ---- chat, whole


def test_a_whole_chat_is_one_object_without_a_newline() -> None:
    reply = chat(stream=False)
    assert reply.media_type == "application/json; charset=utf-8"
    text = "Hi you\\u2028\\u003cb\\u003e\\u0026é."
    message = f'"message":{{"role":"assistant","content":"{text}"}}'
    assert run(of_chat(reply), recorded.PLAIN) == (
        f'{HEAD},{message},"done":true,"done_reason":"stop",{METRICS}}}'
    )


def test_a_whole_chat_holds_thinking_and_calls() -> None:
    assert whole(of_chat(chat(stream=False)), recorded.THOUGHT)["message"] == {
        "role": "assistant",
        "content": "Done now.",
        "thinking": "hm o.k.\n",
    }
    message = whole(of_chat(chat(stream=False)), recorded.CALLED)["message"]
    assert list(message) == ["role", "content", "thinking", "tool_calls"]
    assert message["tool_calls"][0]["function"]["arguments"] == {"a": 1, "b": "<"}


def test_a_whole_chat_has_its_logprobs_before_the_metrics() -> None:
    found = whole(of_chat(chat(stream=False)), recorded.SCORED)
    assert [entry["token"] for entry in found["logprobs"]] == ["Hi ", "you\u2028"]
    assert list(found)[4:7] == ["done_reason", "logprobs", "total_duration"]


def test_a_call_without_an_id_or_a_name_is_still_a_call() -> None:
    one = '{"function":{"name":"a","arguments":"{\\"x\\":1}"}}'
    data = recorded.chat(f'{{"tool_calls":[{one}]}}')
    data += recorded.chat('{"tool_calls":[{"index":1}]}')
    calls = whole(of_chat(chat(stream=False)), data + recorded.chat("{}", '"tool_calls"'))[
        "message"
    ]
    assert calls["tool_calls"] == [
        {"function": {"index": 0, "name": "a", "arguments": {"x": 1}}},
        {"function": {"index": 1, "name": "", "arguments": {}}},
    ]


# ---- tool calls


def test_a_call_that_comes_whole_has_a_line_of_its_own() -> None:
    reply = chat()
    one = ToolCallDelta(0, "c1", "add", '{"a":1}', whole=True)
    two = ToolCallDelta(1, "c2", "now", "{}", whole=True)
    function = '{"index":0,"name":"add","arguments":{"a":1}}'
    other = '{"index":1,"name":"now","arguments":{}}'
    assert reply.write(Delta("So: ", calls=[one])).decode() == said("So: ") + said(
        "", f',"tool_calls":[{{"id":"c1","function":{function}}}]'
    )
    assert reply.write(Delta(calls=[two])).decode() == said(
        "", f',"tool_calls":[{{"id":"c2","function":{other}}}]'
    )
    last = json.loads(reply.end(End("tool_calls"), Usage()))
    assert last["message"] == {"role": "assistant", "content": ""}
    assert last["done_reason"] == "stop"


def test_text_that_is_held_back_makes_no_line_of_a_chat() -> None:
    assert chat().write(Delta(held=True)) == b""


@pytest.mark.parametrize("stream", [True, False])
def test_a_call_that_a_limit_cut_short_is_none(stream: bool) -> None:
    last = json.loads(run(of_chat(chat(stream=stream)), recorded.CALL_CUT))
    assert last["message"] == {"role": "assistant", "content": ""}
    assert last["done_reason"] == "length"


@pytest.mark.parametrize("stream", [True, False])
def test_a_limit_leaves_the_calls_that_were_complete(stream: bool) -> None:
    reply = chat(stream=stream)
    reply.write(
        Delta(calls=[ToolCallDelta(0, "c", "now", "{}"), ToolCallDelta(1, "d", "add", '{"a')])
    )
    last = json.loads(reply.end(End("length"), Usage()))
    function = {"index": 0, "name": "now", "arguments": {}}
    assert last["message"]["tool_calls"] == [{"id": "c", "function": function}]


def test_arguments_that_are_no_json_are_an_error_that_shows_them() -> None:
    reply = chat(stream=False)
    reply.write(Delta(calls=[ToolCallDelta(0, "c", "add", "{")]))
    with pytest.raises(EngineError) as caught:
        reply.end(End("tool_calls"), Usage())
    message = 'llama-server returned invalid tool call arguments for "add": {'
    assert (caught.value.message, caught.value.status) == (message, 500)


@given(st.text(min_size=1), st.text())
def test_any_text_survives(text: str, thought: str) -> None:
    text, thought = (each.encode("utf-8", "replace").decode() for each in (text, thought))
    delta = json.dumps({"content": text, "reasoning_content": thought})
    [line, _] = run(of_chat(chat()), recorded.chat(delta) + recorded.chat("{}", '"stop"')).split(
        "\n"
    )[:2]
    message = json.loads(line)["message"]
    assert (message["content"], message.get("thinking", "")) == (text, thought)
    assert not any(each in line for each in "<>&\u2028\u2029")


def test_a_reply_has_its_tally_at_the_end() -> None:
    reply = of_chat(chat())
    reply.feed(recorded.THOUGHT)
    assert reply.usage == Usage(22, 0, 1.315 / 1e3, 7, 1.082 / 1e3)


# ---- parts


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        (
            {"token": "é", "logprob": -0.5, "id": 3},
            {"token": "é", "logprob": -0.5, "bytes": [195, 169]},
        ),
        ({"token": "", "logprob": -1.0, "bytes": [1]}, {"token": "", "logprob": -1.0}),
        ({}, {"token": "", "logprob": 0.0}),
        ({"token": "a", "bytes": [9]}, {"token": "a", "logprob": 0.0, "bytes": [97]}),
    ],
)
def test_the_bytes_of_a_token_are_those_of_its_text(entry: Any, shown: Any) -> None:
    assert logprob(entry, alternatives=True) == shown
    assert logprob({**entry, "top_logprobs": [entry]}, alternatives=False) == shown
    assert logprob({**entry, "top_logprobs": [entry]}, alternatives=True) == {
        **shown,
        "top_logprobs": [shown],
    }


def test_a_call_without_arguments_has_none() -> None:
    empty = {"id": "", "name": "now", "arguments": ""}
    assert tool_call(2, empty) == {"function": {"index": 2, "name": "now", "arguments": {}}}
