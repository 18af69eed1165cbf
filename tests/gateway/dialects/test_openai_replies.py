"""The engine's chunks as OpenAI's, byte for byte."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.call import EngineError, Tally
from gateway.dialects.openai_replies import Completion, Passthrough, Whole
from tests.fakes import recorded

CUT_SHORT = "the model runner stopped before the reply was complete"
FRAME = (
    f'"created":{recorded.CREATED},"id":"{recorded.IDENT}","model":"m",'
    '"system_fingerprint":"fp_ollama","object":"chat.completion.chunk"'
)
DONE = "data: [DONE]\n\n"


def passthrough(model: str = "m") -> Passthrough:
    return Passthrough(model, recorded.ALIAS)


def completion(*, stream: bool = True, usage: bool = False) -> Completion:
    return Completion("m", "cmpl-1", 99, stream=stream, usage=usage)


def run(reply: Passthrough | Whole | Completion, data: bytes) -> str:
    reply.assigned()
    return (reply.feed(data) + reply.flush()).decode()


def whole(data: bytes, **more: Any) -> Any:
    reply = Whole("m", **more)
    assert reply.feed(data) == b""
    return json.loads(reply.flush())


def chunk(delta: str, reason: str = "null", *, index: int = 0, more: str = "") -> str:
    choice = f'{{"finish_reason":{reason},"index":{index},"delta":{delta}}}'
    return f'data: {{"choices":[{choice}],{FRAME}{more}}}\n\n'


def events(text: str) -> list[Any]:
    """The objects of a stream, which ends as it should."""
    *said, done, nothing = text.split("\n\n")
    assert (done, nothing) == ("data: [DONE]", "")
    return [json.loads(each.removeprefix("data: ")) for each in said]


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
    told = events(run(passthrough(), recorded.WITH_USAGE))
    assert (told[-1]["choices"], told[-1]["usage"]["total_tokens"]) == ([], 25)
    assert (told[-1]["model"], told[-1]["system_fingerprint"]) == ("m", "fp_ollama")
    assert ["usage" in event for event in told] == [False] * 5 + [True]


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
    told = events(run(passthrough(), recorded.CALLED))
    pieces = [call for event in told for call in calls_of(event)]
    assert [piece["index"] for piece in pieces] == [0, 0, 0, 1, 1]
    text = "".join(piece["function"]["arguments"] for piece in pieces[:3])
    assert json.loads(text) == {"a": 1, "b": "<"}
    assert (pieces[0]["id"], pieces[0]["type"]) == (recorded.ONE_ID, "function")
    assert told[-1]["choices"][0]["finish_reason"] == "tool_calls"


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
    told = run(passthrough('M<"é'), recorded.PLAIN)
    assert told.count('"model":"M\\u003c\\"é"') == 5
    assert recorded.ALIAS not in told
    assert {event["model"] for event in events(told)} == {'M<"é'}


@pytest.mark.parametrize(
    "text",
    [
        f'"model":"{recorded.ALIAS}"',
        '"system_fingerprint":"b1-0c1e570"',
        '"delta":{"reasoning_content":',
        '"timings":{',
        'data: {"error":{}}',
        "data: [DONE]",
        '"delta":{"role":"assistant",',
    ],
)
def test_a_text_that_looks_like_our_marks_stays_as_it_is(text: str) -> None:
    delta = json.dumps({"content": text}, separators=(",", ":"))
    said = recorded.chat(delta)
    finish = recorded.chat("{}", '"stop"', more=f",{recorded.PLAIN_TIMINGS}")
    told = events(run(passthrough(), recorded.START + said + said + finish + recorded.DONE))
    assert [event["choices"][0]["delta"].get("content") for event in told] == [text, text, None]


def test_comments_and_blank_lines_are_left_out() -> None:
    data = b": ping\n\n" + recorded.PLAIN
    assert run(passthrough(), data) == run(passthrough(), recorded.PLAIN)


def test_a_stream_is_counted_on_the_way() -> None:
    for data, tally in (
        (recorded.PLAIN, Tally(20, 2.155 / 1e3, 5, 0.685 / 1e3)),
        (recorded.WITH_USAGE, Tally(20, 0.418 / 1e3, 5, 0.642 / 1e3)),
    ):
        reply = passthrough()
        run(reply, data)
        assert reply.tally == tally


# ---- whole chats


def test_a_whole_chat_is_put_together_from_its_stream() -> None:
    message = '"message":{"role":"assistant","content":"Hi you\\u2028\\u003cb\\u003e\\u0026é."}'
    assert run(Whole("m"), recorded.WITH_USAGE) == (
        f'{{"id":"{recorded.IDENT}","object":"chat.completion","created":{recorded.CREATED},'
        f'"model":"m","system_fingerprint":"fp_ollama","choices":[{{"index":0,{message},'
        f'"finish_reason":"stop"}}],{recorded.USAGE},{recorded.USAGE_TIMINGS}}}\n'
    )


def test_a_whole_chat_holds_reasoning_and_calls() -> None:
    assert whole(recorded.CALLED)["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Let me. ",
                "reasoning": "hm ",
                "tool_calls": [
                    {
                        "id": recorded.ONE_ID,
                        "index": 0,
                        "type": "function",
                        "function": {"name": "add", "arguments": '{"a": 1, "b": "<"}'},
                    },
                    {
                        "id": recorded.TWO_ID,
                        "index": 1,
                        "type": "function",
                        "function": {"name": "sub", "arguments": "{}"},
                    },
                ],
            },
            "finish_reason": "tool_calls",
        }
    ]


def test_a_call_that_was_cut_short_is_given_as_far_as_it_came() -> None:
    [choice] = whole(recorded.CALL_CUT)["choices"]
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == "{"
    assert choice["finish_reason"] == "length"


def test_logprobs_have_alternatives_only_if_they_were_asked_for() -> None:
    [choice] = whole(recorded.SCORED)["choices"]
    assert [entry["token"] for entry in choice["logprobs"]["content"]] == ["Hi ", "you\u2028"]
    assert [entry["top_logprobs"] for entry in choice["logprobs"]["content"]] == [[], []]
    [choice] = whole(recorded.SCORED, alternatives=True)["choices"]
    assert len(choice["logprobs"]["content"][0]["top_logprobs"]) == 2


def test_several_choices_are_told_apart_and_in_order() -> None:
    choices = whole(recorded.TWO_CHOICES)["choices"]
    assert [choice["index"] for choice in choices] == [0, 1]
    assert {choice["message"]["content"] for choice in choices} == {"Hi you"}


def test_an_empty_whole_chat_has_an_empty_text() -> None:
    [choice] = whole(recorded.STOPPED)["choices"]
    assert choice["message"] == {"role": "assistant", "content": ""}
    assert choice["finish_reason"] == "stop"


def test_a_whole_chat_without_counts_counts_nothing() -> None:
    reply = Whole("m")
    told = json.loads(run(reply, recorded.SAID[0] + recorded.chat("{}", '"stop"')))
    assert (told.keys() & {"usage", "timings"}, reply.tally) == (set(), Tally())


def test_a_whole_chat_is_counted() -> None:
    reply = Whole("m")
    run(reply, recorded.WITH_USAGE)
    assert reply.tally == Tally(20, 0.418 / 1e3, 5, 0.642 / 1e3)


# ---- completions


def text_chunk(text: str, reason: str = "null") -> str:
    frame = '"id":"cmpl-1","object":"text_completion","created":99,"model":"m"'
    choice = f'{{"text":"{text}","index":0,"finish_reason":{reason}}}'
    return f'data: {{{frame},"system_fingerprint":"fp_ollama","choices":[{choice}]}}\n\n'


SAID = "".join(map(text_chunk, ("Hi ", "you\\u2028", "\\u003cb\\u003e\\u0026", "é.")))
USED = {"prompt_tokens": 4, "completion_tokens": 5, "total_tokens": 9}


def test_a_completion_is_streamed_in_chunks_of_text() -> None:
    assert run(completion(), recorded.RAW) == SAID + text_chunk("", '"stop"') + DONE


def test_usage_of_a_completion_is_a_chunk_of_its_own() -> None:
    *told, used = events(run(completion(usage=True), recorded.RAW))
    assert (used["choices"], used["usage"]) == ([], USED)
    assert not any("usage" in event for event in told)


def test_a_whole_completion_always_has_its_usage() -> None:
    frame = '"id":"cmpl-1","object":"text_completion","created":99,"model":"m"'
    choice = '{"text":"Hi you\\u2028","index":0,"finish_reason":"length"}'
    usage = '{"prompt_tokens":4,"completion_tokens":5,"total_tokens":9}'
    assert run(completion(stream=False), recorded.RAW_LIMITED) == (
        f'{{{frame},"system_fingerprint":"fp_ollama","choices":[{choice}],"usage":{usage}}}\n'
    )


def test_a_stop_text_is_a_reason_to_stop() -> None:
    [*_, last] = events(run(completion(), recorded.RAW_STOPPED))
    assert last["choices"][0]["finish_reason"] == "stop"


def test_a_completion_without_a_prompt_says_that_the_model_is_loaded() -> None:
    assert completion().whole("load").decode() == text_chunk("", '"load"') + DONE
    found = json.loads(completion(stream=False).whole("load"))
    assert found["choices"] == [{"text": "", "index": 0, "finish_reason": "load"}]
    assert found["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


# ---- any pieces


REPLIES: list[tuple[Callable[[], Passthrough | Whole | Completion], tuple[bytes, ...]]] = [
    (passthrough, recorded.CHATS),
    (lambda: Whole("m"), recorded.CHATS),
    (lambda: completion(usage=True), recorded.RAWS),
    (lambda: completion(stream=False), recorded.RAWS),
]


@pytest.mark.parametrize(("make", "recordings"), REPLIES)
@given(st.data(), recorded.CUTS)
def test_a_reply_is_the_same_whatever_the_pieces(
    make: Callable[[], Passthrough | Whole | Completion],
    recordings: tuple[bytes, ...],
    choice: st.DataObject,
    cuts: list[int],
) -> None:
    data = choice.draw(st.sampled_from(recordings))
    assert recorded.heard(make(), data, cuts) == run(make(), data)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_any_text_survives(texts: list[str]) -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    deltas = [json.dumps({"content": text}, separators=(",", ":")) for text in texts]
    finish = recorded.chat("{}", '"stop"', more=f",{recorded.PLAIN_TIMINGS}")
    data = recorded.START + b"".join(map(recorded.chat, deltas)) + finish + recorded.DONE
    told = [
        event["choices"][0]["delta"].get("content") for event in events(run(passthrough(), data))
    ]
    assert told == [*texts, None]
    assert whole(data)["choices"][0]["message"]["content"] == "".join(texts)


# ---- errors


@given(recorded.CUTS)
def test_an_error_in_the_stream_follows_what_came_before_it_in_any_pieces(cuts: list[int]) -> None:
    for reply, data, first in (
        (passthrough(), recorded.FAILED, chunk('{"role":"assistant","content":"Hi "}')),
        (completion(), recorded.RAW_FAILED, text_chunk("Hi ")),
        (Whole("m"), recorded.FAILED, ""),
        (completion(stream=False), recorded.RAW_FAILED, ""),
    ):
        out, error = recorded.failing(reply, data, cuts)
        assert (out, error.message, error.status) == (first, "Compute error.", 500)


def test_an_error_with_nothing_before_it_is_raised_at_once() -> None:
    for reply in (passthrough(), Whole("m"), completion(), completion(stream=False)):
        with pytest.raises(EngineError, match=r"^Compute error\.$"):
            reply.feed(recorded.PROGRESS + recorded.event(recorded.FAILURE))


def test_what_follows_an_error_does_not_make_it_undone() -> None:
    for reply, data in ((passthrough(), recorded.FAILED), (completion(), recorded.RAW_FAILED)):
        assert reply.feed(data)
        with pytest.raises(EngineError, match=r"^Compute error\.$"):
            reply.feed(recorded.DONE)
        with pytest.raises(EngineError, match=r"^Compute error\.$"):
            reply.flush()


@pytest.mark.parametrize(
    "data", [b"", recorded.PROGRESS + recorded.START, recorded.KILLED, recorded.DONE]
)
def test_a_chat_that_was_cut_short_is_an_error(data: bytes) -> None:
    for reply in (passthrough(), Whole("m")):
        reply.feed(data)
        with pytest.raises(EngineError) as caught:
            reply.flush()
        assert (caught.value.message, caught.value.status) == (CUT_SHORT, 500)


def test_a_chat_without_its_last_choice_was_cut_short() -> None:
    reply = Whole("m")
    reply.feed(recorded.chat('{"content":"a"}') + recorded.chat("{}", '"stop"', index=1))
    with pytest.raises(EngineError):
        reply.flush()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("data", [b"", recorded.RAW_PROGRESS + recorded.RAW_SAID[0]])
def test_a_completion_that_was_cut_short_is_an_error(data: bytes, stream: bool) -> None:
    reply = completion(stream=stream)
    reply.feed(data)
    with pytest.raises(EngineError) as caught:
        reply.flush()
    assert caught.value.message == CUT_SHORT


def test_a_stream_that_fails_ends_with_an_error_event() -> None:
    error = '{"message":"it \\u003cdied\\u003e","type":"api_error","param":null,"code":null}'
    for reply in (passthrough(), completion()):
        assert reply.failure("it <died>", 500).decode() == f'data: {{"error":{error}}}\n\n'
    assert Whole("m").failure("it <died>", 500).decode() == f'{{"error":{error}}}'


def test_the_types_of_the_replies() -> None:
    assert passthrough().media_type == completion().media_type == "text/event-stream"
    assert Whole("m").media_type == completion(stream=False).media_type == "application/json"
