"""Streams of the Responses API: every event in its place, and accepted by the official client."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import omit
from openai._models import validate_type
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseIncompleteEvent,
    ResponseStreamEvent,
)
from pydantic import TypeAdapter

from gateway.api.responses.fields import ResponsesRequest
from gateway.api.responses.object import ResponseObject
from gateway.api.responses.output import ResponseReplyOptions
from gateway.api.responses.requests import response_frame
from gateway.api.responses.stream import ResponseStream
from gateway.api.responses.tools import read_tools
from gateway.llama.events import Delta, End, ToolCallDelta, Usage

STOP = End("stop")
COUNTED = Usage(prompt_tokens=20, cached_tokens=12, completion_tokens=5)
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
CALL = ToolCallDelta(0, id="call_x", name="add")


FRAME = response_frame(ResponsesRequest(model="m"), "resp_t", 90)


def stream_writer(**options: Any) -> ResponseStream:
    return ResponseStream(FRAME, "t", lambda: 99, ResponseReplyOptions(**options))


def object_writer(**options: Any) -> ResponseObject:
    return ResponseObject(FRAME, "t", lambda: 99, ResponseReplyOptions(**options))


def streamed(deltas: Iterable[Delta], end: End = STOP, **options: Any) -> list[dict[str, Any]]:
    """The data of all events; framing, numbers and the official types are checked here."""
    writer = stream_writer(**options)
    writer.assigned()
    output = writer.begin() + b"".join(map(writer.write, deltas)) + writer.end(end, COUNTED)
    return read(output)


def read(output: bytes) -> list[dict[str, Any]]:
    *blocks, nothing = output.split(b"\n\n")
    assert nothing == b""
    events = []
    for number, block in enumerate(blocks):
        name, line = block.split(b"\n")
        data = json.loads(line.removeprefix(b"data: "))
        assert name == b"event: " + data["type"].encode()
        assert data["sequence_number"] == number
        assert list(data) == sorted(data)
        EVENT.validate_python(data)
        events.append(data)
    return events


def whole(deltas: Iterable[Delta], end: End = STOP, **options: Any) -> Any:
    writer = object_writer(**options)
    assert writer.begin() == b""
    for delta in deltas:
        assert writer.write(delta) == b""
    response = json.loads(writer.end(end, COUNTED))
    validate_type(type_=Response, value=response)
    assert response == writer.response
    return response


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def message(text: str, status: str = "completed", place: int = 0) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    ident = f"msg_t{place:02x}"
    kind = {"id": ident, "type": "message", "status": status, "role": "assistant"}
    return {**kind, "content": [part]}


def reasoning(text: str) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": text}]
    return {"id": "rs_t00", "type": "reasoning", "summary": summary, "encrypted_content": text}


def called(arguments: str, status: str = "completed", place: int = 0) -> dict[str, Any]:
    ident = f"fc_t{place:02x}"
    kind = {"id": ident, "type": "function_call", "status": status}
    return {**kind, "call_id": "call_x", "name": "add", "arguments": arguments}


HI = [Delta(text="Hi "), Delta(text="<you>\u2028.")]


def test_a_text_event_by_event() -> None:
    events = streamed(HI)
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert events[0]["response"] == FRAME
    assert events[1]["response"] == events[0]["response"]
    assert events[2]["item"] == {**message("", "in_progress"), "content": []}
    place = {"item_id": "msg_t00", "output_index": 0, "content_index": 0}
    for event in events[3:8]:
        assert {key: event[key] for key in place} == place
    assert [event["delta"] for event in events[4:6]] == ["Hi ", "<you>\u2028."]
    assert events[6]["text"] == "Hi <you>\u2028."
    assert events[7]["part"] == message("Hi <you>\u2028.")["content"][0]
    assert events[8]["item"] == message("Hi <you>\u2028.")
    assert events[9]["response"] == whole(HI)


def test_the_bytes_of_a_token() -> None:
    writer = stream_writer()
    writer.begin()
    writer.write(Delta(text="a"))
    assert writer.write(Delta(text='"<\n')) == (
        b"event: response.output_text.delta\n"
        b'data: {"content_index":0,"delta":"\\"\\u003c\\n","item_id":"msg_t00","logprobs":[],'
        b'"output_index":0,"sequence_number":5,"type":"response.output_text.delta"}\n\n'
    )


def test_a_text_in_one_object() -> None:
    assert whole(HI) == {
        **FRAME,
        "completed_at": 99,
        "status": "completed",
        "output": [message("Hi <you>\u2028.")],
        "usage": {
            "input_tokens": 20,
            "output_tokens": 5,
            "total_tokens": 25,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }


def test_cached_tokens_are_counted_on_request() -> None:
    usage = whole(HI, cache_reported=True)["usage"]
    assert usage["input_tokens_details"]["cached_tokens"] == 12


THOUGHT = [Delta(thinking="Let me "), Delta(thinking="see."), Delta(text="It is 4.")]


def test_reasoning_is_an_item_before_the_text() -> None:
    events = streamed(THOUGHT)
    assert kinds(events)[2:7] == [
        "output_item.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "output_item.done",
    ]
    assert events[2]["item"] == {"id": "rs_t00", "type": "reasoning", "summary": []}
    place = {"item_id": "rs_t00", "output_index": 0, "summary_index": 0}
    for event in events[3:6]:
        assert {key: event[key] for key in place} == place
    assert [event["delta"] for event in events[3:5]] == ["Let me ", "see."]
    assert events[5]["text"] == "Let me see."
    assert events[6]["item"] == reasoning("Let me see.")
    assert {event["output_index"] for event in events[7:-1]} == {1}
    assert events[-1]["response"]["output"] == [
        reasoning("Let me see."),
        message("It is 4.", place=1),
    ]
    assert whole(THOUGHT)["output"] == events[-1]["response"]["output"]


def test_parts_of_a_summary_have_events_on_request() -> None:
    events = streamed(THOUGHT, summary_events=True)
    assert kinds(events)[2:9] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    parts = [event["part"] for event in events if "reasoning_summary_part" in event["type"]]
    assert parts == [
        {"type": "summary_text", "text": ""},
        {"type": "summary_text", "text": "Let me see."},
    ]


PIECES = [
    Delta(calls=[CALL]),
    Delta(calls=[ToolCallDelta(0, arguments='{"a"')]),
    Delta(calls=[ToolCallDelta(0, arguments=":1}")]),
]


def test_a_call_piece_by_piece() -> None:
    events = streamed(PIECES, End("tool_calls"))
    assert kinds(events)[2:] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert events[2]["item"] == called("", "in_progress")
    assert [event["delta"] for event in events[3:5]] == ['{"a"', ":1}"]
    assert (events[5]["name"], events[5]["arguments"]) == ("add", '{"a":1}')
    assert events[6]["item"] == called('{"a":1}')
    assert whole(PIECES, End("tool_calls"))["output"] == [called('{"a":1}')]


def test_text_and_calls_stand_beside_each_other() -> None:
    both = ToolCallDelta(1, id="call_y", name="add", arguments="{}", whole=True)
    deltas = [Delta(text="I add."), Delta(calls=[CALL]), Delta(calls=[both]), Delta(text="So.")]
    output = [
        message("I add."),
        called("{}", place=1),
        {**called("{}", place=2), "call_id": "call_y"},
        message("So.", place=3),
    ]
    events = streamed(deltas)
    assert events[-1]["response"]["output"] == output
    added = [event["output_index"] for event in events if event["type"].endswith("item.added")]
    done = [event["output_index"] for event in events if event["type"].endswith("item.done")]
    assert added == done == [0, 1, 2, 3]
    assert whole(deltas)["output"] == output


def test_a_call_without_arguments_has_none() -> None:
    events = streamed([Delta(calls=[CALL])])
    assert [event["delta"] for event in events if event["type"].endswith("arguments.delta")] == [
        "{}"
    ]


def test_a_call_without_an_id_gets_one() -> None:
    (item,) = whole([Delta(calls=[ToolCallDelta(0, name="add")])])["output"]
    assert item["call_id"] == "call_t00"


def test_an_id_is_given_to_one_call_only() -> None:
    twice = [Delta(calls=[CALL, ToolCallDelta(1, id="call_x", name="sub")])]
    assert [item["call_id"] for item in whole(twice)["output"]] == ["call_x", "call_t01"]


def test_a_piece_of_a_call_that_has_ended_is_dropped() -> None:
    second = ToolCallDelta(1, id="y", name="sub", arguments="{}")
    late = [*PIECES, Delta(calls=[second]), Delta(calls=[ToolCallDelta(0, arguments="late")])]
    assert [item["arguments"] for item in whole(late)["output"]] == ['{"a":1}', "{}"]


@pytest.mark.parametrize(
    ("deltas", "output"),
    [
        (HI, [message("Hi <you>\u2028.", "incomplete")]),
        (PIECES[:2], [called('{"a"', "incomplete")]),
        (PIECES[:1], [called("", "incomplete")]),
        (THOUGHT[:2], [reasoning("Let me see.")]),
    ],
)
def test_a_reply_that_is_cut_is_incomplete(deltas: list[Delta], output: Any) -> None:
    for response in (
        whole(deltas, End("length")),
        streamed(deltas, End("length"))[-1]["response"],
    ):
        assert (response["status"], response["completed_at"]) == ("incomplete", None)
        assert response["incomplete_details"] == {"reason": "max_output_tokens"}
        assert response["output"] == output
    assert kinds(streamed(deltas, End("length")))[-1] == "incomplete"


def test_an_empty_reply_is_an_empty_message_or_no_item() -> None:
    empty = {**message(""), "content": [{**message("")["content"][0]}]}
    assert whole([])["output"] == [empty]
    assert kinds(streamed([])) == ["created", "in_progress", "completed"]
    assert streamed([])[-1]["response"]["output"] == []


def entry(token: str, *others: str) -> dict[str, Any]:
    top = [{"token": other, "logprob": -2.0, "bytes": None} for other in others]
    return {"token": token, "logprob": -0.5, "top_logprobs": top}


def shown(token: str, *others: str) -> dict[str, Any]:
    top = [{"token": t, "bytes": list(t.encode()), "logprob": -2.0} for t in others]
    return {
        "token": token,
        "bytes": list(token.encode()),
        "logprob": -0.5,
        "top_logprobs": top,
    }


def test_logprobs_go_with_their_text() -> None:
    deltas = [
        Delta(thinking="a", logprobs=[entry("a")]),
        Delta(logprobs=[entry("\ufffd")]),
        Delta(text="é", logprobs=[entry("é", "x", "y")]),
        Delta(text="!", logprobs=[entry("!", "z")]),
        Delta(logprobs=[entry("\ufffd")]),
    ]
    events = streamed(deltas, alternatives=1)
    written = [event["logprobs"] for event in events if "output_text.delta" in event["type"]]
    first, second = [shown("\ufffd"), shown("é", "x")], [shown("!", "z")]
    assert written == [first, second]
    last = [*first, *second, shown("\ufffd")]
    (done,) = [event for event in events if event["type"].endswith("output_text.done")]
    assert done["logprobs"] == last
    content = whole(deltas, alternatives=1)["output"][1]["content"]
    assert content[0]["logprobs"] == last
    assert whole(deltas)["output"][1]["content"][0]["logprobs"] == []
    assert whole(deltas, alternatives=0)["output"][1]["content"][0]["logprobs"][1] == shown("é")


def test_bytes_that_the_engine_knows_are_kept() -> None:
    half = {"token": "\ufffd", "logprob": -1.0, "bytes": [195]}
    (item,) = whole([Delta(text="\ufffd", logprobs=[half])], alternatives=0)["output"]
    assert item["content"][0]["logprobs"][0]["bytes"] == [195]


def test_a_stream_that_fails_has_two_events_for_it() -> None:
    writer = stream_writer()
    output = writer.begin() + writer.write(Delta(text="Hi"))
    *_, error, failed = read(output + writer.failure("it broke", 500))
    assert (error["type"], error["code"]) == ("error", "server_error")
    assert (error["message"], error["param"]) == ("it broke", None)
    assert failed["type"] == "response.failed"
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": "server_error", "message": "it broke"}
    assert writer.response is None


TOOLS = read_tools(
    [
        {"type": "custom", "name": "patch"},
        {"type": "tool_search", "execution": "client"},
        {"type": "namespace", "name": "sums", "tools": [{"type": "function", "name": "add"}]},
    ]
)


def test_calls_have_the_form_of_their_tools() -> None:
    deltas = [
        Delta(text="So."),
        Delta(calls=[ToolCallDelta(0, id="c0", name="patch", arguments='{"input": "a')]),
        Delta(calls=[ToolCallDelta(0, arguments='b"}')]),
        Delta(calls=[ToolCallDelta(1, id="c1", name="tool_search", arguments='{"q": 1}')]),
        Delta(calls=[ToolCallDelta(2, id="c2", name="sums__add", arguments="{}")]),
    ]
    events = streamed(deltas, End("tool_calls"), tools=TOOLS)
    assert [event["type"].removeprefix("response.") for event in events[7:]] == [
        "output_item.done",
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
        "output_item.added",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert events[8]["item"]["input"] == ""
    for event in events[9:12]:
        assert (event["item_id"], event["output_index"]) == ("ctc_t01", 1)
    assert [event["delta"] for event in events[9:11]] == ["a", "b"]
    patch, search, add = events[-1]["response"]["output"][1:]
    assert (patch["type"], patch["call_id"], patch["input"]) == ("custom_tool_call", "c0", "ab")
    assert (search["type"], search["arguments"]) == ("tool_search_call", {"q": 1})
    assert (add["namespace"], add["name"], add["arguments"]) == ("sums", "add", "{}")
    assert [item["id"] for item in (patch, search, add)] == ["ctc_t01", "tsc_t02", "fc_t03"]
    response = whole(deltas, End("tool_calls"), tools=TOOLS)
    assert response["output"][1:] == [patch, search, add]


def growth() -> st.SearchStrategy[list[Delta]]:
    """Replies in any order of things; pieces of a call may come late, or for a call that ended."""
    piece = st.builds(
        ToolCallDelta,
        st.integers(0, 2),
        id=st.sampled_from(["", "call_y"]),
        name=st.sampled_from(["add", "patch", "tool_search", "sums__add"]),
        arguments=st.sampled_from(["", "{}", '{"a"', '{"input": "', "é"]),
    )
    words = st.sampled_from(["", "a", "\n", "é<"])
    entries = st.lists(st.just(entry("a", "b")), max_size=1)
    calls = st.lists(piece, max_size=2)
    return st.lists(st.builds(Delta, words, words, calls, entries), max_size=8)


@settings(max_examples=25, deadline=None)
@given(growth(), st.sampled_from(["stop", "length"]), st.booleans())
def test_the_official_client_adds_up_the_same(
    deltas: list[Delta], reason: Any, summary_events: bool
) -> None:
    options: dict[str, Any] = {
        "summary_events": summary_events,
        "alternatives": 1,
        "tools": TOOLS,
    }
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=[], text_format=omit)
    events = streamed(deltas, End(reason), **options)
    for event in events:
        handled = state.handle_event(EVENT.validate_python(event))
    (last,) = handled
    assert isinstance(last, ResponseCompletedEvent | ResponseIncompleteEvent)
    output = events[-1]["response"]["output"]
    assert output == [event["item"] for event in events if event["type"].endswith("item.done")]
    added_up: Any = last.response.to_dict()
    assert [item["id"] for item in added_up["output"]] == [item["id"] for item in output]
    of_object = whole(deltas, End(reason), **options)["output"]
    assert of_object == output or (not output and len(of_object) == 1)
