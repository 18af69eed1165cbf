"""Requests for a response: as requests for a generation, refused, repeated in the reply."""

import json
from typing import Any

import pytest

from gateway.api.responses.fields import RESPONSES, ResponsesRequest
from gateway.api.responses.items import read_items
from gateway.api.responses.output import ResponseReplyOptions
from gateway.api.responses.requests import (
    alternatives,
    check_request,
    generation_request,
    reply_options,
    request_tools,
    response_frame,
)
from gateway.errors import Invalid
from gateway.inference.types import GenerationRequest

ADD = {"type": "function", "name": "add", "description": "adds", "parameters": {"type": "object"}}
SUB = {"type": "function", "name": "sub"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def read(**fields: Any) -> ResponsesRequest:
    request = RESPONSES.decode(json.dumps({"model": "m", "input": "hi", **fields}).encode())
    check_request(request)
    return request


def generation(**fields: Any) -> Any:
    request = read(**fields)
    items = read_items(request.input, "t")
    return generation_request(request, items, request_tools(request, items))


def refusal(**fields: Any) -> str:
    with pytest.raises(Invalid) as caught:
        generation(**fields)
    return caught.value.message


def function(tool: dict[str, Any]) -> dict[str, Any]:
    inner = {key: value for key, value in tool.items() if key != "type"}
    return {"type": "function", "function": inner}


WHOLE_SUB = function({"parameters": {"type": "object", "properties": {}}, **SUB})


def test_a_plain_request() -> None:
    assert generation() == GenerationRequest(
        model="m",
        messages=[{"role": "user", "content": "hi"}],
        defaults={"temperature": 1.0},
        truncate=True,
    )


def test_instructions_come_first() -> None:
    assert generation(instructions="Be brief.").messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    ]
    assert generation(instructions="Be brief.", input=None).messages == [
        {"role": "system", "content": "Be brief."}
    ]


@pytest.mark.parametrize("nothing", [None, "", []])
def test_a_request_must_have_input(nothing: Any) -> None:
    assert refusal(input=nothing) == "input is required"


def test_sampling_goes_by_the_names_of_options() -> None:
    given = {"temperature": 0.1, "top_p": 0.3, "max_output_tokens": 9, "seed": 4, "stop": ["x"]}
    more = {"top_k": 3, "min_p": 0.2, "presence_penalty": 1, "frequency_penalty": 2}
    assert generation(**given, **more).options == {
        "temperature": 0.1,
        "top_p": 0.3,
        "num_predict": 9,
        "seed": 4,
        "stop": ["x"],
        **more,
    }


def test_functions_are_wrapped() -> None:
    assert generation(tools=[ADD, {**SUB, "strict": None}]).tools == [function(ADD), WHOLE_SUB]


@pytest.mark.parametrize(
    ("choice", "tools", "extra"),
    [
        ("auto", [function(ADD), WHOLE_SUB], {}),
        ("none", [], {}),
        ("required", [function(ADD), WHOLE_SUB], {"tool_choice": "required"}),
        ({"type": "function", "name": "sub"}, [WHOLE_SUB], {"tool_choice": "required"}),
        ({"type": "allowed_tools", "mode": "auto", "tools": [SUB]}, [WHOLE_SUB], {}),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [SUB, ADD]},
            [function(ADD), WHOLE_SUB],
            {"tool_choice": "required"},
        ),
    ],
)
def test_a_choice_among_tools(choice: Any, tools: Any, extra: Any) -> None:
    request = generation(tools=[ADD, SUB], tool_choice=choice)
    assert (request.tools, request.extra) == (tools, extra)


def test_tools_may_come_with_the_conversation() -> None:
    more = {"type": "additional_tools", "role": "developer", "tools": [SUB]}
    search = {"type": "tool_search_output", "call_id": None, "tools": [{**ADD, "name": "mul"}]}
    user = {"role": "user", "content": "hi"}
    names = [
        tool["function"]["name"]
        for tool in generation(tools=[ADD], input=[more, user, search]).tools
    ]
    assert names == ["add", "sub", "mul"]


def test_parallel_calls_are_passed_on() -> None:
    assert generation(tools=[ADD], parallel_tool_calls=False).extra == {
        "parallel_tool_calls": False
    }
    assert generation(parallel_tool_calls=False).extra == {}


@pytest.mark.parametrize(
    ("effort", "think"), [("none", False), ("minimal", "low"), ("high", "high"), ("xhigh", "max")]
)
def test_effort_is_how_much_to_think(effort: str, think: Any) -> None:
    assert generation(reasoning={"effort": effort}).think == think


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "name": "a", "schema": SCHEMA, "strict": True},
            {
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": SCHEMA, "strict": True},
            },
        ),
        (
            {"type": "json_schema", "schema": SCHEMA, "description": None},
            {"type": "json_schema", "json_schema": {"name": "response", "schema": SCHEMA}},
        ),
    ],
)
def test_formats(given: Any, wanted: Any) -> None:
    assert generation(text={"format": given}).response_format == wanted


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, None),
        ({"top_logprobs": 0}, None),
        ({"top_logprobs": 3}, 3),
        ({"include": ["message.output_text.logprobs"]}, 0),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 2}, 2),
        ({"include": ["reasoning.encrypted_content"]}, None),
    ],
)
def test_there_are_two_ways_to_want_logprobs(fields: Any, wanted: int | None) -> None:
    assert generation(**fields).top_logprobs == wanted
    assert alternatives(read(**fields)) == wanted


@pytest.mark.parametrize(("given", "cut"), [(None, True), ("auto", True), ("disabled", False)])
def test_truncation(given: str | None, cut: bool) -> None:
    assert generation(truncation=given).truncate is cut


def test_keep_alive_is_read_as_elsewhere() -> None:
    assert generation(keep_alive="2m").keep_alive == 120.0


SENSELESS: list[tuple[dict[str, Any], str]] = [
    ({"background": True}, "'background' is not supported: replies are not made in the background"),
    ({"conversation": "conv_1"}, "'conversation' is not supported: there are no conversation"),
    ({"conversation": {"id": "conv_1"}}, "'conversation' is not supported: "),
    ({"prompt": {"id": "p"}}, "'prompt' is not supported: there are no stored prompts"),
    ({"moderation": {"model": "x"}}, "'moderation' is not supported: "),
    ({"max_output_tokens": 0}, "'max_output_tokens' must be at least 1"),
    ({"top_logprobs": 21}, "top_logprobs must be between 0 and 20"),
    ({"stop": 5}, "invalid type for 'stop' field"),
    ({"stop": ["a", 5]}, "invalid type for 'stop' field"),
    ({"truncation": "x"}, "invalid 'truncation': 'x' (must be 'auto', 'disabled')"),
    ({"service_tier": "x"}, "invalid 'service_tier': 'x' (must be 'auto', "),
    ({"include": ["x"]}, "invalid 'include': 'x'"),
    (
        {"stream_options": {"include_obfuscation": True}},
        "'stream_options.include_obfuscation' is not supported",
    ),
    ({"metadata": {"a": 1}}, "'metadata.a' must be a string"),
    ({"metadata": {"a" * 65: ""}}, "a name in 'metadata' has at most 64 characters"),
    ({"metadata": {"a": "b" * 513}}, "a name in 'metadata' has at most 64 characters"),
    ({"metadata": {str(n): "" for n in range(17)}}, "'metadata' has more than 16 members"),
    ({"reasoning": {"effort": "much"}}, 'invalid reasoning value: "much"'),
    ({"reasoning": {"summary": "x"}}, "invalid 'reasoning.summary': 'x'"),
    ({"reasoning": {"generate_summary": "x"}}, "invalid 'reasoning.generate_summary': 'x'"),
    ({"reasoning": {"context": "all_turns"}}, "invalid 'reasoning.context': 'all_turns'"),
    ({"reasoning": {"mode": "pro"}}, "invalid 'reasoning.mode': 'pro' (must be 'standard')"),
    ({"text": {"verbosity": "x"}}, "invalid 'text.verbosity': 'x'"),
    ({"text": {"format": {"type": "xml"}}}, "invalid 'text.format': 'xml'"),
    ({"text": {"format": "json"}}, "invalid 'text.format': 'json'"),
    ({"text": {"format": {"type": "json_schema"}}}, "'text.format.schema' must be an object"),
    ({"tools": [ADD, {"type": "file_search"}]}, "tools[1]: tools of type 'file_search' are not"),
    (
        {"input": [{"type": "additional_tools", "id": "at_1", "tools": [ADD, {"type": "mcp"}]}]},
        "input item at_1: tools[1]: tools of type 'mcp' are not supported",
    ),
    ({"tools": [None]}, "tools[0]: tools of type None are not supported"),
    ({"tools": [{"type": "function"}]}, "tools[0]: a function must have a name"),
    ({"tools": [{**ADD, "parameters": []}]}, "tools[0]: the parameters of 'add' must be an object"),
    ({"tools": [{**ADD, "description": 5}]}, "tools[0]: the description of 'add' must be a string"),
    ({"tool_choice": "sometimes"}, "invalid 'tool_choice': 'sometimes'"),
    ({"tool_choice": "required"}, "'tool_choice' is 'required', but there are no tools"),
    ({"tool_choice": {"type": "mcp"}}, "invalid 'tool_choice': 'mcp' is not a kind"),
    ({"tool_choice": 5}, "invalid 'tool_choice': None is not a kind"),
    (
        {"tools": [ADD], "tool_choice": {"type": "function", "name": "mul"}},
        "'tool_choice' names 'mul', which is not among the tools",
    ),
    (
        {"tools": [ADD], "tool_choice": {"type": "allowed_tools", "mode": "x", "tools": [ADD]}},
        "'tool_choice' of type 'allowed_tools' needs a mode and tools",
    ),
    (
        {"tools": [ADD], "tool_choice": {"type": "allowed_tools", "tools": []}},
        "'tool_choice' of type 'allowed_tools' needs a mode and tools",
    ),
    (
        {"tools": [ADD], "tool_choice": {"type": "allowed_tools", "tools": ["add"]}},
        "'tool_choice' names None, which is not among the tools",
    ),
]


@pytest.mark.parametrize(("fields", "message"), SENSELESS)
def test_what_means_nothing_is_refused_by_name(fields: dict[str, Any], message: str) -> None:
    assert refusal(**fields).startswith(message)


@pytest.mark.parametrize(
    "name", [name for name, field in RESPONSES.fields.items() if field.refused]
)
def test_what_is_refused_may_be_null(name: str) -> None:
    assert generation(**{name: None}).messages == [{"role": "user", "content": "hi"}]


def test_false_is_not_the_background() -> None:
    assert generation(background=False, stream_options={"include_obfuscation": False}).truncate


def test_a_frame_repeats_the_request() -> None:
    given: dict[str, Any] = {
        "instructions": "Be brief.",
        "previous_response_id": "resp_0",
        "tool_choice": "none",
        "truncation": "auto",
        "parallel_tool_calls": False,
        "top_p": 0.3,
        "temperature": 0.1,
        "presence_penalty": 1,
        "frequency_penalty": 2,
        "top_logprobs": 3,
        "reasoning": {"effort": "none", "summary": "auto"},
        "max_output_tokens": 9,
        "max_tool_calls": 5,
        "metadata": {"a": "b"},
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "user": "u",
    }
    frame = response_frame(read(**given, store=True, service_tier="flex"), "resp_1", 99)
    assert {name: frame[name] for name in given} == given
    assert (frame["id"], frame["created_at"], frame["model"]) == ("resp_1", 99, "m")
    assert (frame["store"], frame["service_tier"], frame["background"]) == (False, "default", False)


def test_a_frame_of_nothing_is_ollamas() -> None:
    assert response_frame(read(), "resp_1", 99) == {
        "id": "resp_1",
        "object": "response",
        "created_at": 99,
        "completed_at": None,
        "status": "in_progress",
        "incomplete_details": None,
        "model": "m",
        "previous_response_id": None,
        "instructions": None,
        "output": [],
        "error": None,
        "tools": [],
        "tool_choice": "auto",
        "truncation": "disabled",
        "parallel_tool_calls": True,
        "text": {"format": {"type": "text"}},
        "top_p": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "top_logprobs": 0,
        "temperature": 1,
        "reasoning": None,
        "usage": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "store": False,
        "background": False,
        "service_tier": "default",
        "metadata": {},
        "safety_identifier": None,
        "prompt_cache_key": None,
    }


def test_tools_that_are_there_and_formats_are_repeated() -> None:
    frame = response_frame(
        read(tools=[SUB, {"type": "web_search"}], text={"verbosity": "low", "format": None}),
        "resp_1",
        99,
    )
    assert frame["tools"] == [{**SUB, "description": None, "strict": None, "parameters": None}]
    assert frame["text"] == {"format": {"type": "text"}, "verbosity": "low"}


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({}, {}),
        ({"reasoning": {"summary": "auto"}}, {"summary_events": True}),
        ({"reasoning": {"generate_summary": "auto"}}, {"summary_events": True}),
        ({"prompt_cache_key": "k"}, {"cache_reported": True}),
        ({"previous_response_id": "resp_0"}, {"cache_reported": True}),
        ({"top_logprobs": 2}, {"alternatives": 2}),
    ],
)
def test_what_shows_in_the_reply(fields: dict[str, Any], options: dict[str, Any]) -> None:
    assert reply_options(read(**fields), {}) == ResponseReplyOptions(**options)
