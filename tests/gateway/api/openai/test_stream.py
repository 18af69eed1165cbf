"""Replies of OpenAI's that are put together here, byte for byte."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.openai.completions import CompletionObject, CompletionStream
from gateway.api.openai.object import ChatObject
from gateway.api.openai.stream import ChatStream
from gateway.inference.encoder import ReplyEncoder
from gateway.inference.types import Writer
from gateway.llama.errors import EngineError
from gateway.llama.events import Delta, End, ToolCallDelta, Usage
from tests.fakes import recorded
from tests.fakes.writing import of_chat, of_completion, run, whole

CUT_SHORT = "an error was encountered while running the model: unexpected EOF"
FRAME = (
    '"id":"chatcmpl-1","object":"chat.completion.chunk","created":99,"model":"m",'
    '"system_fingerprint":"fp_ollama"'
)
DONE = "data: [DONE]\n\n"
CHAT_USED = (
    '"usage":{"prompt_tokens":20,"completion_tokens":5,"total_tokens":25,'
    '"prompt_tokens_details":{"cached_tokens":19}}'
)


def chat(*, stream: bool = True, usage: bool = False, alternatives: bool = False) -> Writer:
    if stream:
        return ChatStream("m", "chatcmpl-1", 99, usage=usage, alternatives=alternatives)
    return ChatObject("m", "chatcmpl-1", 99, alternatives=alternatives)


def chatting(
    *, stream: bool = True, usage: bool = False, alternatives: bool = False
) -> ReplyEncoder:
    return of_chat(chat(stream=stream, usage=usage, alternatives=alternatives))


def completion(
    *, stream: bool = True, usage: bool = False, echo: str = ""
) -> CompletionObject | CompletionStream:
    if stream:
        return CompletionStream("m", "cmpl-1", 99, usage=usage, echo=echo)
    return CompletionObject("m", "cmpl-1", 99, echo=echo)


def completing(*, stream: bool = True, usage: bool = False, echo: str = "") -> ReplyEncoder:
    return of_completion(completion(stream=stream, usage=usage, echo=echo))


def object_of(data: bytes, *, alternatives: bool = False) -> Any:
    return whole(chatting(stream=False, alternatives=alternatives), data)


def chunk(delta: str, reason: str = "null", more: str = "") -> str:
    choice = f'{{"index":0,"delta":{delta},"finish_reason":{reason}{more}}}'
    return f'data: {{{FRAME},"choices":[{choice}]}}\n\n'


def last_chunk(reason: str) -> str:
    choice = f'{{"index":0,"finish_reason":"{reason}","delta":{{}}}}'
    return f'data: {{{FRAME},"choices":[{choice}]}}\n\n'


def events(text: str) -> list[Any]:
    """The objects of a stream, which ends as it should."""
    *output, done, nothing = text.split("\n\n")
    assert (done, nothing) == ("data: [DONE]", "")
    return [json.loads(each.removeprefix("data: ")) for each in output]


# ---- streamed chats


def test_each_piece_of_a_chat_is_a_chunk_and_the_first_has_the_role() -> None:
    assert run(chatting(), recorded.PLAIN) == (
        chunk('{"role":"assistant","content":"Hi "}')
        + chunk('{"content":"you\\u2028"}')
        + chunk('{"content":"\\u003cb\\u003e\\u0026"}')
        + chunk('{"content":"é."}')
        + last_chunk("stop")
        + DONE
    )


def test_a_model_is_named_as_the_client_named_it() -> None:
    chat = ChatStream('M<"é', "c", 1, usage=False, alternatives=False)
    completion = CompletionStream('M<"é', "c", 1, usage=False)
    for reply in (chat, completion):
        assert '"model":"M\\u003c\\"é"' in reply.write(Delta("x")).decode()


def test_usage_of_a_chat_is_a_chunk_of_its_own() -> None:
    *reported, used = events(run(chatting(usage=True), recorded.WITH_USAGE))
    assert json.dumps(used, separators=(",", ":")) == f'{{{FRAME},{CHAT_USED},"choices":[]}}'
    assert [event["usage"] for event in reported] == [None] * len(reported)
    assert [event["choices"][0]["finish_reason"] for event in reported[-2:]] == [None, "stop"]


def test_thinking_is_called_reasoning_and_goes_with_an_empty_content() -> None:
    reported = events(run(chatting(), recorded.THOUGHT))
    assert [event["choices"][0]["delta"] for event in reported] == [
        {"role": "assistant", "content": "", "reasoning": "hm "},
        {"content": "", "reasoning": "o.k."},
        {"content": "", "reasoning": "\n"},
        {"content": "Done"},
        {"content": " now."},
        {},
    ]


def test_a_call_has_its_id_and_name_once() -> None:
    reply = chat()
    first = reply.write(Delta(calls=[ToolCallDelta(0, "c1", "add", '{"a"')])).decode()
    call = (
        '{"id":"c1","type":"function","index":0,"function":{"name":"add","arguments":"{\\"a\\""}}'
    )
    assert first == chunk(f'{{"role":"assistant","content":"","tool_calls":[{call}]}}')
    more = reply.write(Delta(calls=[ToolCallDelta(0, arguments=":1}")])).decode()
    piece = '{"index":0,"function":{"arguments":":1}"}}'
    assert more == chunk(f'{{"content":"","tool_calls":[{piece}]}}')
    assert reply.end(End("tool_calls"), Usage()).decode() == last_chunk("tool_calls") + DONE


def test_text_that_is_held_back_makes_no_chunk_of_a_chat() -> None:
    assert chat().write(Delta(held=True)) == b""


def test_logprobs_stand_with_their_chunk() -> None:
    first = events(run(chatting(), recorded.SCORED))[0]["choices"][0]
    assert first["logprobs"]["content"][0]["top_logprobs"] == []
    assert first["logprobs"]["content"][0]["token"] == "Hi "
    first = events(run(chatting(alternatives=True), recorded.SCORED))[0]["choices"][0]
    assert len(first["logprobs"]["content"][0]["top_logprobs"]) == 2


# ---- whole chats


def test_a_whole_chat_is_one_object_with_its_usage() -> None:
    message = '"message":{"role":"assistant","content":"Hi you\\u2028\\u003cb\\u003e\\u0026é."}'
    assert run(chatting(stream=False), recorded.WITH_USAGE) == (
        '{"id":"chatcmpl-1","object":"chat.completion","created":99,"model":"m",'
        f'"system_fingerprint":"fp_ollama","choices":[{{"index":0,"finish_reason":"stop",{message}}}],'
        f"{CHAT_USED}}}\n"
    )


def test_a_whole_chat_holds_reasoning_and_calls() -> None:
    assert object_of(recorded.CALLED)["choices"] == [
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
                        "function": {"name": "add", "arguments": '{"a":1,"b":"<"}'},
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
    [choice] = object_of(recorded.CALL_CUT)["choices"]
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == "{"
    assert choice["finish_reason"] == "length"


def test_a_token_without_text_stands_with_the_next_chunk() -> None:
    entries = [{"token": token, "logprob": -0.5} for token in ("\ufffd", "é", "")]
    reply = completion()
    output = [
        reply.write(Delta(logprobs=entries[:1])),
        reply.write(Delta("é", logprobs=entries[1:2])),
        reply.write(Delta(logprobs=entries[2:])),
        reply.end(End("stop"), Usage()),
    ]
    assert output[0] == output[2] == b""
    reported = [event["choices"][0]["logprobs"] for event in events(b"".join(output).decode())]
    assert [part["tokens"] for part in reported] == [["\ufffd", "é"], [""]]


def test_logprobs_have_alternatives_only_if_they_were_asked_for() -> None:
    [choice] = object_of(recorded.SCORED)["choices"]
    assert [entry["token"] for entry in choice["logprobs"]["content"]] == ["Hi ", "you\u2028"]
    assert [entry["top_logprobs"] for entry in choice["logprobs"]["content"]] == [[], []]
    [choice] = object_of(recorded.SCORED, alternatives=True)["choices"]
    assert len(choice["logprobs"]["content"][0]["top_logprobs"]) == 2


def test_an_empty_whole_chat_has_an_empty_text() -> None:
    [choice] = object_of(recorded.STOPPED)["choices"]
    assert choice["message"] == {"role": "assistant", "content": ""}
    assert choice["finish_reason"] == "stop"


# ---- completions


def text_chunk(text: str, reason: str = "null") -> str:
    frame = '"id":"cmpl-1","object":"text_completion","created":99,"model":"m"'
    choice = f'{{"text":"{text}","index":0,"finish_reason":{reason}}}'
    return f'data: {{{frame},"system_fingerprint":"fp_ollama","choices":[{choice}]}}\n\n'


SAID = "".join(map(text_chunk, ("Hi ", "you\\u2028", "\\u003cb\\u003e\\u0026", "é.")))
USED = {
    "prompt_tokens": 4,
    "completion_tokens": 5,
    "total_tokens": 9,
    "prompt_tokens_details": {"cached_tokens": 1},
}


def test_a_completion_is_streamed_in_chunks_of_text() -> None:
    assert run(completing(), recorded.RAW) == SAID + text_chunk("", '"stop"') + DONE


def test_usage_of_a_completion_is_a_chunk_of_its_own() -> None:
    *reported, used = events(run(completing(usage=True), recorded.RAW))
    assert (used["choices"], used["usage"]) == ([], USED)
    assert [event["usage"] for event in reported] == [None] * len(reported)
    assert not any("usage" in event for event in events(run(completing(), recorded.RAW)))


def test_a_whole_completion_always_has_its_usage() -> None:
    frame = '"id":"cmpl-1","object":"text_completion","created":99,"model":"m"'
    choice = '{"text":"Hi you\\u2028","index":0,"finish_reason":"length"}'
    details = '"prompt_tokens_details":{"cached_tokens":1}'
    usage = f'{{"prompt_tokens":4,"completion_tokens":5,"total_tokens":9,{details}}}'
    assert run(completing(stream=False), recorded.RAW_LIMITED) == (
        f'{{{frame},"system_fingerprint":"fp_ollama","choices":[{choice}],"usage":{usage}}}\n'
    )


def test_a_stop_text_is_a_reason_to_stop() -> None:
    [*_, last] = events(run(completing(), recorded.RAW_STOPPED))
    assert last["choices"][0]["finish_reason"] == "stop"


def test_an_echo_comes_first() -> None:
    reported = run(completing(echo="a <"), recorded.RAW)
    assert reported == text_chunk("a \\u003c") + SAID + text_chunk("", '"stop"') + DONE
    result = whole(completing(stream=False, echo="a "), recorded.RAW_LIMITED)
    assert result["choices"][0]["text"] == "a Hi you\u2028"


def test_a_chunk_says_nothing_while_text_is_held_back() -> None:
    assert completion().write(Delta(held=True)).decode() == text_chunk("")
    assert completion().write(Delta(thinking="hm")) == b""


def test_a_completion_without_a_token_has_still_its_end() -> None:
    assert completion().end(End("stop"), Usage()).decode() == text_chunk("", '"stop"') + DONE
    result = json.loads(completion(stream=False).end(End("stop"), Usage()))
    assert result["choices"] == [{"text": "", "index": 0, "finish_reason": "stop"}]
    assert result["usage"] == {
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "total_tokens": 0,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


# ---- any pieces


REPLIES: list[tuple[Callable[[], ReplyEncoder], tuple[bytes, ...]]] = [
    (chatting, recorded.CHATS),
    (lambda: chatting(stream=False), recorded.CHATS),
    (lambda: completing(usage=True), recorded.RAWS),
    (lambda: completing(stream=False), recorded.RAWS),
]


@pytest.mark.parametrize(("make", "recordings"), REPLIES)
@given(st.data(), recorded.CUTS)
def test_a_reply_is_the_same_whatever_the_pieces(
    make: Callable[[], ReplyEncoder],
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
    data = b"".join(map(recorded.chat, deltas)) + recorded.chat("{}", '"stop"')
    reported = [
        event["choices"][0]["delta"].get("content") for event in events(run(chatting(), data))
    ]
    assert reported == [*texts, None]
    assert object_of(data)["choices"][0]["message"]["content"] == "".join(texts)


# ---- errors


@given(recorded.CUTS)
def test_an_error_in_the_stream_follows_what_came_before_it_in_any_pieces(cuts: list[int]) -> None:
    for reply, data, first in (
        (chatting(), recorded.FAILED, chunk('{"role":"assistant","content":"Hi "}')),
        (completing(), recorded.RAW_FAILED, text_chunk("Hi ")),
        (chatting(stream=False), recorded.FAILED, ""),
        (completing(stream=False), recorded.RAW_FAILED, ""),
    ):
        out, error = recorded.failing(reply, data, cuts)
        assert (out, error.message, error.status) == (first, "Compute error.", 500)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("data", [b"", recorded.PROGRESS, recorded.KILLED, recorded.DONE])
def test_a_chat_that_was_cut_short_is_an_error(data: bytes, stream: bool) -> None:
    reply = chatting(stream=stream)
    reply.feed(data)
    with pytest.raises(EngineError) as caught:
        reply.flush()
    assert (caught.value.message, caught.value.status) == (CUT_SHORT, 500)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("data", [b"", recorded.RAW_PROGRESS + recorded.RAW_SAID[0]])
def test_a_completion_that_was_cut_short_is_an_error(data: bytes, stream: bool) -> None:
    reply = completing(stream=stream)
    reply.feed(data)
    with pytest.raises(EngineError) as caught:
        reply.flush()
    assert caught.value.message == CUT_SHORT


def test_a_stream_that_fails_ends_with_an_error_event() -> None:
    error = '{"message":"it \\u003cdied\\u003e","type":"api_error","param":null,"code":null}'
    for reply in (chatting(), completing()):
        assert reply.failure("it <died>", 500).decode() == f'data: {{"error":{error}}}\n\n'


def test_the_types_of_the_replies() -> None:
    assert chatting().media_type == completing().media_type == "text/event-stream"
    assert chatting(stream=False).media_type == "application/json"
    assert completing(stream=False).media_type == "application/json"
