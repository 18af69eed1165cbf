"""Tool calls separated from text."""

import json
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.templates.tool_calls import CallParser, ParsedCall

TOOLS = [{"type": "function", "function": {"name": name}} for name in ("get", "get_weather", "now")]
TAGS = ["<tool_call>", "{", "[", "[TOOL_CALLS] ["]
FRAGMENTS = [
    *TAGS,
    '{"name": "get_weather", "arguments": {"city": "}\\"{"}}',
    '{"name": "now"}',
    '"now"',
    '{"parameters": "{\\"a\\": 1}", "name": "get"}',
    *("get_wea", "ther", "{", "}", "]", ",", '"', "\\", " ", "\n", "a", "</tool_call>"),
]


def read(tag: str, pieces: list[str]) -> tuple[str, list[ParsedCall]]:
    parser = CallParser(tag, TOOLS)
    both = [parser.feed(piece) for piece in pieces] + [parser.flush()]
    return "".join(text for text, _ in both), [call for _, calls in both for call in calls]


def weather(city: str = "Paris") -> ParsedCall:
    return ParsedCall("get_weather", {"city": city})


CALL = '{"name": "get_weather", "arguments": {"city": "Paris"}}'


@pytest.mark.parametrize(
    ("output", "text", "calls"),
    [
        (f"<tool_call>\n{CALL}\n</tool_call>", "", [weather()]),
        (f"So: <tool_call>{CALL}</tool_call> done", "So: ", [weather()]),
        (f"<tool_call>{CALL}</tool_call><tool_call>{CALL}</tool_call>", "", [weather()] * 2),
        ('<tool_call>get_weather{"city": "Paris"}', "", [weather()]),
        ('<tool_call>get_weather {no json} {"city": "Paris"}', "", [weather()]),
        ('<tool_call>now {"name": "get", "arguments": {}}', "", [ParsedCall("get", {})]),
        ("no call <tool", "no call <tool", []),
        ("no call <tools>", "no call <tools>", []),
    ],
)
def test_a_tag_begins_calls(output: str, text: str, calls: list[ParsedCall]) -> None:
    assert read("<tool_call>", [output]) == (text, calls)


@pytest.mark.parametrize(
    ("value", "arguments"),
    [
        ({"name": "get", "arguments": {"a": 1}}, {"a": 1}),
        ({"name": "get", "parameters": {"a": 1}}, {"a": 1}),
        ({"name": "get", "arguments": '{"a": 1}'}, {"a": 1}),
        ({"tool_name": "get", "parameters": {"a": 1}}, {"a": 1}),
        ({"type": "function", "function": {"name": "get", "arguments": {"a": 1}}}, {"a": 1}),
        ({"calls": [{"name": "get", "arguments": {"a": 1}}]}, {"a": 1}),
        ({"get": {"a": 1}}, {"a": 1}),
        ({"get": '{"a": 1}'}, {"a": 1}),
        ({"tool": "get", "a": 1}, {"tool": "get", "a": 1}),
        ({"name": "my get", "arguments": {}}, {}),
    ],
)
def test_arguments_are_looked_for_where_models_put_them(
    value: dict[str, Any], arguments: dict[str, Any]
) -> None:
    assert read("{", [json.dumps(value)]) == ("", [ParsedCall("get", arguments)])


def test_a_name_can_be_an_argument() -> None:
    assert read("<tool_call>", ['<tool_call>now{"name": "Ada"}']) == (
        "",
        [ParsedCall("now", {"name": "Ada"})],
    )


@pytest.mark.parametrize(
    "value",
    [
        {"name": "now"},
        {"name": "now", "arguments": None},
        {"name": "now", "arguments": [1]},
        {"name": "now", "parameters": "text"},
        {"name": "then", "arguments": {}},
    ],
)
def test_no_object_with_arguments_or_no_known_name_is_no_call(value: dict[str, Any]) -> None:
    output = json.dumps(value)
    assert read("{", [output]) == (output, [])
    assert read("<tool_call>", [f"<tool_call>{output}</tool_call>"]) == ("", [])
    follows = f"<tool_call>{output}{CALL}"
    assert read("<tool_call>", [follows]) == ("", [weather()])


@pytest.mark.parametrize(
    ("tag", "output", "text", "calls"),
    [
        ("{", CALL, "", [weather()]),
        ("{", f" \n{CALL} done", " \n done", [weather()]),
        ("{", f"Well: {CALL}", f"Well: {CALL}", []),
        ("{", '{"answer": "}"} is it', '{"answer": "}"} is it', []),
        ("{", '{"name": "get_weather", ', '{"name": "get_weather", ', []),
        ("[", f"[{CALL}, {CALL}] done", " done", [weather()] * 2),
        ("[", f'["]", {CALL}] done', " done", [weather()]),
        ("[", "[1] first", "[1] first", []),
        ("[", f"See [1]. {CALL}", f"See [1]. {CALL}", []),
        ("[", f"[{CALL}, ", "", [weather()]),
        ("[TOOL_CALLS] [", f"[TOOL_CALLS] [{CALL}, {CALL}]", "", [weather()] * 2),
    ],
)
def test_a_mere_bracket_begins_calls_only_where_a_reply_begins(
    tag: str, output: str, text: str, calls: list[ParsedCall]
) -> None:
    assert read(tag, [output]) == (text, calls)


@pytest.mark.parametrize(
    "output", ["<tool_call>", "<tool_call> I do not know", '<tool_call>\n{"name": "get_wea']
)
def test_what_never_became_a_call_is_given_as_it_stands(output: str) -> None:
    assert read("<tool_call>", [output]) == (output, [])


def test_the_longest_of_names_that_begin_alike_is_meant() -> None:
    assert read("<t>", ['<t>get_weather {"a": 1} get {"b": 2}'])[1] == [
        ParsedCall("get_weather", {"a": 1}),
        ParsedCall("get", {"b": 2}),
    ]


def test_a_call_is_given_as_soon_as_it_ends() -> None:
    parser = CallParser("<tool_call>", TOOLS)
    assert parser.feed("Let me <") == ("Let me ", [])
    assert parser.feed("see <tool_call") == ("<see ", [])
    assert parser.feed('>{"name": "now", "argum') == ("", [])
    assert parser.feed('ents": {}}') == ("", [ParsedCall("now", {})])
    assert parser.feed("</tool_call>") == ("", [])
    assert parser.flush() == ("", [])


def test_text_and_a_call_in_one_piece_are_both_kept() -> None:
    parser = CallParser("<tool_call>", TOOLS)
    assert parser.feed(f"Let me see <tool_call>{CALL}") == ("Let me see ", [weather()])


@pytest.mark.parametrize("number", ["1e400", "NaN", "9" * 400])
def test_arguments_can_be_written_as_json_again(number: str) -> None:
    """Or else they are no arguments."""
    _, calls = read("<t>", [f'<t>{{"name": "now", "arguments": {{"n": {number}}}}}'])
    assert [json.loads(json.dumps(call.arguments, allow_nan=False)) for call in calls] == []


def test_deep_nesting_is_no_call() -> None:
    output = '{"now": ' * 5000 + "}" * 5000
    assert read("{", [output]) == (output, [])


@given(st.sampled_from(TAGS), st.lists(st.sampled_from(FRAGMENTS), max_size=10), st.data())
def test_pieces_do_not_matter(tag: str, fragments: list[str], data: st.DataObject) -> None:
    output = "".join(fragments)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(output)), max_size=8)))
    pieces = [output[a:b] for a, b in zip([0, *cuts], [*cuts, len(output)], strict=True)]
    assert read(tag, pieces) == read(tag, [output])
    assert read(tag, list(output)) == read(tag, [output])


@given(st.text(max_size=40))
def test_text_without_a_call_stays_as_it_is(output: str) -> None:
    assert read("<tool_call>", list(output)) == (output, [])


def test_long_arguments_take_steps_in_proportion() -> None:
    def steps(count: int) -> int:
        """Functions that are called, those of the library included."""
        taken = 0

        def step(frame: FrameType, event: str, argument: Any) -> None:
            nonlocal taken
            taken += event in ("call", "c_call")

        pieces = ["<tool_call>", '{"name": "now", "arguments": {"text": "', *["word "] * count]
        before = sys.getprofile()
        sys.setprofile(step)
        try:
            _, calls = read("<tool_call>", [*pieces, '"}}'])
        finally:
            sys.setprofile(before)
        assert len(calls[0].arguments["text"]) == 5 * count
        return taken

    assert steps(8000) < 8 * steps(1000)
