"""The engine's chunks as Ollama's lines and objects, byte for byte."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.call import EngineError, Tally
from gateway.dialects.ollama_replies import (
    ChatReply,
    Clock,
    GenerateReply,
    Reply,
    count,
    logprob,
    tool_call,
)
from tests.fakes import recorded

STAMP = "2026-11-21T22:30:21.5Z"
HEAD = f'{{"model":"m","created_at":"{STAMP}"'
CUT_SHORT = "an error was encountered while running the model: unexpected EOF"


class FakeClock(Clock):
    """Each look at it takes 7 nanoseconds; the day stands still."""

    def __init__(self) -> None:
        self.passed = 0

    def stamp(self) -> str:
        return STAMP

    def elapsed(self) -> int:
        self.passed += 7
        return self.passed


def chat(*, stream: bool = True, model: str = "m") -> ChatReply:
    reply = ChatReply(model, FakeClock(), stream=stream)
    reply.assigned()
    return reply


def generate(*, stream: bool = True) -> GenerateReply:
    reply = GenerateReply("m", FakeClock(), stream=stream)
    reply.assigned()
    return reply


def said(text: str, more: str = "", tail: str = "") -> str:
    """A line of a chat's stream."""
    message = f'{{"role":"assistant","content":"{text}"{more}}}'
    return f'{HEAD},"message":{message},"done":false{tail}}}\n'


def run(reply: Reply, data: bytes) -> str:
    return (reply.feed(data) + reply.flush()).decode()


def whole(reply: Reply, data: bytes) -> Any:
    assert reply.feed(data) == b""
    return json.loads(reply.flush())


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
    assert run(reply, recorded.PLAIN) == "".join(LINES) + f"{HEAD},{last},{METRICS}}}\n"


def test_what_is_known_is_said_at_once() -> None:
    reply = chat()
    assert reply.feed(recorded.PROGRESS + recorded.START) == b""
    for chunk, line in zip(recorded.SAID, LINES, strict=True):
        assert reply.feed(chunk[:50]) == b""
        assert reply.feed(chunk[50:]).decode() == line


def test_thinking_has_a_member_of_its_own() -> None:
    *lines, last = run(chat(), recorded.THOUGHT).splitlines(keepends=True)
    thought = [said("", f',"thinking":"{text}"') for text in ("hm ", "o.k.", "\\n")]
    assert lines == [*thought, said("Done"), said(" now.")]
    assert json.loads(last)["message"] == {"role": "assistant", "content": ""}


def test_tool_calls_are_given_whole_with_the_last_line() -> None:
    *lines, last = run(chat(), recorded.CALLED).splitlines(keepends=True)
    assert lines == [said("", ',"thinking":"hm "'), said("Let me. ")]
    one = f'{{"id":"{recorded.ONE_ID}","function":{{"index":0,"name":"add","arguments":'
    two = f'{{"id":"{recorded.TWO_ID}","function":{{"index":1,"name":"sub","arguments":{{}}}}}}'
    calls = f'[{one}{{"a":1,"b":"\\u003c"}}}}}},{two}]'
    message = f'{{"role":"assistant","content":"","tool_calls":{calls}}}'
    assert last.startswith(f'{HEAD},"message":{message},"done":true,"done_reason":"stop","total_')


def test_logprobs_stand_with_their_line() -> None:
    *lines, last = run(chat(), recorded.SCORED).splitlines(keepends=True)
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
    first = run(reply, recorded.SCORED).splitlines()[0]
    assert json.loads(first)["logprobs"][0]["top_logprobs"] == [
        {"token": "Hi ", "logprob": 0.0, "bytes": [72, 105, 32]},
        {"token": "", "logprob": -3.4028234663852886e38},
    ]


def test_an_empty_reply_is_one_line() -> None:
    assert run(chat(), recorded.STOPPED) == (
        f'{HEAD},"message":{{"role":"assistant","content":""}},"done":true,"done_reason":"stop",'
        '"total_duration":14,"load_duration":7,"prompt_eval_count":20,'
        '"prompt_eval_duration":268000,"eval_count":1,"eval_duration":1000}\n'
    )


def test_a_model_is_named_as_the_client_named_it() -> None:
    lines = run(chat(model='M<"\ud800'), recorded.PLAIN).splitlines()
    assert {line.partition(",")[0] for line in lines} == {'{"model":"M\\u003c\\"\ufffd"'}


def test_counts_that_are_zero_are_left_out() -> None:
    nothing = '"timings":{"cache_n":0,"prompt_n":0,"prompt_ms":0,"predicted_n":0}'
    data = recorded.chat("{}", '"stop"', more=f",{nothing}")
    last = json.loads(run(chat(), recorded.chat("null") + data))
    assert list(last)[-3:] == ["done_reason", "total_duration", "load_duration"]


# ---- chat, whole


def test_a_whole_chat_is_one_object_without_a_newline() -> None:
    reply = chat(stream=False)
    assert reply.media_type == "application/json; charset=utf-8"
    text = "Hi you\\u2028\\u003cb\\u003e\\u0026é."
    message = f'"message":{{"role":"assistant","content":"{text}"}}'
    assert run(reply, recorded.PLAIN) == (
        f'{HEAD},{message},"done":true,"done_reason":"stop",{METRICS}}}'
    )


def test_a_whole_chat_holds_thinking_and_calls() -> None:
    assert whole(chat(stream=False), recorded.THOUGHT)["message"] == {
        "role": "assistant",
        "content": "Done now.",
        "thinking": "hm o.k.\n",
    }
    message = whole(chat(stream=False), recorded.CALLED)["message"]
    assert list(message) == ["role", "content", "thinking", "tool_calls"]
    assert message["tool_calls"][0]["function"]["arguments"] == {"a": 1, "b": "<"}


def test_a_whole_chat_has_its_logprobs_before_the_metrics() -> None:
    found = whole(chat(stream=False), recorded.SCORED)
    assert [entry["token"] for entry in found["logprobs"]] == ["Hi ", "you\u2028"]
    assert list(found)[4:7] == ["done_reason", "logprobs", "total_duration"]


def test_a_call_without_an_id_or_an_index_is_still_a_call() -> None:
    one = '{"function":{"name":"a","arguments":"{\\"x\\":1}"}}'
    data = recorded.chat(f'{{"tool_calls":[{one}]}}') + recorded.chat('{"tool_calls":[{}]}')
    calls = whole(chat(stream=False), data + recorded.chat("{}", '"tool_calls"'))["message"]
    assert calls["tool_calls"] == [
        {"function": {"index": 0, "name": "a", "arguments": {"x": 1}}},
        {"function": {"index": 1, "name": "", "arguments": {}}},
    ]


# ---- generate


GENERATED = [
    f'{HEAD},"response":"{text}","done":false}}\n'
    for text in ("Hi ", "you\\u2028", "\\u003cb\\u003e\\u0026", "é.")
]
RAW_METRICS = (
    '"total_duration":14,"load_duration":7,"prompt_eval_count":4,"prompt_eval_duration":592000,'
    '"eval_count":5,"eval_duration":585000'
)


def test_each_chunk_of_a_completion_is_a_line() -> None:
    last = '"response":"","done":true,"done_reason":"stop"'
    expected = "".join(GENERATED) + f"{HEAD},{last},{RAW_METRICS}}}\n"
    assert run(generate(), recorded.RAW) == expected


def test_the_context_is_the_prompt_and_the_reply_without_its_end_marker() -> None:
    reply = generate()
    reply.context = [9, 8]
    last = json.loads(run(reply, recorded.RAW).splitlines()[-1])
    assert last["context"] == [9, 8, 355, 356, 357, 358]
    assert list(last)[4:7] == ["done_reason", "context", "total_duration"]
    reply = generate()
    reply.context = []
    assert json.loads(run(reply, recorded.RAW_LIMITED).splitlines()[-1])["context"] == [355, 356]


@pytest.mark.parametrize(
    ("data", "reason"),
    [(recorded.RAW, "stop"), (recorded.RAW_LIMITED, "length"), (recorded.RAW_STOPPED, "stop")],
)
def test_why_a_completion_ended(data: bytes, reason: str) -> None:
    assert json.loads(run(generate(), data).splitlines()[-1])["done_reason"] == reason


def test_a_whole_completion_is_one_object() -> None:
    assert run(generate(stream=False), recorded.RAW_STOPPED) == (
        f'{HEAD},"response":"Hi you\\u2028","done":true,"done_reason":"stop",{RAW_METRICS}}}'
    )


def test_a_completion_has_its_logprobs_last() -> None:
    one = '{"token":"Hi ","logprob":0.0,"bytes":[72,105,32]}'
    line = f'{HEAD},"response":"Hi ","done":false,"logprobs":[{one}]}}'
    assert run(generate(), recorded.RAW_SCORED).splitlines()[0] == line
    reply = generate(stream=False)
    reply.alternatives = True
    found = whole(reply, recorded.RAW_SCORED)
    assert (list(found)[-1], len(found["logprobs"][0]["top_logprobs"])) == ("logprobs", 2)


def test_a_completion_that_ends_at_once_is_one_line() -> None:
    data = recorded.raw_end("eos", recorded.RAW_TIMINGS)
    last = json.loads(run(generate(), data))
    assert (last["response"], last["done_reason"]) == ("", "stop")


# ---- any pieces


REPLIES = [(chat, data) for data in recorded.CHATS] + [(generate, data) for data in recorded.RAWS]


@given(st.sampled_from(REPLIES), st.booleans(), recorded.CUTS)
def test_a_reply_is_the_same_whatever_the_pieces(
    case: tuple[Callable[..., Reply], bytes], stream: bool, cuts: list[int]
) -> None:
    make, data = case
    assert recorded.heard(make(stream=stream), data, cuts) == run(make(stream=stream), data)


@given(st.text(min_size=1), st.text())
def test_any_text_survives(text: str, thought: str) -> None:
    text, thought = (each.encode("utf-8", "replace").decode() for each in (text, thought))
    delta = json.dumps({"content": text, "reasoning_content": thought})
    [line, _] = run(chat(), recorded.chat(delta) + recorded.chat("{}", '"stop"')).split("\n")[:2]
    message = json.loads(line)["message"]
    assert (message["content"], message.get("thinking", "")) == (text, thought)
    assert not any(each in line for each in "<>&\u2028\u2029")


# ---- errors


@given(recorded.CUTS)
def test_an_error_in_the_stream_follows_what_came_before_it_in_any_pieces(cuts: list[int]) -> None:
    for reply, data, line in (
        (chat(), recorded.FAILED, LINES[0]),
        (generate(), recorded.RAW_FAILED, GENERATED[0]),
        (chat(stream=False), recorded.FAILED, ""),
        (generate(stream=False), recorded.RAW_FAILED, ""),
    ):
        out, error = recorded.failing(reply, data, cuts)
        assert (out, error.message, error.status) == (line, "Compute error.", 500)


def test_an_error_with_nothing_before_it_is_raised_at_once() -> None:
    for reply in (chat(), generate()):
        with pytest.raises(EngineError, match=r"^Compute error\.$"):
            reply.feed(recorded.PROGRESS + recorded.event(recorded.FAILURE))


def test_what_follows_an_error_does_not_make_it_undone() -> None:
    reply = chat()
    assert reply.feed(recorded.FAILED).decode() == LINES[0]
    with pytest.raises(EngineError, match=r"^Compute error\.$"):
        reply.feed(recorded.chat("{}", '"stop"'))
    with pytest.raises(EngineError, match=r"^Compute error\.$"):
        reply.flush()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("data", [b"", recorded.PROGRESS, recorded.KILLED, recorded.DONE])
def test_a_reply_that_was_cut_short_is_an_error(data: bytes, stream: bool) -> None:
    for reply in (chat(stream=stream), generate(stream=stream)):
        reply.feed(data)
        with pytest.raises(EngineError) as caught:
            reply.flush()
        assert (caught.value.message, caught.value.status) == (CUT_SHORT, 500)


def test_arguments_that_were_cut_short_are_an_error_that_shows_them() -> None:
    reply = chat(stream=False)
    reply.feed(recorded.CALL_CUT)
    with pytest.raises(EngineError) as caught:
        reply.flush()
    assert caught.value.message == 'the model wrote invalid tool call arguments for "add": {'
    assert caught.value.status == 500


def test_a_stream_that_fails_ends_with_an_error_line() -> None:
    for reply in (chat(), generate()):
        assert reply.failure("it <died>", 500) == b'{"error":"it \\u003cdied\\u003e"}\n'


# ---- replies without generation


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("reason", ["load", "unload"])
def test_a_reply_without_generation_is_json_in_either_case(stream: bool, reason: str) -> None:
    for reply, nothing in (
        (chat(stream=stream), '"message":{"role":"assistant","content":""}'),
        (generate(stream=stream), '"response":""'),
    ):
        text = f'{HEAD},{nothing},"done":true,"done_reason":"{reason}"}}'
        assert reply.whole(reason).decode() == text
        assert reply.media_type == "application/json; charset=utf-8"


@pytest.mark.parametrize("stream", [True, False])
def test_a_rendered_prompt_is_json_in_either_case(stream: bool) -> None:
    for reply, nothing in (
        (chat(stream=stream), '"message":{"role":"","content":""}'),
        (generate(stream=stream), '"response":""'),
    ):
        info = '"_debug_info":{"rendered_template":"\\u003c|im_start|\\u003e"}'
        text = f'{HEAD},{nothing},"done":false,{info}}}'
        assert reply.rendered("<|im_start|>").decode() == text
        assert reply.media_type == "application/json; charset=utf-8"


# ---- parts


def test_timings_are_counted_in_seconds_and_cached_tokens_belong_to_the_prompt() -> None:
    tally = Tally()
    timings = {"cache_n": 19, "prompt_n": 1, "prompt_ms": 500, "predicted_n": 3}
    count(tally, {**timings, "predicted_ms": 1500.0})
    assert tally == Tally(20, 0.5, 3, 1.5)
    count(tally, {})
    assert tally == Tally()


def test_a_reply_has_its_tally_at_the_end() -> None:
    reply = chat()
    run(reply, recorded.THOUGHT)
    assert reply.tally == Tally(22, 1.315 / 1e3, 7, 1.082 / 1e3)


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
