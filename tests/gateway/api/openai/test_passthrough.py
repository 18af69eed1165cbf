"""The engine's chunks as OpenAI's, byte for byte."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.openai.passthrough import Passthrough
from gateway.llama.errors import EngineError
from gateway.llama.events import Usage
from tests.fakes import recorded

FRAME = (
    f'"created":{recorded.CREATED},"id":"{recorded.IDENT}","model":"m",'
    '"system_fingerprint":"fp_ollama","object":"chat.completion.chunk"'
)
DONE = "data: [DONE]\n\n"


def passthrough(model: str = "m", *, usage: bool = False) -> Passthrough:
    return Passthrough(model, recorded.ALIAS, usage=usage)


def run(reply: Passthrough, data: bytes) -> str:
    reply.assigned()
    return (reply.feed(data) + reply.flush()).decode()


def chunk(delta: str, reason: str = "null", *, index: int = 0, more: str = "") -> str:
    choice = f'{{"finish_reason":{reason},"index":{index},"delta":{delta}}}'
    return f'data: {{"choices":[{choice}],{FRAME}{more}}}\n\n'


def events(text: str) -> list[Any]:
    """The objects of a stream, which ends as it should."""
    *output, done, nothing = text.split("\n\n")
    assert (done, nothing) == ("data: [DONE]", "")
    return [json.loads(each.removeprefix("data: ")) for each in output]


# ---- streamed chats


def test_the_engines_chunks_pass_with_other_names_and_the_role_in_the_first() -> None:
    assert run(passthrough(), recorded.PLAIN) == (
        chunk('{"role":"assistant","content":"Hi "}')
        + chunk('{"content":"you\u2028"}')
        + chunk('{"content":"<b>&"}')
        + chunk('{"content":"é."}')
        + chunk("{}", '"stop"', more=f",{recorded.PLAIN_TIMINGS}")
        + DONE
    )


def test_what_is_known_is_said_at_once() -> None:
    reply = passthrough()
    assert reply.feed(recorded.PROGRESS + recorded.START) == b""
    first, second, *_ = recorded.SAID
    assert reply.feed(first[:-1]) == chunk('{"role":"assistant","content":"Hi "}').encode()
    assert reply.feed(first[-1:] + second[:-2]) == b""
    assert reply.feed(second[-2:]) == chunk('{"content":"you\u2028"}').encode()


def test_usage_comes_when_the_engine_was_asked_for_it() -> None:
    reported = events(run(passthrough(), recorded.WITH_USAGE))
    assert (reported[-1]["choices"], reported[-1]["usage"]["total_tokens"]) == ([], 25)
    assert (reported[-1]["model"], reported[-1]["system_fingerprint"]) == ("m", "fp_ollama")
    assert ["usage" in event for event in reported] == [False] * 5 + [True]


def test_usage_is_null_before_it_comes() -> None:
    *reported, last = events(run(passthrough(usage=True), recorded.WITH_USAGE))
    assert [event["usage"] for event in reported] == [None] * 5
    assert last["usage"]["total_tokens"] == 25
    first, *_ = events(run(passthrough(usage=True), recorded.STOPPED))
    assert (first["choices"][0]["delta"], first["usage"]) == (
        {"role": "assistant", "content": ""},
        None,
    )


def test_reasoning_is_renamed_and_goes_with_an_empty_content() -> None:
    assert run(passthrough(), recorded.THOUGHT) == (
        chunk('{"role":"assistant","content":"","reasoning":"hm "}')
        + chunk('{"content":"","reasoning":"o.k."}')
        + chunk('{"content":"","reasoning":"\\n"}')
        + chunk('{"content":"Done"}')
        + chunk('{"content":" now."}')
        + chunk("{}", '"stop"', more=f",{recorded.THOUGHT_TIMINGS}")
        + DONE
    )


def test_tool_calls_pass_in_the_engines_pieces() -> None:
    reported = events(run(passthrough(), recorded.CALLED))
    pieces = [call for event in reported for call in calls_of(event)]
    assert [piece["index"] for piece in pieces] == [0, 0, 0, 1, 1]
    text = "".join(piece["function"]["arguments"] for piece in pieces[:3])
    assert json.loads(text) == {"a": 1, "b": "<"}
    assert (pieces[0]["id"], pieces[0]["type"]) == (recorded.ONE_ID, "function")
    assert reported[-1]["choices"][0]["finish_reason"] == "tool_calls"


def calls_of(event: Any) -> list[Any]:
    delta = event["choices"][0]["delta"]
    return list(delta.get("tool_calls", []))


def test_a_call_that_comes_first_has_the_role_with_it() -> None:
    first, last = events(run(passthrough(), recorded.CALL_CUT))
    assert first["choices"][0]["delta"]["role"] == "assistant"
    assert calls_of(first)[0]["function"] == {"name": "add", "arguments": "{"}
    assert last["choices"][0]["finish_reason"] == "length"


def test_logprobs_pass() -> None:
    first = events(run(passthrough(), recorded.SCORED))[0]
    entry = first["choices"][0]["logprobs"]["content"][0]
    assert (entry["token"], len(entry["top_logprobs"])) == ("Hi ", 2)


def test_an_empty_reply_still_begins_with_its_role() -> None:
    assert run(passthrough(), recorded.STOPPED) == (
        chunk('{"role":"assistant","content":""}')
        + chunk("{}", '"stop"', more=f",{recorded.STOPPED_TIMINGS}")
        + DONE
    )


def test_a_model_is_named_as_the_client_named_it() -> None:
    reported = run(passthrough('M<"é'), recorded.PLAIN)
    assert reported.count('"model":"M\\u003c\\"é"') == 5
    assert recorded.ALIAS not in reported
    assert {event["model"] for event in events(reported)} == {'M<"é'}


@pytest.mark.parametrize(
    "text",
    [
        f'"model":"{recorded.ALIAS}"',
        '"system_fingerprint":"b1-0c1e570"',
        '"delta":{"reasoning_content":',
        '"timings":{',
        '"usage":{',
        'data: {"error":{}}',
        "data: [DONE]",
        '"delta":{"role":"assistant",',
    ],
)
def test_a_text_that_looks_like_our_marks_stays_as_it_is(text: str) -> None:
    delta = json.dumps({"content": text}, separators=(",", ":"))
    output = recorded.chat(delta)
    finish = recorded.chat("{}", '"stop"', more=f",{recorded.PLAIN_TIMINGS}")
    reported = events(run(passthrough(), recorded.START + output + output + finish + recorded.DONE))
    assert [event["choices"][0]["delta"].get("content") for event in reported] == [text, text, None]


def test_comments_and_blank_lines_are_left_out() -> None:
    data = b": ping\n\n" + recorded.PLAIN
    assert run(passthrough(), data) == run(passthrough(), recorded.PLAIN)


def test_a_stream_is_counted_on_the_way() -> None:
    for data, usage in (
        (recorded.PLAIN, Usage(20, 0, 2.155 / 1e3, 5, 0.685 / 1e3)),
        (recorded.WITH_USAGE, Usage(20, 19, 0.418 / 1e3, 5, 0.642 / 1e3)),
    ):
        reply = passthrough()
        run(reply, data)
        assert reply.usage == usage


# ---- any pieces


@given(st.sampled_from(recorded.CHATS), recorded.CUTS)
def test_a_reply_is_the_same_whatever_the_pieces(data: bytes, cuts: list[int]) -> None:
    assert recorded.heard(passthrough(), data, cuts) == run(passthrough(), data)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_any_text_survives(texts: list[str]) -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    deltas = [json.dumps({"content": text}, separators=(",", ":")) for text in texts]
    finish = recorded.chat("{}", '"stop"', more=f",{recorded.PLAIN_TIMINGS}")
    data = recorded.START + b"".join(map(recorded.chat, deltas)) + finish + recorded.DONE
    reported = [
        event["choices"][0]["delta"].get("content") for event in events(run(passthrough(), data))
    ]
    assert reported == [*texts, None]


# ---- errors


@given(recorded.CUTS)
def test_an_error_in_the_stream_follows_what_came_before_it_in_any_pieces(cuts: list[int]) -> None:
    out, error = recorded.failing(passthrough(), recorded.FAILED, cuts)
    assert out == chunk('{"role":"assistant","content":"Hi "}')
    assert (error.message, error.status) == ("Compute error.", 500)


def test_an_error_with_nothing_before_it_is_raised_at_once() -> None:
    with pytest.raises(EngineError, match=r"^Compute error\.$"):
        passthrough().feed(recorded.PROGRESS + recorded.event(recorded.FAILURE))


def test_what_follows_an_error_does_not_make_it_undone() -> None:
    reply = passthrough()
    assert reply.feed(recorded.FAILED)
    with pytest.raises(EngineError, match=r"^Compute error\.$"):
        reply.feed(recorded.DONE)
    with pytest.raises(EngineError, match=r"^Compute error\.$"):
        reply.flush()


@pytest.mark.parametrize(
    "data", [b"", recorded.PROGRESS + recorded.START, recorded.KILLED, recorded.DONE]
)
def test_a_chat_that_was_cut_short_is_an_error(data: bytes) -> None:
    reply = passthrough()
    reply.feed(data)
    with pytest.raises(EngineError) as caught:
        reply.flush()
    cut_short = "an error was encountered while running the model: unexpected EOF"
    assert (caught.value.message, caught.value.status) == (cut_short, 500)


def test_a_stream_that_fails_ends_with_an_error_event() -> None:
    error = '{"message":"it \\u003cdied\\u003e","type":"api_error","param":null,"code":null}'
    failure = passthrough().failure("it <died>", 500)
    assert failure.decode() == f'data: {{"error":{error}}}\n\n'


def test_a_stream_is_a_stream_of_events() -> None:
    assert passthrough().media_type == "text/event-stream"
