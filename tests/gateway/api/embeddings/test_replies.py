"""Calls for embeddings, and the replies."""

from array import array
from base64 import b64encode

import orjson
import pytest

from gateway.api.clock import Clock
from gateway.api.embeddings.replies import (
    Embeddings,
    EmbedReply,
    OldEmbedReply,
    OpenAIEmbedReply,
    cut,
    embedding_call,
    read_embeddings,
)
from gateway.errors import Invalid

ONE, TWO = array("f", [3, 4]), array("f", [0, 1e-5])
EMBEDDINGS = Embeddings([ONE, TWO], 7)


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


# ---- towards the engine


def test_the_engine_is_to_reply_in_base64() -> None:
    call = embedding_call(["a", [1, 2]])
    assert call.path == "/v1/embeddings"
    assert orjson.loads(call.body) == {"input": ["a", [1, 2]], "encoding_format": "base64"}
    assert orjson.loads(embedding_call(["a"], raw=True).body)["embd_normalize"] == -1


def test_the_engines_reply() -> None:
    data = [{"embedding": b64encode(one.tobytes()).decode()} for one in (ONE, TWO)]
    reply = {"data": data, "usage": {"prompt_tokens": 7, "total_tokens": 7}}
    embeddings = read_embeddings(orjson.dumps(reply))
    assert embeddings == EMBEDDINGS
    assert embeddings.numbers == 4


def test_replies_add_up() -> None:
    assert EMBEDDINGS + Embeddings([ONE], 2) == Embeddings([ONE, TWO, ONE], 9)
    assert Embeddings() + EMBEDDINGS == EMBEDDINGS


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
    assert reply.write(EMBEDDINGS) == (
        b'{"model":"m\\u003c1\\u003e","embeddings":[[0.6,0.8],[0.0,1.0]],'
        b'"total_duration":20,"load_duration":10,"prompt_eval_count":7}'
    )
    assert reply.media_type == "application/json; charset=utf-8"


def test_a_name_that_looks_like_a_number_stays() -> None:
    reply = EmbedReply("1e-6", Ticking(), 0).write(Embeddings([array("f", [1, 2e-6])], 1))
    assert reply.startswith(b'{"model":"1e-6","embeddings":[[1.0,0.000002]]')


def test_without_input_ollama_says_nothing_of_times_and_tokens() -> None:
    assert EmbedReply("m", Ticking(), 0).write(Embeddings()) == b'{"model":"m","embeddings":[]}'


def test_dimensions_cut_each_vector() -> None:
    reply = orjson.loads(EmbedReply("m", Ticking(), 1).write(EMBEDDINGS))
    assert reply["embeddings"] == [[1.0], [0.0]]


def test_the_old_reply_has_the_digits_of_doubles_and_no_new_length() -> None:
    reply = OldEmbedReply("m", Ticking())
    assert reply.write(Embeddings([TWO], 3)) == b'{"embedding":[0.0,0.000009999999747378752]}'
    assert reply.write(Embeddings([ONE], 3)) == b'{"embedding":[3.0,4.0]}'
    assert reply.write(Embeddings()) == b'{"embedding":[]}'


def test_openais_reply_to_the_byte() -> None:
    reply = OpenAIEmbedReply("m", Ticking(), 0, base64=False)
    assert reply.write(EMBEDDINGS) == (
        b'{"object":"list","data":['
        b'{"object":"embedding","embedding":[0.6,0.8],"index":0},'
        b'{"object":"embedding","embedding":[0.0,1.0],"index":1}],'
        b'"model":"m","usage":{"prompt_tokens":7,"total_tokens":7}}'
    )
    assert reply.media_type == "application/json"


def test_openais_base64() -> None:
    reply = orjson.loads(OpenAIEmbedReply("m", Ticking(), 1, base64=True).write(EMBEDDINGS))
    one, zero = (b64encode(array("f", [value]).tobytes()).decode() for value in (1, 0))
    assert [item["embedding"] for item in reply["data"]] == [one, zero]


def test_digits_take_longer_than_bytes() -> None:
    digits, base64 = (
        OpenAIEmbedReply("m", Ticking(), 0, base64=base64) for base64 in (False, True)
    )
    assert EmbedReply("m", Ticking(), 0).most_in_loop == digits.most_in_loop
    assert base64.most_in_loop == 8 * digits.most_in_loop


@pytest.mark.parametrize(
    "reply",
    [
        EmbedReply("m", Ticking(), 0),
        OldEmbedReply("m", Ticking()),
        OpenAIEmbedReply("m", Ticking(), 0, base64=True),
    ],
)
def test_no_reply_has_what_is_no_number(
    reply: EmbedReply | OldEmbedReply | OpenAIEmbedReply,
) -> None:
    with pytest.raises(Invalid) as error:
        reply.write(Embeddings([array("f", [1, float("nan")])], 1))
    assert refusal(error) == "embedding contains NaN or Inf values"
