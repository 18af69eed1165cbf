"""Config blobs have Ollama's bytes, and its older forms are understood."""

import pytest

from gateway.store.config import Config, decode, encode

LLAMA = Config(format="gguf", family="llama", families=("llama",), size="944K", file_type="F16")


def test_a_plain_config_has_ollamas_bytes() -> None:
    assert encode(LLAMA) == (
        b'{"model_format":"gguf","model_family":"llama","model_families":["llama"],'
        b'"model_type":"944K","file_type":"F16","architecture":"amd64","os":"linux"}\n'
    )


def test_optional_keys_are_written_in_ollamas_order() -> None:
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
    assert encode(config) == (
        b'{"model_format":"gguf","model_family":"","model_families":null,"model_type":"",'
        b'"file_type":"","renderer":"qwen3.5","parser":"qwen3","requires":"0.14.0",'
        b'"remote_host":"h","remote_model":"m","capabilities":["tools"],"context_length":4096,'
        b'"embedding_length":64,"base_name":"b","draft":{"model_format":"gguf"},'
        b'"architecture":"amd64","os":"linux"}\n'
    )
    assert decode(encode(config)) == config


def test_older_configs_are_understood() -> None:
    data = (
        b'{"model_format":"gguf","model_family":"llama","model_families":null,"model_type":"7B",'
        b'"file_type":"Q4_0","architecture":"amd64","os":"linux","rootfs":{"type":"layers"}}'
    )
    assert decode(data) == Config(
        format="gguf", family="llama", families=None, size="7B", file_type="Q4_0"
    )


def test_a_value_of_the_wrong_kind_counts_as_absent() -> None:
    data = b'{"model_family":5,"model_families":["a",5],"context_length":"x","draft":[]}'
    assert decode(data) == Config(families=("a",))


@pytest.mark.parametrize("data", [b"", b"[]", b"{"])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(data)
