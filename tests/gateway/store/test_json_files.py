"""JSON files are read as Go reads them, and written as Ollama writes them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Invalid
from gateway.golang.json_encode import dumps
from gateway.store.json_files import (
    Config,
    check_parameters,
    decode,
    decode_config,
    decode_messages,
    decode_parameters,
    encode_config,
    encode_messages,
    encode_parameters,
    reason,
    stored_message,
)


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
def test_the_first_value_is_read(data: bytes, value: object) -> None:
    decoded = decode(data)
    assert (decoded, type(decoded)) == (value, type(value))


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


# ---- the config

LLAMA = Config(format="gguf", family="llama", families=("llama",), size="944K", file_type="F16")


def test_a_plain_config_has_ollamas_bytes() -> None:
    assert encode_config(LLAMA) == (
        b'{"model_format":"gguf","model_family":"llama","model_families":["llama"],'
        b'"model_type":"944K","file_type":"F16","architecture":"amd64","os":"linux"}\n'
    )


def test_optional_config_keys_are_written_in_ollamas_order() -> None:
    config = Config(
        format="gguf",
        renderer="qwen3.5",
        parser="qwen3",
        requires="0.14.0",
        remote_host="h",
        remote_model="m",
        capabilities=("tools",),
        context_length=4096,
        embedding_length=64,
        base_name="b",
        draft={"model_format": "gguf"},
    )
    assert encode_config(config) == (
        b'{"model_format":"gguf","model_family":"","model_families":null,"model_type":"",'
        b'"file_type":"","renderer":"qwen3.5","parser":"qwen3","requires":"0.14.0",'
        b'"remote_host":"h","remote_model":"m","capabilities":["tools"],"context_length":4096,'
        b'"embedding_length":64,"base_name":"b","draft":{"model_format":"gguf"},'
        b'"architecture":"amd64","os":"linux"}\n'
    )
    assert decode_config(encode_config(config)) == config


def test_older_configs_are_understood() -> None:
    data = (
        b'{"model_format":"gguf","model_family":"llama","model_families":null,"model_type":"7B",'
        b'"file_type":"Q4_0","architecture":"amd64","os":"linux","rootfs":{"type":"layers"}}'
    )
    assert decode_config(data) == Config(
        format="gguf", family="llama", families=None, size="7B", file_type="Q4_0"
    )


def test_a_config_value_of_the_wrong_type_counts_as_absent() -> None:
    data = b'{"model_family":5,"model_families":["a",5],"context_length":"x","draft":[]}'
    assert decode_config(data) == Config(families=("a",))


@pytest.mark.parametrize("data", [b"", b"[]", b"{"])
def test_a_config_that_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_config(data)


# ---- parameters


def test_sound_parameters_pass_unchanged() -> None:
    parameters = {
        "num_ctx": 4096,
        "seed": 7.0,
        "temperature": 1,
        "top_p": 0.5,
        "use_mmap": False,
        "stop": ["a", "b"],
        "top_k": None,
        "mirostat": "retired",
    }
    assert check_parameters(parameters) == parameters


def test_one_stop_is_a_list_of_one() -> None:
    assert check_parameters({"stop": "a"}) == {"stop": ["a"]}


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
def test_a_known_option_of_the_wrong_kind_is_refused(name: str, value: object, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_parameters({name: value})
    assert caught.value.message == text


def test_parameters_have_ollamas_bytes() -> None:
    parameters = {
        "use_mmap": False,
        "top_p": 1e-05,
        "temperature": 0.25,
        "stop": ["<a>", "b c"],
        "num_ctx": 128,
        "big": 1234567.0,
    }
    assert encode_parameters(parameters) == (
        b'{"big":1234567,"num_ctx":128,"stop":["\\u003ca\\u003e","b c"],"temperature":0.25,'
        b'"top_p":0.00001,"use_mmap":false}\n'
    )
    assert decode_parameters(encode_parameters(parameters)) == parameters


def test_parameters_that_are_no_object_are_refused() -> None:
    with pytest.raises(ValueError, match="object"):
        decode_parameters(b"[]")


# ---- messages


def test_messages_have_ollamas_bytes() -> None:
    messages = tuple(
        stored_message(fields)
        for fields in (
            {"role": "user", "content": "<a>", "thinking": "", "unknown": 1},
            {"tool_calls": [{"function": {"name": "f", "arguments": {}}}], "role": "assistant"},
            {},
        )
    )
    data = (
        b'[{"role":"user","content":"\\u003ca\\u003e"},{"role":"assistant","content":"",'
        b'"tool_calls":[{"function":{"name":"f","arguments":{}}}]},{"role":"","content":""}]\n'
    )
    assert encode_messages(messages) == data
    assert decode_messages(data) == messages


def test_null_is_no_messages() -> None:
    assert decode_messages(b"null") == ()


@pytest.mark.parametrize(
    "data", [b"{}", b"[5]", b"[null]", b'[{"role":5}]', b'[{"content":["x"]}]']
)
def test_messages_that_are_none_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="message"):
        decode_messages(data)
