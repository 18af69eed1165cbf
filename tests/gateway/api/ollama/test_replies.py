"""What the engine streams as replies of /api/chat and /api/generate, byte for byte."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.ollama.replies import GenerateObject, OllamaChatObject, logprob, tool_call
from gateway.inference.encoder import ReplyEncoder
from gateway.llama.errors import EngineError
from gateway.llama.events import Delta, End, ToolCallDelta, Usage
from tests.fakes import recorded
from tests.fakes.writing import HEAD, FakeClock, chat, generate, of_chat, of_completion, run, whole


def chat_line(text: str, more: str = "", tail: str = "") -> str:
    """A line of a chat's stream."""
    message = f'{{"role":"assistant","content":"{text}"{more}}}'
    return f'{HEAD},"message":{message},"done":false{tail}}}\n'


def chatting(*, stream: bool = True) -> ReplyEncoder:
    return of_chat(chat(stream=stream))


def completing(*, stream: bool = True) -> ReplyEncoder:
    return of_completion(generate(stream=stream))


LINES = [
    chat_line("Hi "),
    chat_line("you\\u2028"),
    chat_line("\\u003cb\\u003e\\u0026"),
    chat_line("é."),
]
CUT_SHORT = "an error was encountered while running the model: unexpected EOF"
CHATTED = f'{HEAD},"message":{{"role":"assistant","content":"Hi "}},"done":false}}\n'
GENERATED = [
    f'{HEAD},"response":"{text}","done":false}}\n'
    for text in ("Hi ", "you\\u2028", "\\u003cb\\u003e\\u0026", "é.")
]
RAW_METRICS = (
    '"total_duration":14,"load_duration":7,"prompt_eval_count":4,"prompt_eval_duration":592000,'
    '"eval_count":5,"eval_duration":585000'
)
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


def test_what_is_known_is_written_at_once() -> None:
    reply = of_chat(chat())
    assert reply.feed(recorded.PROGRESS + recorded.START) == b""
    for chunk, line in zip(recorded.SAID, LINES, strict=True):
        assert reply.feed(chunk[:50]) == b""
        assert reply.feed(chunk[50:]).decode() == line


def test_thinking_of_a_chat_has_a_field_of_its_own() -> None:
    *lines, last = run(of_chat(chat()), recorded.THOUGHT).splitlines(keepends=True)
    thought = [chat_line("", f',"thinking":"{text}"') for text in ("hm ", "o.k.", "\\n")]
    assert lines == [*thought, chat_line("Done"), chat_line(" now.")]
    assert json.loads(last)["message"] == {"role": "assistant", "content": ""}


def test_tool_calls_are_given_whole_with_the_last_line() -> None:
    *lines, last = run(of_chat(chat()), recorded.CALLED).splitlines(keepends=True)
    assert lines == [chat_line("", ',"thinking":"hm "'), chat_line("Let me. ")]
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
        chat_line("Hi ", tail=f',"logprobs":[{one}]'),
        chat_line("you\\u2028", tail=f',"logprobs":[{two}]'),
    ]
    assert "logprobs" not in last
    assert json.loads(last)["done_reason"] == "length"


def test_alternatives_are_written_only_if_the_request_wants_them() -> None:
    reply = chat(alternatives=True)
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
    last = whole(of_chat(chat(stream=False)), recorded.SCORED)
    assert [entry["token"] for entry in last["logprobs"]] == ["Hi ", "you\u2028"]
    assert list(last)[4:7] == ["done_reason", "logprobs", "total_duration"]


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
    assert reply.write(Delta("So: ", calls=[one])).decode() == chat_line("So: ") + chat_line(
        "", f',"tool_calls":[{{"id":"c1","function":{function}}}]'
    )
    assert reply.write(Delta(calls=[two])).decode() == chat_line(
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


# ---- generate


def test_each_chunk_of_a_completion_is_a_line() -> None:
    last = '"response":"","done":true,"done_reason":"stop"'
    expected = "".join(GENERATED) + f"{HEAD},{last},{RAW_METRICS}}}\n"
    assert run(of_completion(generate()), recorded.RAW) == expected


def test_the_context_stands_before_the_metrics_if_there_is_one() -> None:
    reply = generate()
    reply.context = [9, 8]
    last = json.loads(run(of_completion(reply), recorded.RAW).splitlines()[-1])
    assert last["context"] == [9, 8]
    assert list(last)[4:7] == ["done_reason", "context", "total_duration"]
    assert "context" not in run(of_completion(generate()), recorded.RAW)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(recorded.RAW, "stop"), (recorded.RAW_LIMITED, "length"), (recorded.RAW_STOPPED, "stop")],
)
def test_why_a_completion_ended(data: bytes, reason: str) -> None:
    assert (
        json.loads(run(of_completion(generate()), data).splitlines()[-1])["done_reason"] == reason
    )


def test_a_whole_completion_is_one_object() -> None:
    assert run(of_completion(generate(stream=False)), recorded.RAW_STOPPED) == (
        f'{HEAD},"response":"Hi you\\u2028","done":true,"done_reason":"stop",{RAW_METRICS}}}'
    )


def test_a_completion_has_its_logprobs_last() -> None:
    one = '{"token":"Hi ","logprob":0.0,"bytes":[72,105,32]}'
    line = f'{HEAD},"response":"Hi ","done":false,"logprobs":[{one}]}}'
    assert run(of_completion(generate()), recorded.RAW_SCORED).splitlines()[0] == line
    reply = generate(stream=False, alternatives=True)
    last = whole(of_completion(reply), recorded.RAW_SCORED)
    assert (list(last)[-1], len(last["logprobs"][0]["top_logprobs"])) == ("logprobs", 2)


def test_a_completion_that_ends_at_once_is_one_line() -> None:
    data = recorded.raw_end("eos", recorded.RAW_TIMINGS)
    last = json.loads(run(of_completion(generate()), data))
    assert (last["response"], last["done_reason"]) == ("", "stop")


def test_thinking_of_a_completion_has_a_field_of_its_own() -> None:
    line = f'{HEAD},"response":"","thinking":"hm \\u003c","done":false}}\n'
    assert generate().write(Delta(thinking="hm <")).decode() == line
    reply = generate(stream=False)
    assert reply.write(Delta("a", "hm ")) + reply.write(Delta("b", "so")) == b""
    last = json.loads(reply.end(End("stop"), Usage()))
    assert list(last)[2:5] == ["response", "thinking", "done"]
    assert (last["response"], last["thinking"]) == ("ab", "hm so")


def test_a_line_says_nothing_while_text_is_held_back() -> None:
    reply = generate()
    assert reply.write(Delta(held=True)).decode() == f'{HEAD},"response":"","done":false}}\n'
    assert reply.write(Delta()) == b""


# ---- any pieces


REPLIES = [(chatting, data) for data in recorded.CHATS] + [
    (completing, data) for data in recorded.RAWS
]


@given(st.sampled_from(REPLIES), st.booleans(), recorded.CUTS)
def test_a_reply_is_the_same_whatever_the_pieces(
    case: tuple[Callable[..., ReplyEncoder], bytes], stream: bool, cuts: list[int]
) -> None:
    make, data = case
    assert recorded.heard(make(stream=stream), data, cuts) == run(make(stream=stream), data)


# ---- errors


@given(recorded.CUTS)
def test_an_error_in_the_stream_follows_what_came_before_it_in_any_pieces(cuts: list[int]) -> None:
    for reply, data, line in (
        (chatting(), recorded.FAILED, CHATTED),
        (completing(), recorded.RAW_FAILED, GENERATED[0]),
        (chatting(stream=False), recorded.FAILED, ""),
        (completing(stream=False), recorded.RAW_FAILED, ""),
    ):
        out, error = recorded.failing(reply, data, cuts)
        assert (out, error.message, error.status) == (line, "Compute error.", 500)


def test_an_error_with_nothing_before_it_is_raised_at_once() -> None:
    for reply in (chatting(), completing()):
        with pytest.raises(EngineError, match=r"^Compute error\.$"):
            reply.feed(recorded.PROGRESS + recorded.event(recorded.FAILURE))


def test_what_follows_an_error_does_not_make_it_undone() -> None:
    reply = chatting()
    assert reply.feed(recorded.FAILED).decode() == CHATTED
    with pytest.raises(EngineError, match=r"^Compute error\.$"):
        reply.feed(recorded.chat("{}", '"stop"'))
    with pytest.raises(EngineError, match=r"^Compute error\.$"):
        reply.flush()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("data", [b"", recorded.PROGRESS, recorded.KILLED, recorded.DONE])
def test_a_reply_that_was_cut_short_is_an_error(data: bytes, stream: bool) -> None:
    for reply in (chatting(stream=stream), completing(stream=stream)):
        reply.feed(data)
        with pytest.raises(EngineError) as caught:
            reply.flush()
        assert (caught.value.message, caught.value.status) == (CUT_SHORT, 500)


def test_a_stream_that_fails_ends_with_an_error_line() -> None:
    for reply in (chatting(), completing()):
        assert reply.failure("it <died>", 500) == b'{"error":"it \\u003cdied\\u003e"}\n'


# ---- replies without generation


OBJECTS = [
    (OllamaChatObject("m", FakeClock()), '"message":{"role":"assistant","content":""}'),
    (GenerateObject("m", FakeClock()), '"response":""'),
]


@pytest.mark.parametrize("reason", ["load", "unload"])
@pytest.mark.parametrize(("reply", "empty"), OBJECTS)
def test_a_reply_without_generation(
    reply: OllamaChatObject | GenerateObject, empty: str, reason: str
) -> None:
    text = f'{HEAD},{empty},"done":true,"done_reason":"{reason}"}}'
    assert reply.without_generation(reason).decode() == text


@pytest.mark.parametrize(("reply", "empty"), OBJECTS)
def test_a_rendered_prompt(reply: OllamaChatObject | GenerateObject, empty: str) -> None:
    empty = empty.replace("assistant", "")
    info = '"_debug_info":{"rendered_template":"\\u003c|im_start|\\u003e"}'
    text = f'{HEAD},{empty},"done":false,{info}}}'
    assert reply.rendered("<|im_start|>").decode() == text


def test_a_rendered_prompt_comes_with_the_number_of_its_images() -> None:
    rendered = json.loads(OllamaChatObject("m", FakeClock()).rendered("x", 2))
    assert rendered["_debug_info"] == {"rendered_template": "x", "image_count": 2}


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
    call = ToolCallDelta(2, name="now")
    assert tool_call(call) == {"function": {"index": 2, "name": "now", "arguments": {}}}
