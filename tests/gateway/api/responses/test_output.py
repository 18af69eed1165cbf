"""Items of a reply as they grow; test_stream checks every event that they have."""

from collections.abc import Iterable

import pytest

from gateway.api.responses.output import (
    ResponseOutput,
    ResponseReplyOptions,
    final_response,
    final_status,
)
from gateway.llama.events import Delta, End, ToolCallDelta, Usage

CALL = ToolCallDelta(0, id="call_x", name="add", arguments="{}")
ENTRY = {"token": "a", "logprob": -0.5, "top_logprobs": []}


def output(deltas: Iterable[Delta]) -> ResponseOutput:
    output = ResponseOutput("t", ResponseReplyOptions(alternatives=0))
    for delta in deltas:
        output.write(delta)
    return output


def test_events_keep_the_item_as_it_was() -> None:
    events = ResponseOutput("t", ResponseReplyOptions()).write(Delta(text="a", calls=[CALL]))
    items = [fields["item"] for name, fields in events if name.startswith("output_item")]
    statuses = [item["status"] for item in items if isinstance(item, dict)]
    assert statuses == ["in_progress", "completed", "in_progress"]


@pytest.mark.parametrize(
    "delta",
    [
        Delta(text="b"),
        Delta(text="b", logprobs=[ENTRY]),
        Delta(thinking="b"),
        Delta(text="b", thinking="b"),
        Delta(text="b", calls=[CALL]),
        Delta(calls=[CALL]),
    ],
)
@pytest.mark.parametrize("before", [[], [Delta(thinking="a")], [Delta(text="a", logprobs=[ENTRY])]])
def test_more_text_may_be_taken_apart(before: list[Delta], delta: Delta) -> None:
    one, other = output(before), output(before)
    events, logprobs = one.write(delta), other.extend_message(delta)
    if logprobs is None:
        other.write(delta)
    else:
        fields = {**one.place, "delta": delta.text, "logprobs": logprobs}
        assert events == [("output_text.delta", fields)]
    assert one.close("completed") == other.close("completed")
    assert one.items == other.items


def test_only_text_of_an_open_message_is_taken_apart() -> None:
    assert output([]).extend_message(Delta(text="a")) is None
    assert output([Delta(text="a")]).extend_message(Delta(text="b")) == []


def test_a_limit_leaves_a_response_incomplete() -> None:
    assert [final_status(End(r)) for r in ("stop", "length")] == ["completed", "incomplete"]
    options = ResponseReplyOptions(cache_reported=True)
    usage = Usage(prompt_tokens=20, cached_tokens=12, completion_tokens=5)
    response = final_response({"id": "r"}, output([]), End("length"), usage, options, 99)
    assert response == {
        "id": "r",
        "completed_at": None,
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "output": [],
        "usage": {
            "input_tokens": 20,
            "output_tokens": 5,
            "total_tokens": 25,
            "input_tokens_details": {"cached_tokens": 12, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }
