"""Requests for embeddings, checked."""

from typing import Any

import pytest

from gateway.api.embeddings.requests import (
    OPENAI_EMBED,
    OpenAIEmbedRequest,
    as_base64,
    openai_texts,
    texts,
)
from gateway.errors import Invalid


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
        assert error.value.message == "invalid input type"


def test_openai_needs_an_input_but_takes_an_empty_text() -> None:
    nothings: tuple[Any, ...] = (None, [])
    for nothing in nothings:
        with pytest.raises(Invalid) as error:
            openai_texts(nothing)
        assert error.value.message == "invalid input"
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
    assert error.value.message == (
        "Invalid value for 'encoding_format' = int8. Supported values: ['float', 'base64']."
    )


def test_openais_members_have_types() -> None:
    body = b'{"input":[1],"model":"m","dimensions":4,"encoding_format":null,"user":5}'
    assert OPENAI_EMBED.decode(body) == OpenAIEmbedRequest(input=[1], model="m", dimensions=4)
    with pytest.raises(Invalid) as error:
        OPENAI_EMBED.decode(b'{"dimensions":"4"}')
    assert error.value.message == (
        "json: cannot unmarshal string into Go struct field EmbedRequest.dimensions of type int"
    )
    assert OPENAI_EMBED.decode(b'{"keep_alive":"1m"}').keep_alive == 60.0
