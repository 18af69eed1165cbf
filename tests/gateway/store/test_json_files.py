"""JSON of strangers: read as Go reads it, and never such that it could not be written again."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.golang.json_encode import dumps
from gateway.store.json_files import decode, reason


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b' \n{"a":[1,-2.5,"x",null,true]} trailing', {"a": [1, -2.5, "x", None, True]}),
        (b"123456789012345678", 123456789012345678),
        (b"[100000000000000000000]", [1e20]),
        (b"[" + b"9" * 5000 + b"]", [float("inf")]),
        (b'"\\ud83d\\ude00 \\ud800 \\\\ud800"', "\U0001f600 \ufffd \\ud800"),
        (b'"\\uDC00"', "\ufffd"),
    ],
)
def test_the_first_value_is_read(data: bytes, value: Any) -> None:
    found = decode(data)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("data", [b"", b"  ", b"{", b"nul", b'"\xff"', b"'a'", b"[1,]"])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(data)


@pytest.mark.parametrize("depth", [300, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_what_is_too_deep_is_refused(depth: int, opening: bytes, closing: bytes) -> None:
    with pytest.raises(ValueError, match=r"^it is nested too deeply$"):
        decode(opening * depth + b"1" + closing * depth)


@given(st.text(alphabet='{}[]",:\\ud8019eE.-tfn ', max_size=40))
def test_what_was_read_can_be_written(text: str) -> None:
    try:
        value = decode(text.encode())
    except ValueError:
        return
    assert dumps(value)


def test_a_file_is_called_by_its_name_alone(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=str(tmp_path)) as caught:
        (tmp_path / "gone").read_bytes()
    assert reason(caught.value) == "gone: No such file or directory"
    assert reason(OSError(5, "Input/output error")) == "Input/output error"
    assert reason(ValueError("no good")) == "no good"
