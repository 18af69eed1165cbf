"""What is asked of the engine for an embedding, and what is answered."""

from array import array
from base64 import b64encode
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.embeddings.replies import (
    OPENAI,
    Embedded,
    EmbedReply,
    LegacyReply,
    OpenAIReply,
    as_base64,
    batches,
    call,
    cut,
    embedded,
    openai_texts,
    room,
    texts,
)
from gateway.api.ollama.replies import Clock
from gateway.errors import Invalid
from gateway.golang.json_decode import decode

ONE, TWO = array("f", [3, 4]), array("f", [0, 1e-5])
FOUND = Embedded([ONE, TWO], 7)


class Ticking(Clock):
    """Each look is ten nanoseconds after the one before."""

    def __init__(self) -> None:
        self.now = 0

    def stamp(self) -> str:
        raise AssertionError("no embedding has a date")

    def elapsed(self) -> int:
        self.now += 10
        return self.now


def refusal(error: pytest.ExceptionInfo[Invalid]) -> str:
    return error.value.message


# ---- requests


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, []), ("", []), ([], []), ("a", ["a"]), (["a", ""], ["a", ""]), ([""], [""])],
)
def test_an_input_is_texts(value: Any, expected: list[str]) -> None:
    assert texts(value) == expected


@pytest.mark.parametrize("value", [0, 1, 1.5, True, False, {}, {"a": 1}, [1], ["a", None], [["a"]]])
def test_an_input_of_anything_else_is_refused(value: Any) -> None:
    for read in (texts, openai_texts):
        with pytest.raises(Invalid) as error:
            read(value)
        assert refusal(error) == "invalid input type"


def test_openai_needs_an_input_but_takes_an_empty_text() -> None:
    nothings: tuple[Any, ...] = (None, [])
    for nothing in nothings:
        with pytest.raises(Invalid) as error:
            openai_texts(nothing)
        assert refusal(error) == "invalid input"
    assert openai_texts("") == [""]
    assert openai_texts(["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("form", "expected"), [("", False), ("float", False), ("Float", False), ("BASE64", True)]
)
def test_encodings(form: str, expected: bool) -> None:
    assert as_base64(form) is expected


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(Invalid) as error:
        as_base64("int8")
    assert refusal(error) == (
        "Invalid value for 'encoding_format' = int8. Supported values: ['float', 'base64']."
    )


def test_openais_members_have_types() -> None:
    body = b'{"input":[1],"model":"m","dimensions":4,"encoding_format":null,"user":5}'
    assert decode(body, OPENAI) == {"input": [1], "model": "m", "dimensions": 4}
    with pytest.raises(Invalid) as error:
        decode(b'{"dimensions":"4"}', OPENAI)
    assert refusal(error) == (
        "json: cannot unmarshal string into Go struct field EmbedRequest.dimensions of type int"
    )
    assert decode(b'{"keep_alive":"1m"}', OPENAI) == {"keep_alive": 60.0}


# ---- towards the engine


def test_the_engine_is_asked_for_base64() -> None:
    asked = call(["a", [1, 2]])
    assert asked.path == "/v1/embeddings"
    assert orjson.loads(asked.body) == {"input": ["a", [1, 2]], "encoding_format": "base64"}
    assert orjson.loads(call(["a"], raw=True).body)["embd_normalize"] == -1


def test_the_engines_reply() -> None:
    data = [{"embedding": b64encode(one.tobytes()).decode()} for one in (ONE, TWO)]
    reply = {"data": data, "usage": {"prompt_tokens": 7, "total_tokens": 7}}
    found = embedded(orjson.dumps(reply))
    assert found == FOUND
    assert found.numbers == 4


def test_replies_add_up() -> None:
    assert FOUND + Embedded([ONE], 2) == Embedded([ONE, TWO, ONE], 9)
    assert Embedded() + FOUND == FOUND


def test_a_batch_has_at_most_64_texts_of_65536_characters_together() -> None:
    assert [len(batch) for batch in batches(["a"] * 130)] == [64, 64, 2]
    half = "b" * 32_768
    assert [len(batch) for batch in batches([half, half, "c", half, half, half])] == [2, 2, 2]
    assert list(batches(["d" * 100_000, "e", "f" * 100_000])) == [
        ["d" * 100_000],
        ["e"],
        ["f" * 100_000],
    ]
    assert list(batches([])) == []


@given(st.lists(st.integers(0, 40_000).map("x".__mul__), max_size=20))
def test_batches_are_all_texts_in_order(inputs: list[str]) -> None:
    found = list(batches(inputs))
    assert [text for batch in found for text in batch] == inputs
    assert all(found)


@pytest.mark.parametrize(
    ("said", "most"),
    [
        (
            "input (602 tokens) is too large to process. increase the physical batch size "
            "(current batch size: 512)",
            512,
        ),
        ("input (602 tokens) is larger than the max context size (256 tokens). skipping", 256),
        (
            "request (602 tokens) exceeds the available context size (256 tokens), "
            "try increasing it",
            255,
        ),
        ("Input content cannot be empty", None),
        ("input (602 tokens) is bad", None),
    ],
)
def test_the_room_that_a_refusal_tells(said: str, most: int | None) -> None:
    assert room(said) == most


@pytest.mark.parametrize(
    ("whole", "most", "expected"),
    [
        ([101, 1, 2, 3, 4, 102], 5, [101, 1, 2, 3, 102]),
        ([101, 1, 2, 3, 4, 102], 3, [101, 1, 102]),
        ([101, 1, 2, 3, 4], 3, [101, 1, 2]),
        ([1, 2, 3, 4, 102], 3, [1, 2, 102]),
        ([1, 2, 3, 4], 3, [1, 2, 3]),
        ([1, 2, 3, 4, 102, 103], 3, [1, 102, 103]),
    ],
)
def test_what_stands_around_a_text_is_kept(
    whole: list[int], most: int, expected: list[int]
) -> None:
    assert cut([1, 2, 3, 4], whole, most) == expected


@pytest.mark.parametrize("most", [-1, 0, 1, 2])
def test_a_text_needs_room_for_a_token_of_its_own(most: int) -> None:
    with pytest.raises(Invalid) as error:
        cut([1, 2], [101, 1, 2, 102], most)
    assert refusal(error) == "input after truncation exceeds maximum context length"


# ---- replies


def test_ollamas_reply_to_the_byte() -> None:
    reply = EmbedReply("m<1>", Ticking(), 0)
    reply.assigned()
    assert reply.write(FOUND) == (
        b'{"model":"m\\u003c1\\u003e","embeddings":[[0.6,0.8],[0.0,1.0]],'
        b'"total_duration":20,"load_duration":10,"prompt_eval_count":7}'
    )
    assert reply.media_type == "application/json; charset=utf-8"


def test_a_name_that_looks_like_a_number_stays() -> None:
    reply = EmbedReply("1e-6", Ticking(), 0).write(Embedded([array("f", [1, 2e-6])], 1))
    assert reply.startswith(b'{"model":"1e-6","embeddings":[[1.0,0.000002]]')


def test_without_input_ollama_says_nothing_of_times_and_tokens() -> None:
    assert EmbedReply("m", Ticking(), 0).write(Embedded()) == b'{"model":"m","embeddings":[]}'


def test_dimensions_cut_each_vector() -> None:
    reply = orjson.loads(EmbedReply("m", Ticking(), 1).write(FOUND))
    assert reply["embeddings"] == [[1.0], [0.0]]


def test_the_old_reply_has_the_digits_of_doubles_and_no_new_length() -> None:
    reply = LegacyReply("m", Ticking())
    assert reply.write(Embedded([TWO], 3)) == b'{"embedding":[0.0,0.000009999999747378752]}'
    assert reply.write(Embedded([ONE], 3)) == b'{"embedding":[3.0,4.0]}'
    assert reply.write(Embedded()) == b'{"embedding":[]}'


def test_openais_reply_to_the_byte() -> None:
    reply = OpenAIReply("m", Ticking(), 0, base64=False)
    assert reply.write(FOUND) == (
        b'{"object":"list","data":['
        b'{"object":"embedding","embedding":[0.6,0.8],"index":0},'
        b'{"object":"embedding","embedding":[0.0,1.0],"index":1}],'
        b'"model":"m","usage":{"prompt_tokens":7,"total_tokens":7}}'
    )
    assert reply.media_type == "application/json"


def test_openais_base64() -> None:
    reply = orjson.loads(OpenAIReply("m", Ticking(), 1, base64=True).write(FOUND))
    one, zero = (b64encode(array("f", [value]).tobytes()).decode() for value in (1, 0))
    assert [item["embedding"] for item in reply["data"]] == [one, zero]


def test_digits_take_longer_than_bytes() -> None:
    assert EmbedReply("m", Ticking(), 0).many == OpenAIReply("m", Ticking(), 0, base64=False).many
    assert OpenAIReply("m", Ticking(), 0, base64=True).many == 8 * LegacyReply("m", Ticking()).many


@pytest.mark.parametrize(
    "reply",
    [
        EmbedReply("m", Ticking(), 0),
        LegacyReply("m", Ticking()),
        OpenAIReply("m", Ticking(), 0, base64=True),
    ],
)
def test_no_reply_has_what_is_no_number(reply: EmbedReply | LegacyReply | OpenAIReply) -> None:
    with pytest.raises(Invalid) as error:
        reply.write(Embedded([array("f", [1, float("nan")])], 1))
    assert refusal(error) == "embedding contains NaN or Inf values"


def test_a_reply_is_not_made_of_pieces() -> None:
    reply = LegacyReply("m", Ticking())
    assert (reply.feed(b"x"), reply.flush(), reply.failure("x", 500)) == (b"", b"", b"")
    assert reply.tally.tokens == 0
