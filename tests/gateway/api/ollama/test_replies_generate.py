"""What the engine streams as Ollama's completions; and what chats have in common with them."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.encoder import ReplyEncoder
from gateway.llama.errors import EngineError
from gateway.llama.events import Delta, End, Usage
from tests.fakes import recorded
from tests.fakes.writing import HEAD, chat, generate, of_chat, of_completion, run, whole

CUT_SHORT = "an error was encountered while running the model: unexpected EOF"


def chatting(*, stream: bool = True) -> ReplyEncoder:
    return of_chat(chat(stream=stream))


def completing(*, stream: bool = True) -> ReplyEncoder:
    return of_completion(generate(stream=stream))


CHATTED = f'{HEAD},"message":{{"role":"assistant","content":"Hi "}},"done":false}}\n'
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
    reply = generate(stream=False)
    reply.alternatives = True
    found = whole(of_completion(reply), recorded.RAW_SCORED)
    assert (list(found)[-1], len(found["logprobs"][0]["top_logprobs"])) == ("logprobs", 2)


def test_a_completion_that_ends_at_once_is_one_line() -> None:
    data = recorded.raw_end("eos", recorded.RAW_TIMINGS)
    last = json.loads(run(of_completion(generate()), data))
    assert (last["response"], last["done_reason"]) == ("", "stop")


def test_thinking_has_a_member_of_its_own() -> None:
    line = f'{HEAD},"response":"","thinking":"hm \\u003c","done":false}}\n'
    assert generate().write(Delta(thinking="hm <")).decode() == line
    reply = generate(stream=False)
    assert reply.write(Delta("a", "hm ")) + reply.write(Delta("b", "so")) == b""
    found = json.loads(reply.end(End("stop"), Usage()))
    assert list(found)[2:5] == ["response", "thinking", "done"]
    assert (found["response"], found["thinking"]) == ("ab", "hm so")


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


def test_a_rendered_prompt_tells_how_many_pictures_go_with_it() -> None:
    found = json.loads(chat().rendered("x", 2))
    assert found["_debug_info"] == {"rendered_template": "x", "image_count": 2}
