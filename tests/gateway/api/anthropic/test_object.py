"""A message as one object."""

import json
from typing import Any

import pytest

from gateway.api.anthropic.object import AnthropicReplyOptions, MessageObject, parse_arguments
from gateway.llama.errors import EngineError
from gateway.llama.events import Delta, End, ToolCallDelta, Usage

COUNTED = Usage(prompt_tokens=30, cached_tokens=20, completion_tokens=5)
STOP = End("stop")
CALLED = End("tool_calls")
USAGE = {
    "input_tokens": 30,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 5,
}


def call(index: int = 0, arguments: str = "", **more: Any) -> Delta:
    return Delta(calls=[ToolCallDelta(index, arguments=arguments, **more)])


def whole(*deltas: Delta, end: End = STOP) -> dict[str, Any]:
    writer = MessageObject(AnthropicReplyOptions(model="m", max_tokens=5), "1", "req_1")
    for delta in deltas:
        assert writer.write(delta) == b""
    message: dict[str, Any] = json.loads(writer.end(end, COUNTED))
    return message


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


@pytest.mark.parametrize("text", ["{x}", "[1]", "null"])
def test_arguments_are_an_object(text: str) -> None:
    assert parse_arguments("") == {}
    with pytest.raises(EngineError, match="the model wrote invalid tool call arguments: "):
        parse_arguments(text)
