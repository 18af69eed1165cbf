"""The engine's events as the growth of a reply."""

import json
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.llama.events import (
    ChatEventReader,
    CompletionEventReader,
    Delta,
    End,
    EventReader,
    ToolCallDelta,
    Usage,
)
from gateway.llama.sse import LineSplitter, parse_event
from gateway.templates.reasoning import ReasoningParser
from gateway.templates.tool_calls import CallParser
from tests.fakes import recorded
from tests.fakes.recorded import CUTS, pieces

TOOLS = [{"type": "function", "function": {"name": name}} for name in ("add", "sub")]
ADD = '{"name": "add", "arguments": {"a": 1}}'
SUB = '{"name": "sub", "arguments": {}}'


def events(data: bytes, cuts: list[int] | None = None) -> list[dict[str, Any]]:
    lines = LineSplitter()
    result = (parse_event(line) for piece in pieces(data, cuts or []) for line in lines.feed(piece))
    return [each for each in result if each is not None]


def grown(reader: EventReader, written: list[dict[str, Any]]) -> list[Delta]:
    """All that the reply grows by, what was held back at the end included."""
    deltas = [*(reader.feed(each) for each in written), reader.flush()]
    return [delta for delta in deltas if delta is not None]


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def thinking_of(deltas: list[Delta]) -> str:
    return "".join(delta.thinking for delta in deltas)


def calls_of(deltas: list[Delta]) -> list[ToolCallDelta]:
    return [piece for delta in deltas for piece in delta.calls]


# ---- chat completions


def test_a_chat_grows_by_the_engines_tokens_alone() -> None:
    reader = ChatEventReader()
    deltas = grown(reader, events(recorded.PLAIN))
    assert deltas == [Delta("Hi "), Delta("you\u2028"), Delta("<b>&"), Delta("é.")]
    assert reader.end == End("stop")
    assert reader.usage == Usage(20, 0, 2.155 / 1e3, 5, 0.685 / 1e3)


def test_progress_says_nothing() -> None:
    reader = ChatEventReader()
    mark = {"total": 20, "cache": 7, "processed": 9, "time_ms": 2}
    assert reader.feed({"choices": [{"delta": {}}], "prompt_progress": mark}) is None
    assert (reader.usage, reader.end) == (Usage(), None)


def test_timings_after_the_end_count_and_say_nothing() -> None:
    reader = ChatEventReader()
    *written, last = events(recorded.WITH_USAGE)
    assert last["choices"] == []
    for each in written:
        reader.feed(each)
    assert reader.feed(last) is None
    assert (
        reader.usage.prompt_tokens,
        reader.usage.cached_tokens,
        reader.usage.completion_tokens,
    ) == (
        20,
        19,
        5,
    )


def test_a_chats_thinking_is_apart_from_its_text() -> None:
    deltas = grown(ChatEventReader(), events(recorded.THOUGHT))
    assert [(delta.thinking, delta.text) for delta in deltas] == [
        ("hm ", ""),
        ("o.k.", ""),
        ("\n", ""),
        ("", "Done"),
        ("", " now."),
    ]


def test_a_chats_calls_come_in_pieces() -> None:
    reader = ChatEventReader()
    deltas = grown(reader, events(recorded.CALLED))
    assert calls_of(deltas) == [
        ToolCallDelta(0, recorded.ONE_ID, "add", "{"),
        ToolCallDelta(0, arguments='"a": 1'),
        ToolCallDelta(0, arguments=', "b": "<"}'),
        ToolCallDelta(1, recorded.TWO_ID, "sub", "{"),
        ToolCallDelta(1, arguments="}"),
    ]
    assert (thinking_of(deltas), text_of(deltas)) == ("hm ", "Let me. ")
    assert reader.end == End("tool_calls")


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (recorded.CALL_CUT, End("length")),
        (recorded.STOPPED, End("stop")),
        (recorded.SCORED, End("length")),
    ],
)
def test_how_a_chat_ends(data: bytes, end: End) -> None:
    reader = ChatEventReader()
    grown(reader, events(data))
    assert reader.end == end


def test_a_chat_that_was_cut_short_has_no_end() -> None:
    reader = ChatEventReader()
    assert grown(reader, events(recorded.KILLED)) == [Delta("Hi ")]
    assert reader.end is None


def test_a_chats_tokens_have_their_log_probabilities() -> None:
    first, second = grown(ChatEventReader(), events(recorded.SCORED))
    (entry,) = first.logprobs
    assert (first.text, entry["token"], entry["bytes"]) == ("Hi ", "Hi ", [72, 105, 32])
    assert [other["token"] for other in entry["top_logprobs"]] == ["Hi ", ""]
    assert [entry["token"] for entry in second.logprobs] == ["you\u2028"]


# ---- completions


def completion(*written: str, kind: str = "eos", word: str = "") -> list[dict[str, Any]]:
    """Events of /completion that say so."""
    end = {"content": "", "stop": True, "stop_type": kind, "stopping_word": word, "timings": {}}
    return [*({"content": text, "stop": False} for text in written), end]


def telling(**more: Any) -> CompletionEventReader:
    """A reader that tells thinking and calls from text."""
    numbers = count(1)
    return CompletionEventReader(
        ReasoningParser("<think>", "</think>"),
        CallParser("<tool_call>", TOOLS),
        lambda: f"call_{next(numbers)}",
        **more,
    )


def test_a_completion_grows_by_tokens() -> None:
    reader = CompletionEventReader()
    deltas = grown(reader, events(recorded.RAW))
    assert [delta.text for delta in deltas] == ["Hi ", "you\u2028", "<b>&", "é."]
    assert reader.pieces == ["Hi ", "you\u2028", "<b>&", "é."]
    assert reader.end == End("stop")
    assert reader.usage == Usage(4, 1, 0.592 / 1e3, 5, 0.585 / 1e3)


def test_a_completions_progress_says_nothing() -> None:
    reader = CompletionEventReader()
    (mark,) = events(recorded.RAW_PROGRESS)
    assert reader.feed(mark) is None
    assert (reader.usage, reader.prompt_tokens) == (Usage(), 4)


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (recorded.RAW_LIMITED, End("length")),
        (recorded.RAW_STOPPED, End("stop", "<b>&")),
        (recorded.RAW_SCORED, End("length")),
        (recorded.RAW_FAILED.partition(b'data: {"error"')[0], None),
    ],
)
def test_how_a_completion_ends(data: bytes, end: End | None) -> None:
    reader = CompletionEventReader()
    grown(reader, events(data))
    assert reader.end == end


def test_the_stop_word_that_ended_a_completion_is_known() -> None:
    reader = CompletionEventReader()
    grown(reader, completion("Hi", kind="word", word="###"))
    assert reader.end == End("stop", "###")


def test_an_end_that_only_counts_is_no_growth() -> None:
    (last,) = completion()
    assert telling().feed(last) is None


def test_a_completions_tokens_have_their_log_probabilities() -> None:
    (delta,) = grown(CompletionEventReader(), events(recorded.RAW_SCORED))
    (entry,) = delta.logprobs
    assert (delta.text, entry["token"], len(entry["top_logprobs"])) == ("Hi ", "Hi ", 2)


def test_thinking_and_calls_are_told_from_text() -> None:
    reader = telling()
    written = ("<think>", "hm", "</think>\n", "So: ", f"<tool_call>{ADD}", f"{SUB}</tool_call>")
    deltas = grown(reader, completion(*written))
    assert (thinking_of(deltas), text_of(deltas)) == ("hm", "So: ")
    assert calls_of(deltas) == [
        ToolCallDelta(0, "call_1", "add", '{"a":1}', whole=True),
        ToolCallDelta(1, "call_2", "sub", "{}", whole=True),
    ]
    assert "".join(reader.pieces) == "".join(written)
    assert reader.end == End("tool_calls")


def test_a_limit_outweighs_calls() -> None:
    reader = telling()
    assert len(calls_of(grown(reader, completion(f"<tool_call>{ADD}", kind="limit")))) == 1
    assert reader.end == End("length")


def test_a_call_that_is_found_after_the_end_is_its_reason() -> None:
    class Late:
        """Gives its call when nothing more comes."""

        def feed(self, text: str) -> tuple[str, list[Any]]:
            return "", []

        def flush(self) -> tuple[str, list[Any]]:
            return "", list(CallParser("{", TOOLS).feed(ADD)[1])

    reader = CompletionEventReader(None, Late(), lambda: "call_x")
    *_, last = grown(reader, completion(ADD))
    assert last.calls == [ToolCallDelta(0, "call_x", "add", '{"a":1}', whole=True)]
    assert reader.end == End("tool_calls")


def test_a_piece_that_is_kept_back_says_so() -> None:
    reader = telling()
    first, second, _ = completion("<thi", "ng>")
    assert reader.feed(first) == Delta(held=True)
    then = reader.feed(second)
    assert then is not None
    assert (then.text, then.held) == ("<thing>", True)


def test_what_was_kept_back_is_said_in_the_end() -> None:
    assert text_of(grown(telling(), completion("So: ", "<tool"))) == "So: <tool"
    assert text_of(grown(telling(), completion("<thi"))) == "<thi"
    deltas = grown(telling(), completion("<think>hm </thi"))
    assert (thinking_of(deltas), text_of(deltas)) == ("hm </thi", "")


def test_with_quiet_thinking_is_left_out_and_read_all_the_same() -> None:
    reader = telling(quiet=True)
    deltas = grown(reader, completion("<think>", "hm", "</think>", "So."))
    assert (thinking_of(deltas), text_of(deltas)) == ("", "So.")
    assert "".join(reader.pieces) == "<think>hm</think>So."
    unfinished = grown(telling(quiet=True), completion("<think>hm</thi"))
    assert thinking_of(unfinished) == ""


@pytest.mark.parametrize(
    ("written", "before"),
    [
        (("<think>", "hm", "</think>", "\n\n", "So", " it is"), "<think>hm</think>\n\n"),
        (("<think>hm</think>\n\nSo",), "<think>hm</think>\n\n"),
        (
            (
                "<thi",
                "ng> So",
            ),
            "",
        ),
        (("So",), ""),
    ],
)
def test_with_restart_nothing_is_said_from_the_first_text_on(
    written: tuple[str, ...], before: str
) -> None:
    reader = telling(stop_at_text=True)
    deltas = []
    for each in completion(*written):
        deltas.append(reader.feed(each) or Delta())
        if reader.restart_needed:
            break
    assert reader.restart_needed
    assert text_of(deltas) == ""
    assert "".join(reader.pieces) == before


def test_with_restart_text_that_was_kept_back_to_the_end_counts_too() -> None:
    reader = telling(stop_at_text=True)
    assert grown(reader, completion("<thi"))[-1].text == ""
    assert reader.restart_needed
    assert "".join(reader.pieces) == ""


def test_tokens_of_earlier_calls_are_no_part_of_the_prompt() -> None:
    first = CompletionEventReader()
    first.feed(events(recorded.RAW)[0])
    reader = CompletionEventReader(spent=2, prompt_tokens=first.prompt_tokens - 1)
    grown(reader, events(recorded.RAW))
    assert (reader.usage.prompt_tokens, reader.usage.completion_tokens, reader.spent) == (
        3,
        5 + 2,
        2 + 4,
    )
    timings = {"cache_n": 7, "prompt_n": 1}
    reader.feed({"stop": True, "timings": timings})
    assert (reader.usage.prompt_tokens, reader.usage.cached_tokens) == (3, 3)


def test_thinking_alone_needs_no_restart() -> None:
    reader = telling(stop_at_text=True)
    assert thinking_of(grown(reader, completion("<think>hm</think>"))) == "hm"
    assert not reader.restart_needed


def test_a_reply_without_the_call_that_must_come_needs_another() -> None:
    reader = telling(must_call=True)
    assert text_of(grown(reader, completion("I will not."))) == "I will not."
    assert reader.restart_needed
    called = telling(must_call=True)
    assert len(calls_of(grown(called, completion(f"<tool_call>{ADD}")))) == 1
    assert not called.restart_needed


# ---- pieces


def merged(deltas: list[Delta]) -> tuple[str, str, list[ToolCallDelta], list[Any]]:
    logprobs = [entry for delta in deltas for entry in delta.logprobs]
    return text_of(deltas), thinking_of(deltas), calls_of(deltas), logprobs


@given(st.sampled_from(recorded.CHATS), CUTS)
def test_a_chat_reads_the_same_however_its_bytes_come(data: bytes, cuts: list[int]) -> None:
    one, other = ChatEventReader(), ChatEventReader()
    assert grown(one, events(data, cuts)) == grown(other, events(data))
    assert (one.usage, one.end) == (other.usage, other.end)


@given(st.sampled_from(recorded.RAWS), CUTS)
def test_a_completion_reads_the_same_however_its_bytes_come(data: bytes, cuts: list[int]) -> None:
    one, other = CompletionEventReader(), CompletionEventReader()
    assert grown(one, events(data, cuts)) == grown(other, events(data))
    assert (one.usage, one.end) == (other.usage, other.end)


OUTPUTS = (
    f"<think>\nhm\n</think>\n\nSo: <tool_call>\n{ADD}\n</tool_call><tool_call>{SUB}</tool_call>",
    "<think>a</think>b<think>c</think>",
    "<thing> <tool_cal",
)


@given(
    st.sampled_from(OUTPUTS),
    st.lists(st.integers(1, 9), max_size=60),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_the_models_own_pieces_do_not_matter(
    output: str, lengths: list[int], quiet: bool, stop_at_text: bool, must_call: bool
) -> None:
    wishes = {"quiet": quiet, "stop_at_text": stop_at_text, "must_call": must_call}
    one, other = telling(**wishes), telling(**wishes)
    written, rest = [], output
    for length in lengths:
        written.append(rest[:length])
        rest = rest[length:]
    assert merged(grown(one, completion(*filter(None, [*written, rest])))) == merged(
        grown(other, completion(output))
    )
    assert (one.restart_needed, one.end) == (other.restart_needed, other.end)
    if stop_at_text and one.restart_needed:
        return  # each has read on, as a translation would not
    assert "".join(one.pieces) == "".join(other.pieces) == output


def test_arguments_are_json_text_whatever_the_model_wrote() -> None:
    spaced = '<tool_call>{"name":"add","arguments":{"a" :\n[1,2], "é": "\\u00e9"}}'
    (piece,) = calls_of(grown(telling(), completion(spaced)))
    assert json.loads(piece.arguments) == {"a": [1, 2], "é": "é"}
    assert piece.arguments == '{"a":[1,2],"é":"é"}'


def test_the_stop_text_is_told_to_those_who_ask_for_it() -> None:
    reader = ChatEventReader()
    reader.feed({"choices": [{"delta": {"content": "a"}}], "__verbose": {"stopping_word": "STOP"}})
    reader.feed({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    assert reader.end == End("stop", "STOP")


def test_text_that_came_with_the_progress_stands_before_the_first() -> None:
    reader = ChatEventReader()
    progress = {"total": 5, "cache": 1}
    early = {"choices": [{"delta": {"content": "\n\n"}}], "prompt_progress": progress}
    assert reader.feed(early) is None
    assert reader.feed({"choices": [{"delta": {"role": "assistant", "content": None}}]}) is None
    assert reader.feed({"choices": [{"delta": {"content": "It"}}]}) == Delta("\n\nIt")
    assert reader.feed({"choices": [{"delta": {"content": " is"}}]}) == Delta(" is")
