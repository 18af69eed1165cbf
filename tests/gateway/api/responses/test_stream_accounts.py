"""Whole replies of the Responses API, against the accounts of the official client."""

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import (
    ResponseCompletedEvent,
    ResponseIncompleteEvent,
    ResponseStreamEvent,
)
from pydantic import TypeAdapter

from gateway.api.responses.requests import frame
from gateway.api.responses.stream import Reply, Style
from gateway.api.responses.tools import tools
from gateway.llama.events import Delta, End, ToolCallDelta, Usage

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
TOOLED = tools(
    [
        {"type": "custom", "name": "patch"},
        {"type": "tool_search", "execution": "client"},
        {"type": "namespace", "name": "sums", "tools": [{"type": "function", "name": "add"}]},
    ]
)


def written(deltas: Iterable[Delta], end: End, **style: Any) -> bytes:
    started = frame({"model": "m"}, "resp_t", 90)
    writer = Reply(started, "t", lambda: 99, Style(**style, tools=TOOLED))
    return writer.begin() + b"".join(map(writer.write, deltas)) + writer.end(end, Usage())


def streamed(deltas: Iterable[Delta], end: End, **style: Any) -> list[dict[str, Any]]:
    """The data of all events."""
    blocks = written(deltas, end, stream=True, **style).split(b"\n\n")[:-1]
    return [json.loads(block.partition(b"\ndata: ")[2]) for block in blocks]


def output(deltas: Iterable[Delta], end: End, **style: Any) -> Any:
    """The items of the same reply in one object."""
    return json.loads(written(deltas, end, **style))["output"]


def test_calls_have_the_form_of_their_tools() -> None:
    deltas = [
        Delta(text="So."),
        Delta(calls=[ToolCallDelta(0, id="c0", name="patch", arguments='{"input": "a')]),
        Delta(calls=[ToolCallDelta(0, arguments='b"}')]),
        Delta(calls=[ToolCallDelta(1, id="c1", name="tool_search", arguments='{"q": 1}')]),
        Delta(calls=[ToolCallDelta(2, id="c2", name="sums__add", arguments="{}")]),
    ]
    events = streamed(deltas, End("tool_calls"))
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
    assert output(deltas, End("tool_calls"))[1:] == [patch, search, add]


def entry(token: str, *others: str) -> dict[str, Any]:
    top = [{"token": other, "logprob": -2.0, "bytes": None} for other in others]
    return {"token": token, "logprob": -0.5, "top_logprobs": top}


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
def test_the_official_accounts_come_out_even(deltas: list[Delta], reason: Any, parts: bool) -> None:
    style: dict[str, Any] = {"parts": parts, "alternatives": 1}
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=[], text_format=omit)
    events = streamed(deltas, End(reason), **style)
    for event in events:
        told = state.handle_event(EVENT.validate_python(event))
    (last,) = told
    assert isinstance(last, ResponseCompletedEvent | ResponseIncompleteEvent)
    found = events[-1]["response"]["output"]
    assert found == [event["item"] for event in events if event["type"].endswith("item.done")]
    accounts: Any = last.response.to_dict()
    assert [item["id"] for item in accounts["output"]] == [item["id"] for item in found]
    one = output(deltas, End(reason), **style)
    assert one == found or (not found and len(one) == 1)
