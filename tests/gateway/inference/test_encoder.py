"""The engine's bytes become a writer's: beginnings, ends, errors, restarts."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.encoder import ComputedReply, ReplyEncoder
from gateway.llama.errors import EngineError
from gateway.llama.events import ChatEventReader, CompletionEventReader, Delta, End, Usage
from gateway.llama.sse import RestartNeeded
from gateway.templates.reasoning import ReasoningParser
from tests.fakes import recorded
from tests.fakes.recorded import CUTS, failing, heard

CUT_SHORT = "an error was encountered while running the model: unexpected EOF"


class Notes:
    """A writer that notes what it is told."""

    media_type = "text/notes"

    def assigned(self) -> None:
        self.had_runner = True

    def begin(self) -> bytes:
        return b"()"

    def write(self, delta: Delta) -> bytes:
        thinking = f"?{delta.thinking}?" if delta.thinking else ""
        calls = "".join(f"[{piece.index}{piece.name}{piece.arguments}]" for piece in delta.calls)
        return f"{thinking}{delta.text}{calls}|".encode()

    def end(self, end: End, usage: Usage) -> bytes:
        return f"<{end.reason} {usage.completion_tokens}>".encode()

    def failure(self, message: str, status: int) -> bytes:
        return f"!{status} {message}!".encode()


def encoding_text(reader: CompletionEventReader | None = None) -> ReplyEncoder:
    encoder = ReplyEncoder(Notes())
    encoder.start(reader or CompletionEventReader())
    return encoder


def chatting(*, single_call: bool = False) -> ReplyEncoder:
    encoder = ReplyEncoder(Notes(), single_call=single_call)
    encoder.start(ChatEventReader())
    return encoder


def restarting() -> ReplyEncoder:
    """One that reads nothing but thinking before another call."""
    return encoding_text(
        CompletionEventReader(ReasoningParser("<think>", "</think>"), stop_at_text=True)
    )


def written(*texts: str) -> bytes:
    return b"".join(recorded.raw(text, 9, 1) for text in texts)


def calling(text: str, *calls: tuple[int, str, str]) -> bytes:
    """An event of a chat completion with pieces of calls: index, name, arguments."""
    pieces = [
        {"index": index, "function": {"name": name, "arguments": arguments}}
        for index, name, arguments in calls
    ]
    delta = {"content": text, "tool_calls": pieces}
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


@pytest.mark.parametrize(
    ("single", "reported"),
    [
        (False, [b"()[0add{][1sub{}]|", b"[0}]|", b"a[2mul{}]|", b"[2]]|"]),
        (True, [b"()[0add{]|", b"[0}]|", b"a|", b""]),
    ],
)
def test_further_calls_are_left_out_of_a_reply_that_may_have_one(
    single: bool, reported: list[bytes]
) -> None:
    encoder = chatting(single_call=single)
    fed = [
        encoder.feed(calling("", (0, "add", "{"), (1, "sub", "{}"))),
        encoder.feed(calling("", (0, "", "}"))),
        encoder.feed(calling("a", (2, "mul", "{}"))),
        encoder.feed(calling("", (2, "", "]"))),
    ]
    assert fed == reported


def test_a_beginning_tokens_and_an_end() -> None:
    assert heard(chatting(), recorded.PLAIN, []) == "()Hi |you\u2028|<b>&|é.|<stop 5>"
    assert heard(encoding_text(), recorded.RAW_LIMITED, []) == "()Hi |you\u2028|<length 5>"


def test_a_reply_without_a_token_begins_and_ends() -> None:
    assert heard(chatting(), recorded.STOPPED, []) == "()<stop 1>"


def test_what_is_only_held_back_is_begun_and_said_in_the_end() -> None:
    encoder = encoding_text(CompletionEventReader(ReasoningParser("<think>", "</think>")))
    end = recorded.raw_end("eos", recorded.RAW_TIMINGS)
    assert heard(encoder, written("<thi") + end, []) == "()|<thi|<stop 5>"


@given(st.sampled_from([*recorded.CHATS, *recorded.RAWS]), CUTS)
def test_the_pieces_do_not_matter(data: bytes, cuts: list[int]) -> None:
    begin = chatting if data in recorded.CHATS else encoding_text
    whole = heard(begin(), data, [])
    assert heard(begin(), data, cuts) == whole
    assert whole.count("(") == 1


def test_a_token_is_said_as_soon_as_its_line_is_complete() -> None:
    encoder = encoding_text()
    first, second, *_ = recorded.RAW_SAID
    assert encoder.feed(recorded.RAW_PROGRESS + first[:-2]) == b""
    assert encoder.feed(first[-2:] + second[:-2]) == b"()Hi |"
    assert encoder.feed(second[-2:]) == "you\u2028|".encode()


def test_the_usage_is_empty_before_the_first_call() -> None:
    encoder = ReplyEncoder(Notes())
    assert encoder.usage == Usage()
    reader = CompletionEventReader()
    encoder.start(reader)
    encoder.feed(recorded.RAW_LIMITED)
    assert encoder.usage == reader.usage != Usage()


def test_the_writer_learns_of_its_runner_and_names_the_media_type() -> None:
    notes = Notes()
    encoder = ReplyEncoder(notes)
    encoder.assigned()
    assert notes.had_runner
    assert encoder.media_type == "text/notes"
    assert encoder.failure("Oh.", 503) == b"!503 Oh.!"


# ---- errors


@given(CUTS)
def test_an_error_within_a_stream_comes_after_what_was_said(cuts: list[int]) -> None:
    out, error = failing(encoding_text(), recorded.RAW_FAILED, cuts)
    assert (out, error.message, error.status) == ("()Hi |", "Compute error.", 500)


def test_an_error_alone_is_raised_at_once() -> None:
    encoder = encoding_text()
    with pytest.raises(EngineError, match=r"Compute error\."):
        encoder.feed(recorded.RAW_PROGRESS + recorded.event(recorded.FAILURE))


def test_an_error_in_the_piece_of_the_last_token_is_raised_by_flush() -> None:
    encoder = encoding_text()
    assert encoder.feed(recorded.RAW_FAILED) == b"()Hi |"
    with pytest.raises(EngineError, match=r"Compute error\."):
        encoder.flush()


@given(CUTS)
def test_a_stream_that_stops_without_an_end_was_cut_short(cuts: list[int]) -> None:
    out, error = failing(chatting(), recorded.KILLED, cuts)
    assert (out, error.message, error.status) == ("()Hi |", CUT_SHORT, 500)


# ---- restarts


def test_a_restart_has_what_was_said_before_it() -> None:
    data = recorded.RAW_PROGRESS + written("<think>", "hm ", "o.k.", "</think>", "So", " it")
    with pytest.raises(RestartNeeded) as caught:
        restarting().feed(data)
    assert caught.value.output == b"()|?hm ?|?o.k.?|||"


@given(CUTS)
def test_all_that_is_said_up_to_a_restart_is_the_same_whatever_the_pieces(cuts: list[int]) -> None:
    data = recorded.RAW_PROGRESS + written("<think>hm", " o.k.</think>", "So", " it")
    encoder, out = restarting(), b""
    with pytest.raises(RestartNeeded) as caught:
        for piece in recorded.pieces(data, cuts):
            out += encoder.feed(piece)
    assert out + caught.value.output == b"()?hm?|? o.k.?||"


def test_a_restart_in_the_end_has_what_was_held_back() -> None:
    encoder = encoding_text(CompletionEventReader(must_call=True))
    assert encoder.feed(written("No.") + recorded.raw_end("eos", recorded.RAW_TIMINGS)) == (
        b"()No.|"
    )
    with pytest.raises(RestartNeeded) as caught:
        encoder.flush()
    assert caught.value.output == b""


def test_another_reader_goes_on_without_another_beginning() -> None:
    encoder = restarting()
    with pytest.raises(RestartNeeded):
        encoder.feed(recorded.RAW_PROGRESS + written("<think>hm</think>", "So"))
    encoder.start(CompletionEventReader())
    rest = written("{}") + recorded.raw_end("eos", recorded.RAW_TIMINGS)
    assert heard(encoder, rest, []) == "{}|<stop 5>"


def test_another_reader_forgets_half_a_line_and_an_error_of_the_call_before() -> None:
    encoder = encoding_text()
    (first, second, *_) = recorded.RAW_SAID
    assert encoder.feed(first + second[:30]) == b"()Hi |"
    encoder.start(CompletionEventReader())
    assert encoder.feed(second) == "you\u2028|".encode()
    assert encoder.feed(first + recorded.event(recorded.FAILURE)) == b"Hi |"
    encoder.start(CompletionEventReader())
    end = recorded.raw_end("limit", recorded.RAW_TIMINGS)
    assert encoder.feed(end) + encoder.flush() == b"<length 5>"


def test_a_reply_that_is_not_generated_is_no_stream() -> None:
    runners: list[str] = []
    reply = ComputedReply("application/json", lambda: runners.append("assigned"))
    reply.assigned()
    assert (runners, reply.media_type, reply.usage) == (["assigned"], "application/json", Usage())
    reply.start(CompletionEventReader())
    assert (reply.feed(b"x"), reply.flush(), reply.failure("Oh.", 500)) == (b"", b"", b"")
