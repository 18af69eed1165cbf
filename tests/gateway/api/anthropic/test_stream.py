"""Replies in Anthropic's form: a stream of events is the same message as one object."""

import json
from typing import Any

import pytest

from gateway.api.anthropic.object import AnthropicReplyOptions, MessageObject
from gateway.api.anthropic.stream import MessageStream
from gateway.llama.errors import EngineError
from gateway.llama.events import Delta, End, ToolCallDelta, Usage

COUNTED = Usage(prompt_tokens=30, cached_tokens=20, completion_tokens=5)
STOP = End("stop")
CALLED = End("tool_calls")
OPTIONS = AnthropicReplyOptions(model="m", max_tokens=5, estimated_tokens=7)
USAGE = {
    "input_tokens": 30,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 5,
}


def call(index: int = 0, arguments: str = "", **more: Any) -> Delta:
    return Delta(calls=[ToolCallDelta(index, arguments=arguments, **more)])


def whole(
    *deltas: Delta,
    end: End = STOP,
    usage: Usage = COUNTED,
    options: AnthropicReplyOptions = OPTIONS,
) -> dict[str, Any]:
    writer = MessageObject(options, "1", "req_1")
    assert writer.media_type == "application/json"
    writer.assigned()
    assert writer.begin() == b""
    assert [writer.write(delta) for delta in deltas] == [b""] * len(deltas)
    message: dict[str, Any] = json.loads(writer.end(end, usage))
    return message


def events(
    *deltas: Delta,
    end: End = STOP,
    usage: Usage = COUNTED,
    options: AnthropicReplyOptions = OPTIONS,
) -> list[dict[str, Any]]:
    """The data of all events; that their names and framing are right is checked here."""
    writer = MessageStream(options, "1", "req_1")
    assert writer.media_type == "text/event-stream"
    writer.assigned()
    output = writer.begin() + b"".join(map(writer.write, deltas)) + writer.end(end, usage)
    *blocks, nothing = output.split(b"\n\n")
    assert nothing == b""
    decoded = []
    for block in blocks:
        name, data = block.split(b"\n")
        assert data.startswith(b"data: ")
        decoded.append(json.loads(data.removeprefix(b"data: ")))
        assert name == b"event: " + decoded[-1]["type"].encode()
    return decoded


def kinds(written: list[dict[str, Any]]) -> list[str]:
    """What happens, in short: "0 text", "0 'Hello'", "0 stop" and the names of the others."""
    short = []
    for event in written:
        match event:
            case {"type": "content_block_start", "content_block": block}:
                short.append(f"{event['index']} {block['type']}")
            case {"type": "content_block_delta", "delta": delta}:
                (value,) = (value for key, value in delta.items() if key != "type")
                short.append(f"{event['index']} {value!r}")
            case {"type": "content_block_stop"}:
                short.append(f"{event['index']} stop")
            case _:
                short.append(event["type"])
    return short


# ---- content


def test_an_empty_reply_is_an_empty_list() -> None:
    assert whole()["content"] == []
    assert kinds(events()) == ["message_start", "message_delta", "message_stop"]


def test_a_call_without_an_id_gets_one() -> None:
    (block,) = whole(call(3, name="add"), end=CALLED)["content"]
    assert block["id"] == "toolu_13"
    start = events(call(3, name="add"), end=CALLED)[1]
    assert start["content_block"] == {**block, "input": {}}


# ---- how a reply ends


@pytest.mark.parametrize(
    ("end", "tokens", "reason", "text"),
    [
        (End("stop"), 3, "end_turn", None),
        (End("stop", "END"), 3, "stop_sequence", "END"),
        (End("stop", "the model's own"), 3, "end_turn", None),
        (End("length"), 5, "max_tokens", None),
        (End("length"), 3, "model_context_window_exceeded", None),
        (End("length"), 0, "max_tokens", None),
        (End("tool_calls"), 3, "tool_use", None),
    ],
)
def test_why_a_reply_ends(end: End, tokens: int, reason: str, text: str | None) -> None:
    options = AnthropicReplyOptions(model="m", max_tokens=5, stops=("never", "END"))
    wanted = {"stop_reason": reason, "stop_sequence": text}
    usage = Usage(prompt_tokens=1, completion_tokens=tokens)
    reply = whole(Delta("x"), end=end, usage=usage, options=options)
    assert {key: reply[key] for key in wanted} == wanted
    [delta] = [
        e for e in events(Delta("x"), end=end, usage=usage, options=options) if "delta" in e
    ][1:]
    assert delta["delta"] == wanted


def test_a_reply_with_a_call_ends_with_it_whatever_the_engine_says() -> None:
    delta = call(id="a", name="add", arguments="{}", whole=True)
    assert whole(delta)["stop_reason"] == "tool_use"
    assert events(delta)[-2]["delta"]["stop_reason"] == "tool_use"


def test_half_a_call_is_not_made() -> None:
    cut = (Delta("So: "), call(id="a", name="add", arguments='{"x": '))
    reply = whole(*cut, end=End("length"))
    assert reply["content"] == [{"type": "text", "text": "So: "}]
    assert reply["stop_reason"] == "max_tokens"
    written = events(*cut, end=End("length"))
    assert kinds(written)[1:4] == ["0 text", "0 'So: '", "0 stop"]
    assert written[-2]["delta"]["stop_reason"] == "max_tokens"


def test_a_call_that_was_done_before_the_limit_is_made() -> None:
    done = call(id="a", name="add", arguments='{"x": 1}', whole=True)
    reply = whole(done, end=End("length"))
    assert [block["input"] for block in reply["content"]] == [{"x": 1}]
    assert kinds(events(done, end=End("length")))[1:3] == ["0 tool_use", "0 '{\"x\":1}'"]


@pytest.mark.parametrize("arguments", ["{x}", "[1]", '"text"'])
def test_arguments_that_are_no_object_are_an_error(arguments: str) -> None:
    message = f"the model wrote invalid tool call arguments: {arguments}"
    bad = call(name="add", arguments=arguments)
    for make in (whole, events):
        with pytest.raises(EngineError) as caught:
            make(bad, end=CALLED)
        assert (caught.value.message, caught.value.status) == (message, 500)


# ---- usage


@pytest.mark.parametrize(
    ("reported", "cached", "fresh", "read"),
    [
        (True, 1024, 976, 1024),
        (True, 1023, 2000, 0),  # Anthropic would not have cached it
        (False, 1500, 2000, 0),
    ],
)
def test_the_cache_is_reported_apart_on_request(
    reported: bool, cached: int, fresh: int, read: int
) -> None:
    usage = Usage(prompt_tokens=2000, cached_tokens=cached, completion_tokens=5)
    options = AnthropicReplyOptions(model="m", max_tokens=9, cache_reported=reported)
    used = whole(usage=usage, options=options)["usage"]
    assert used == {**USAGE, "input_tokens": fresh, "cache_read_input_tokens": read}
    start, delta, _ = events(usage=usage, options=options)
    assert delta["usage"] == used
    assert start["message"]["usage"] == {**used, "output_tokens": 0}


# ---- events


def test_a_message_event_by_event() -> None:
    assert events(Delta("Hello"), Delta(", \u2028you")) == [
        {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "m",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {**USAGE, "input_tokens": 7, "output_tokens": 0},
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "Hello"},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": ", \u2028you"},
        },
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": USAGE,
        },
        {"type": "message_stop"},
    ]


def test_thinking_is_a_block_before_the_text() -> None:
    written = events(Delta(thinking="Hm"), Delta("A", ", so"), Delta("B"))
    assert kinds(written)[1:-2] == [
        "0 thinking",
        "0 'Hm'",
        "0 ', so'",
        "0 stop",
        "1 text",
        "1 'A'",
        "1 'B'",
        "1 stop",
    ]
    assert written[1]["content_block"] == {"type": "thinking", "thinking": "", "signature": ""}
    assert written[2]["delta"] == {"type": "thinking_delta", "thinking": "Hm"}


def test_omitted_thinking_is_an_empty_block() -> None:
    options = AnthropicReplyOptions(model="m", thinking_omitted=True)
    deltas = (Delta(thinking="Hm"), Delta(thinking="!"), Delta("A"))
    assert kinds(events(*deltas, options=options))[1:4] == ["0 thinking", "0 stop", "1 text"]
    assert whole(*deltas, options=options)["content"][0]["thinking"] == ""


def test_a_call_is_written_when_it_is_whole() -> None:
    written = events(
        Delta("So: "),
        call(id="a", name="add", arguments='{"x": '),
        call(arguments="1}"),
        call(1, id="b", name="now"),
        end=CALLED,
    )
    assert kinds(written)[1:-2] == [
        "0 text",
        "0 'So: '",
        "0 stop",
        "1 tool_use",
        "1 '{\"x\":1}'",
        "1 stop",
        "2 tool_use",
        "2 '{}'",
        "2 stop",
    ]
    assert written[4]["content_block"] == {
        "type": "tool_use",
        "id": "a",
        "name": "add",
        "input": {},
    }
    assert written[5]["delta"] == {"type": "input_json_delta", "partial_json": '{"x":1}'}


def test_text_after_a_call_stands_after_it() -> None:
    written = events(call(name="add", arguments="{}"), Delta("Done"), end=CALLED)
    assert kinds(written)[1:-2] == [
        "0 tool_use",
        "0 '{}'",
        "0 stop",
        "1 text",
        "1 'Done'",
        "1 stop",
    ]


def test_a_whole_call_does_not_wait_for_what_follows() -> None:
    writer = MessageStream(OPTIONS, "1", "req_1")
    written = writer.write(call(name="add", arguments="{}", whole=True))
    assert written.endswith(
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    )


def test_an_eager_call_is_passed_on_piece_by_piece() -> None:
    options = AnthropicReplyOptions(model="m", eager_tools=frozenset({"add"}))
    deltas = (
        call(id="a", name="add"),
        call(arguments='{"x": '),
        call(arguments="1"),
        call(1, name="now", arguments="{}"),
    )
    assert kinds(events(*deltas, end=CALLED, options=options))[1:-2] == [
        "0 tool_use",
        "0 '{\"x\": '",
        "0 '1'",
        "0 stop",
        "1 tool_use",
        "1 '{}'",
        "1 stop",
    ]
    cut = events(*deltas[:2], end=End("length"), options=options)
    assert kinds(cut)[1:-2] == ["0 tool_use", "0 '{\"x\": '", "0 stop"]


def test_what_begins_with_the_end_has_the_true_count_at_the_start() -> None:
    start, *_ = events(call(name="add", arguments="{}"), end=CALLED)
    assert start["message"]["usage"] == {**USAGE, "output_tokens": 0}


# ---- errors


def test_a_stream_can_end_with_an_error() -> None:
    data = b'{"type":"error","error":{"type":"api_error","message":"no"},"request_id":"req_1"}'
    assert (
        MessageStream(OPTIONS, "1", "req_1").failure("no", 500)
        == b"event: error\ndata: " + data + b"\n\n"
    )
    assert MessageObject(OPTIONS, "1", "req_1").failure("no", 500) == data
