"""The fields of a request to the Responses API, and the reference page of them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from openai.types.responses import ResponseIncludable
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming

from gateway.api.responses.fields import INCLUDABLE, RESPONSES, ResponsesRequest
from gateway.api.responses.items import ITEMS, PARTS
from gateway.api.responses.tools import TOOLS
from gateway.errors import Invalid

FIELDS = RESPONSES.fields
PAGE = Path(__file__).resolve().parents[4] / "docs" / "reference" / "responses.md"


def table(title: str) -> dict[str, str]:
    """The rows below a heading: what the first cell names, and the second cell."""
    _, _, rest = PAGE.read_text().partition(f"## {title}\n")
    below = rest.partition("\n## ")[0]
    return dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", below, re.MULTILINE))


@pytest.mark.parametrize(
    ("title", "wanted"),
    [
        ("Fields of a request", {name: field.doc for name, field in FIELDS.items()}),
        ("Tools", TOOLS),
        ("Input items", ITEMS),
        ("Parts of a content", PARTS),
    ],
)
def test_the_reference_says_what_the_code_says(title: str, wanted: Mapping[str, str]) -> None:
    assert table(title) == wanted


def test_every_field_of_the_official_api_is_known() -> None:
    official = set(get_type_hints(ResponseCreateParamsStreaming))
    assert official - FIELDS.keys() == set()
    more = {name for name, field in FIELDS.items() if field.doc.startswith("not in the offi")}
    assert FIELDS.keys() - official == more


def test_every_official_inclusion_is_known() -> None:
    assert set(INCLUDABLE) == set(get_args(ResponseIncludable))


def test_what_is_refused_is_called_400() -> None:
    documented = {name for name, field in FIELDS.items() if field.doc.startswith("400")}
    assert documented == {name for name, field in FIELDS.items() if field.refused}


def test_fields_are_read_by_their_types() -> None:
    sent: dict[str, Any] = {
        "model": "m",
        "input": [{"anything": 1}],
        "temperature": 0.5,
        "top_p": 1,
        "tools": [{"type": "function"}, None],
        "reasoning": {"effort": "low", "unknown": 1},
        "metadata": None,
        "unknown": 1,
    }
    assert RESPONSES.decode(json.dumps(sent).encode()) == ResponsesRequest(
        model="m",
        input=[{"anything": 1}],
        tools=[{"type": "function"}, {}],
        reasoning={"effort": "low"},
        temperature=0.5,
        top_p=1,
    )


@pytest.mark.parametrize(
    ("name", "value", "what", "wanted"),
    [
        ("model", 5, "number", "string"),
        ("stream", "x", "string", "bool"),
        ("max_output_tokens", "x", "string", "int"),
        ("max_output_tokens", 2.5, "number 2.5", "int"),
        ("instructions", ["a"], "array", "string"),
        ("temperature", "hot", "string", "float64"),
        ("top_p", True, "bool", "float64"),
        ("tools", {}, "object", "[]openai.ResponsesTool"),
        ("tools", ["x"], "string", "openai.ResponsesTool"),
        ("text", "x", "string", "openai.ResponsesText"),
        ("reasoning", "x", "string", "openai.ResponsesReasoning"),
        ("include", "x", "string", "[]string"),
    ],
)
def test_a_wrong_type_is_refused_in_gos_words(
    name: str, value: Any, what: str, wanted: str
) -> None:
    with pytest.raises(Invalid) as caught:
        RESPONSES.decode(json.dumps({"model": "m", name: value}).encode())
    place = f"ResponsesRequest.{name}"
    assert caught.value.message == (
        f"json: cannot unmarshal {what} into Go struct field {place} of type {wanted}"
    )
