"""Parameters are checked when stored, and stored as Ollama stores them."""

from typing import Any

import pytest

from gateway.errors import Invalid
from gateway.store.parameters import checked, decode, encode


def test_sound_parameters_pass_unchanged() -> None:
    given = {
        "num_ctx": 4096,
        "seed": 7.0,
        "temperature": 1,
        "top_p": 0.5,
        "use_mmap": False,
        "stop": ["a", "b"],
        "top_k": None,
        "mirostat": "of old",
    }
    assert checked(given) == given


def test_one_stop_is_a_list_of_one() -> None:
    assert checked({"stop": "a"}) == {"stop": ["a"]}


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("temperature", "hot", 'option "temperature" must be of type float32'),
        ("temperature", True, 'option "temperature" must be of type float32'),
        ("num_ctx", "1", 'option "num_ctx" must be of type integer'),
        ("num_ctx", [1], 'option "num_ctx" must be of type integer'),
        ("use_mmap", 1, 'option "use_mmap" must be of type boolean'),
        ("stop", 5, 'option "stop" must be of type array'),
        ("stop", ["a", 5], 'option "stop" must be of an array of strings'),
    ],
)
def test_a_known_option_of_the_wrong_kind_is_refused(name: str, value: Any, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        checked({name: value})
    assert caught.value.message == text


def test_the_bytes_are_ollamas() -> None:
    parameters = {
        "use_mmap": False,
        "top_p": 1e-05,
        "temperature": 0.25,
        "stop": ["<a>", "b c"],
        "num_ctx": 128,
        "big": 1234567.0,
    }
    assert encode(parameters) == (
        b'{"big":1234567,"num_ctx":128,"stop":["\\u003ca\\u003e","b c"],"temperature":0.25,'
        b'"top_p":0.00001,"use_mmap":false}\n'
    )
    assert decode(encode(parameters)) == parameters


def test_a_layer_that_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match="object"):
        decode(b"[]")
