"""Create requests are refused early and in Ollama's words, or become a recipe."""

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.errors import Forbidden, Invalid
from gateway.names import parse
from gateway.store.recipe import Recipe, parse_recipe

DIGEST = f"sha256:{'a' * 64}"
UNKNOWN_TYPE = (
    "unsupported quantization type Q9_X - supported types are F32, F16, Q4_K_S, Q4_K_M, Q8_0"
)


def test_a_bare_recipe_is_empty_but_for_its_base() -> None:
    assert parse_recipe({"from": " plain "}) == Recipe(
        base=parse("plain"),
        files={},
        adapters={},
        drafts={},
        template="",
        system="",
        licenses=(),
        parameters={},
        messages=(),
        quantize="",
        draft_quantize="",
        config={},
    )


def test_a_full_recipe_keeps_everything() -> None:
    recipe = parse_recipe(
        {
            "files": {"b.gguf": f"sha256-{'B' * 64}", "a.gguf": DIGEST},
            "adapters": {"lora.gguf": DIGEST},
            "draft_files": {"d.gguf": DIGEST},
            "template": "{{ .Prompt }}",
            "system": "S",
            "license": ["MIT", "", "BSD"],
            "parameters": {"stop": "x", "big": 1},
            "messages": [{"role": "user", "content": "hi"}],
            "renderer": "qwen3.5",
            "parser": "anything",
            "requires": "0.99.0",
        }
    )
    assert recipe.base is None
    assert list(recipe.files.items()) == [("a.gguf", DIGEST), ("b.gguf", f"sha256:{'b' * 64}")]
    assert recipe.adapters == {"lora.gguf": DIGEST}
    assert recipe.drafts == {"d.gguf": DIGEST}
    assert (recipe.template, recipe.system) == ("{{ .Prompt }}", "S")
    assert recipe.licenses == ("MIT", "BSD")
    assert recipe.parameters == {"stop": ["x"], "big": 1}
    assert recipe.messages == ({"role": "user", "content": "hi"},)
    assert recipe.config == {"renderer": "qwen3.5", "parser": "anything", "requires": "0.99.0"}


def test_types_to_quantize_to_are_written_in_full() -> None:
    assert parse_recipe({"from": "m", "quantize": "q4_k"}).quantize == "Q4_K_M"
    assert parse_recipe({"from": "m", "quantization": "bf16"}).quantize == "BF16"
    both = {"draft_files": {"d.gguf": DIGEST}, "draft_quantize": "Q8_0"}
    recipe = parse_recipe({"from": "m", **both})
    assert (recipe.quantize, recipe.draft_quantize) == ("", "Q8_0")


def test_a_base_wins_over_files() -> None:
    recipe = parse_recipe({"from": "plain", "files": {"m.gguf": DIGEST}})
    assert recipe.base == parse("plain")
    assert recipe.files == {}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "neither 'from' or 'files' was specified"),
        ({"from": ""}, "neither 'from' or 'files' was specified"),
        ({"adapters": {"a": DIGEST}}, "neither 'from' or 'files' was specified"),
        ({"from": " "}, "invalid model name"),
        ({"from": "a b"}, "invalid model name"),
        ({"files": {"m.gguf": ""}}, "invalid digest format"),
        ({"files": {"m.gguf": "plain"}}, "invalid digest format"),
        ({"from": "m", "draft_files": {"m": "x"}}, "invalid digest format"),
        ({"from": "m", "draft_quantize": "q8_0"}, "--draft-quantize requires a DRAFT model"),
        ({"from": "m", "quantize": "q9_x"}, UNKNOWN_TYPE),
        ({"from": "m", "quantization": "q9_x"}, UNKNOWN_TYPE),
        ({"from": "m", "remote_host": "h"}, "remote models are not supported"),
        (
            {"from": "m", "adapters": {"a": DIGEST, "b": DIGEST}},
            "only one adapter is currently supported",
        ),
        (
            {"from": "m", "template": "{{ if }}"},
            "template error: template: :1: missing value for if",
        ),
        ({"from": "m", "license": 5}, "license must be a string or a list of strings"),
        ({"from": "m", "license": ["a", 5]}, "license must be a string or a list of strings"),
        ({"from": "m", "parameters": {"seed": "x"}}, 'option "seed" must be of type integer'),
        ({"from": "m", "renderer": "nope"}, 'unknown renderer "nope"'),
    ],
)
def test_what_cannot_be_is_refused(body: Mapping[str, Any], text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_recipe(body)
    assert caught.value.message == text


@pytest.mark.parametrize("name", ["/m", "m/", "../m", "a/../m", "a//m", "./m", ""])
def test_files_have_clean_relative_paths(name: str) -> None:
    with pytest.raises(Invalid, match=r"^file path must be relative$"):
        parse_recipe({"files": {name: DIGEST}})


def test_a_cloud_base_is_forbidden() -> None:
    with pytest.raises(Forbidden):
        parse_recipe({"from": "m:cloud"})


def test_info_overrides_what_the_header_says() -> None:
    info = {
        "capabilities": ["vision"],
        "model_family": "f",
        "base_name": "b",
        "quantization_level": "Q9",
        "parameter_size": "1B",
        "context_length": 77.0,
        "embedding_length": 5,
        "unknown": object(),
        "ignored": None,
    }
    assert parse_recipe({"from": "m", "info": info}).config == {
        "capabilities": ("vision",),
        "family": "f",
        "base_name": "b",
        "file_type": "Q9",
        "size": "1B",
        "context_length": 77,
        "embedding_length": 5,
    }


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("model_family", 5, "must be a string"),
        ("context_length", "x", "must be a number"),
        ("context_length", True, "must be a number"),
        ("context_length", -1, "must be a non-negative integer"),
        ("embedding_length", 1.5, "must be a non-negative integer"),
        ("capabilities", "vision", "must be an array of strings"),
        ("capabilities", [5], "must be an array of strings"),
    ],
)
def test_info_of_a_wrong_kind_is_refused(key: str, value: Any, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_recipe({"from": "m", "info": {key: value}})
    assert caught.value.message == f'info field "{key}" {text}'
