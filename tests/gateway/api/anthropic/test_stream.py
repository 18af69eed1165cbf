"""Messages of the Anthropic dialect, whole and event by event."""

import json
from typing import Any

import pytest

from gateway.api.anthropic.fields import refuse
from gateway.api.anthropic.stream import Events, Terms, Whole, error_body
from gateway.errors import Invalid
from gateway.llama.errors import EngineError
from gateway.llama.events import Delta, End, ToolCallDelta, Usage

TALLY = Usage(prompt_tokens=30, cached_tokens=20, tokens=5)
STOP = End("stop")
CALLED = End("tool_calls")
TERMS = Terms(model="m", max_tokens=5, estimate=7)
USAGE = {
    "input_tokens": 30,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 5,
}


def call(index: int = 0, arguments: str = "", **more: Any) -> Delta:
    return Delta(calls=[ToolCallDelta(index, arguments=arguments, **more)])


def whole(
    *deltas: Delta, end: End = STOP, usage: Usage = TALLY, terms: Terms = TERMS
) -> dict[str, Any]:
    writer = Whole(terms, "1", "req_1")
    assert writer.media_type == "application/json"
    writer.assigned()
    assert writer.begin() == b""
    assert [writer.write(delta) for delta in deltas] == [b""] * len(deltas)
    found: dict[str, Any] = json.loads(writer.end(end, usage))
    return found


def events(
    *deltas: Delta, end: End = STOP, usage: Usage = TALLY, terms: Terms = TERMS
) -> list[dict[str, Any]]:
    """The data of all events; that their names and framing are right is checked here."""
    writer = Events(terms, "1", "req_1")
    assert writer.media_type == "text/event-stream"
    writer.assigned()
    said = writer.begin() + b"".join(map(writer.write, deltas)) + writer.end(end, usage)
    *found, nothing = said.split(b"\n\n")
    assert nothing == b""
    read = []
    for event in found:
        name, data = event.split(b"\n")
        assert data.startswith(b"data: ")
        read.append(json.loads(data.removeprefix(b"data: ")))
        assert name == b"event: " + read[-1]["type"].encode()
    return read


def kinds(said: list[dict[str, Any]]) -> list[str]:
    """What happens, in short: "0 text", "0 'Hello'", "0 stop" and the names of the others."""
    short = []
    for event in said:
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


# ---- whole


def test_a_message_in_one_object() -> None:
    assert whole(Delta("Hello"), Delta(", you <b>")) == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "Hello, you <b>"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": USAGE,
    }


def test_blocks_stand_in_the_order_in_which_they_came() -> None:
    reply = whole(
        Delta(thinking="Let "),
        Delta(thinking="me see."),
        Delta("Well: "),
        call(id="a", name="add", arguments='{"x": '),
        call(arguments="1}"),
        call(1, id="b", name="now"),
        Delta(thinking="Hm."),
        end=CALLED,
    )
    assert reply["content"] == [
        {"type": "thinking", "thinking": "Let me see.", "signature": ""},
        {"type": "text", "text": "Well: "},
        {"type": "tool_use", "id": "a", "name": "add", "input": {"x": 1}},
        {"type": "tool_use", "id": "b", "name": "now", "input": {}},
        {"type": "thinking", "thinking": "Hm.", "signature": ""},
    ]
    assert (reply["stop_reason"], reply["stop_sequence"]) == ("tool_use", None)


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
    terms = Terms(model="m", max_tokens=5, stops=("never", "END"))
    wanted = {"stop_reason": reason, "stop_sequence": text}
    usage = Usage(prompt_tokens=1, tokens=tokens)
    reply = whole(Delta("x"), end=end, usage=usage, terms=terms)
    assert {key: reply[key] for key in wanted} == wanted
    [delta] = [e for e in events(Delta("x"), end=end, usage=usage, terms=terms) if "delta" in e][1:]
    assert delta["delta"] == wanted


def test_a_reply_with_a_call_ends_with_it_whatever_the_engine_says() -> None:
    said = call(id="a", name="add", arguments="{}", whole=True)
    assert whole(said)["stop_reason"] == "tool_use"
    assert events(said)[-2]["delta"]["stop_reason"] == "tool_use"


def test_half_a_call_is_not_made() -> None:
    cut = (Delta("So: "), call(id="a", name="add", arguments='{"x": '))
    reply = whole(*cut, end=End("length"))
    assert reply["content"] == [{"type": "text", "text": "So: "}]
    assert reply["stop_reason"] == "max_tokens"
    said = events(*cut, end=End("length"))
    assert kinds(said)[1:4] == ["0 text", "0 'So: '", "0 stop"]
    assert said[-2]["delta"]["stop_reason"] == "max_tokens"


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
    ("asked", "cached", "fresh", "read"),
    [
        (True, 1024, 976, 1024),
        (True, 1023, 2000, 0),  # Anthropic would not have cached it
        (False, 1500, 2000, 0),
    ],
)
def test_the_cache_is_told_apart_for_those_who_ask(
    asked: bool, cached: int, fresh: int, read: int
) -> None:
    usage = Usage(prompt_tokens=2000, cached_tokens=cached, tokens=5)
    terms = Terms(model="m", max_tokens=9, cached=asked)
    used = whole(usage=usage, terms=terms)["usage"]
    assert used == {**USAGE, "input_tokens": fresh, "cache_read_input_tokens": read}
    start, delta, _ = events(usage=usage, terms=terms)
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
    said = events(Delta(thinking="Hm"), Delta("A", ", so"), Delta("B"))
    assert kinds(said)[1:-2] == [
        "0 thinking",
        "0 'Hm'",
        "0 ', so'",
        "0 stop",
        "1 text",
        "1 'A'",
        "1 'B'",
        "1 stop",
    ]
    assert said[1]["content_block"] == {"type": "thinking", "thinking": "", "signature": ""}
    assert said[2]["delta"] == {"type": "thinking_delta", "thinking": "Hm"}


def test_hidden_thinking_is_an_empty_block() -> None:
    terms = Terms(model="m", hidden=True)
    deltas = (Delta(thinking="Hm"), Delta(thinking="!"), Delta("A"))
    assert kinds(events(*deltas, terms=terms))[1:4] == ["0 thinking", "0 stop", "1 text"]
    assert whole(*deltas, terms=terms)["content"][0]["thinking"] == ""


def test_a_call_is_told_when_it_is_whole() -> None:
    said = events(
        Delta("So: "),
        call(id="a", name="add", arguments='{"x": '),
        call(arguments="1}"),
        call(1, id="b", name="now"),
        end=CALLED,
    )
    assert kinds(said)[1:-2] == [
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
    assert said[4]["content_block"] == {"type": "tool_use", "id": "a", "name": "add", "input": {}}
    assert said[5]["delta"] == {"type": "input_json_delta", "partial_json": '{"x":1}'}


def test_text_after_a_call_stands_after_it() -> None:
    said = events(call(name="add", arguments="{}"), Delta("Done"), end=CALLED)
    assert kinds(said)[1:-2] == [
        "0 tool_use",
        "0 '{}'",
        "0 stop",
        "1 text",
        "1 'Done'",
        "1 stop",
    ]


def test_a_whole_call_does_not_wait_for_what_follows() -> None:
    writer = Events(TERMS, "1", "req_1")
    said = writer.write(call(name="add", arguments="{}", whole=True))
    assert said.endswith(
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    )


def test_an_eager_call_is_told_as_it_is_written() -> None:
    terms = Terms(model="m", eager=frozenset({"add"}))
    deltas = (
        call(id="a", name="add"),
        call(arguments='{"x": '),
        call(arguments="1"),
        call(1, name="now", arguments="{}"),
    )
    assert kinds(events(*deltas, end=CALLED, terms=terms))[1:-2] == [
        "0 tool_use",
        "0 '{\"x\": '",
        "0 '1'",
        "0 stop",
        "1 tool_use",
        "1 '{}'",
        "1 stop",
    ]
    cut = events(*deltas[:2], end=End("length"), terms=terms)
    assert kinds(cut)[1:-2] == ["0 tool_use", "0 '{\"x\": '", "0 stop"]


def test_what_begins_with_the_end_has_the_true_count_at_the_start() -> None:
    start, *_ = events(call(name="add", arguments="{}"), end=CALLED)
    assert start["message"]["usage"] == {**USAGE, "output_tokens": 0}


# ---- errors


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (503, "overloaded_error"),
        (529, "overloaded_error"),
        (499, "api_error"),
        (500, "api_error"),
    ],
)
def test_an_error_says_what_kind_it_is(status: int, kind: str) -> None:
    assert error_body("no", status, "req_1") == {
        "type": "error",
        "error": {"type": kind, "message": "no"},
        "request_id": "req_1",
    }


def test_without_threads_a_client_learns_to_do_without() -> None:
    with pytest.raises(Invalid) as caught:
        refuse({"thread": {"type": "create"}})
    error = error_body(caught.value.message, 400, "req_1")["error"]
    details = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    assert error["details"] == details


def test_a_stream_can_end_with_an_error() -> None:
    data = b'{"type":"error","error":{"type":"api_error","message":"no"},"request_id":"req_1"}'
    assert (
        Events(TERMS, "1", "req_1").failure("no", 500) == b"event: error\ndata: " + data + b"\n\n"
    )
    assert Whole(TERMS, "1", "req_1").failure("no", 500) == data
