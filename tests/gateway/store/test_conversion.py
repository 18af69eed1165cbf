"""What can be quantized to what, and with which arguments."""

from typing import Any

import pytest

from gateway.errors import Invalid
from gateway.store.conversion import COPY, Conversion, flags, needed, target
from gateway.store.gguf import Header


def header(file_type: Any = 1, architecture: str = "llama") -> Header:
    return Header({"general.architecture": architecture, "general.file_type": file_type}, (), 1)


# ---- types


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", ""),
        ("q8_0", "Q8_0"),
        ("Q4_K", "Q4_K_M"),
        ("q4_k_s", "Q4_K_S"),
        ("f32", "F32"),
        ("F16", "F16"),
        ("bf16", "BF16"),
    ],
)
def test_types_are_read_in_any_case(text: str, name: str) -> None:
    assert target(text) == name


@pytest.mark.parametrize("text", ["q5_0", "COPY", "Q4_K_L", " Q8_0"])
def test_other_types_are_refused(text: str) -> None:
    told = f"unsupported quantization type {text.upper()} - supported types are F32, F16, Q4_K_S"
    with pytest.raises(Invalid) as caught:
        target(text)
    assert caught.value.message == told + ", Q4_K_M, Q8_0"


# ---- what is needed


@pytest.mark.parametrize("origin", [0, 1, 32])
def test_plain_weights_are_converted(origin: int) -> None:
    assert needed(header(origin), "Q8_0")
    assert not needed(header(origin), "")


def test_weights_that_are_of_that_type_are_left_alone() -> None:
    assert not needed(header(1), "F16")
    assert not needed(header(7), "Q8_0")
    assert not needed(header(15), "Q4_K_M", draft=True)


@pytest.mark.parametrize("origin", [7, 15, 9999, None])
def test_quantized_weights_are_not_quantized_again(origin: int | None) -> None:
    with pytest.raises(Invalid) as caught:
        needed(header(origin), "Q4_K_S")
    told = "quantization is only supported for F16, BF16 and F32 models"
    assert caught.value.message == told


def test_a_quantized_draft_is_refused_by_its_type() -> None:
    with pytest.raises(Invalid) as caught:
        needed(header(7), "Q4_K_M", draft=True)
    told = "draft quantization requires an unquantized draft model, got Q8_0"
    assert caught.value.message == told


# ---- how


def test_most_models_need_no_arguments() -> None:
    assert flags(header(), "Q4_K_M") == ()


def test_some_tensors_are_spared_in_four_bits() -> None:
    spared = flags(header(architecture="gemma3n"), "Q4_K_S")
    assert spared == ("--tensor-type", r"^per_layer_token_embd\.weight=f16")
    assert flags(header(architecture="deepseek2"), "Q4_K_M")[:4] == (
        "--tensor-type",
        r"\.attn_k_b\.weight=q8_0",
        "--tensor-type",
        r"\.attn_q_a\.weight=q8_0",
    )
    ends = flags(header(architecture="glm4"), "Q4_K_M")
    assert ends == ("--token-embedding-type", "f16", "--output-tensor-type", "f16")


@pytest.mark.parametrize("architecture", ["gemma3n", "deepseek2", "glm4"])
def test_nothing_is_spared_in_eight_bits(architecture: str) -> None:
    assert flags(header(architecture=architecture), "Q8_0") == ()


def test_a_conversion_is_called_as_ollama_calls_it() -> None:
    one = Conversion(0, ("sha256:x",), 5, "BF16", "Q4_K_M")
    assert one.status == "quantizing BF16 model to Q4_K_M"
    assert Conversion(0, ("a", "b"), 5, "F16", COPY).status == "validating GGUF model"
