"""LineSplitter of an event stream, whatever pieces it comes in."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.llama.errors import EngineError
from gateway.llama.sse import LineSplitter, SSEDecoder, parse_event
from tests.fakes.recorded import CUTS, pieces


def test_only_a_newline_ends_a_line() -> None:
    text = "a\u2028b\u0085c\r\x0b\x0c\x1cd\n\ne"
    lines = LineSplitter()
    assert lines.feed(text.encode()) == ["a\u2028b\u0085c\r\x0b\x0c\x1cd".encode(), b""]
    assert lines.feed(b"\n") == [b"e"]


def test_a_line_may_come_in_pieces_even_within_a_character() -> None:
    lines = LineSplitter()
    data = "data: é\n".encode()
    assert [lines.feed(data[:7]), lines.feed(data[7:8]), lines.feed(data[8:])] == [
        [],
        [],
        ["data: é".encode()],
    ]
    assert lines.feed(b"") == []


@given(
    st.lists(st.binary(max_size=20).map(lambda data: data.replace(b"\n", b"")), max_size=9), CUTS
)
def test_the_lines_are_the_same_whatever_the_pieces(output: list[bytes], cuts: list[int]) -> None:
    lines = LineSplitter()
    data = b"".join(line + b"\n" for line in output) + b"rest"
    assert [line for piece in pieces(data, cuts) for line in lines.feed(piece)] == output


@pytest.mark.parametrize(
    "line", [b"", b": ping", b"event: error", b"data: [DONE]", b"data:{}", b'{"a":1}', b"id: 1"]
)
def test_what_is_no_data_is_no_event(line: bytes) -> None:
    assert parse_event(line) is None


def test_data_is_an_object() -> None:
    assert parse_event('data: {"a":["é",null]}'.encode()) == {"a": ["é", None]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"data: [1]", "the engine sent an event that is not an object"),
        (b"data: null", "the engine sent an event that is not an object"),
        (b'data: "error"', "the engine sent an event that is not an object"),
    ],
)
def test_data_of_another_kind_is_the_engines_fault(line: bytes, message: str) -> None:
    with pytest.raises(EngineError) as caught:
        parse_event(line)
    assert (caught.value.message, caught.value.status) == (message, 500)


def test_data_that_is_not_json_is_the_engines_fault() -> None:
    with pytest.raises(
        EngineError, match=r"^the engine sent an event that is not JSON: "
    ) as caught:
        parse_event(b'data: {"a":')
    assert caught.value.status == 500


def test_an_error_event_is_raised() -> None:
    with pytest.raises(EngineError) as caught:
        parse_event(
            b'data: {"error":{"code":500,"message":"Compute error.","type":"server_error"}}'
        )
    assert caught.value.message == "Compute error."


def take(line: bytes) -> bytes:
    """Shout it; an `x` fails, blanks say nothing."""
    if line == b"x":
        raise EngineError("no", 500)
    return line.strip().upper()


@pytest.mark.parametrize(
    ("data", "output", "failed"),
    [
        (b"", b"", False),
        (b"a\n \nb\n", b"AB", False),
        (b" \n", b"", False),
        (b"a\nb\nx\nc\n", b"AB", True),
    ],
)
def test_what_comes_before_an_error_is_kept(data: bytes, output: bytes, failed: bool) -> None:
    reading = SSEDecoder(take)
    assert reading.feed(data) == output
    with pytest.raises(EngineError) if failed else contextlib.nullcontext():
        reading.check()


def test_after_an_error_nothing_more_is_read() -> None:
    reading = SSEDecoder(take)
    reading.feed(b"a\nx\n")
    with pytest.raises(EngineError):
        reading.feed(b"b\n")


@pytest.mark.parametrize("data", [b"x\n", b" \nx\na\n"])
def test_an_error_with_nothing_before_it_is_raised(data: bytes) -> None:
    with pytest.raises(EngineError):
        SSEDecoder(take).feed(data)
