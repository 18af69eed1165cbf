"""Bodies of Anthropic's requests, and the reference page of their fields."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.api.anthropic.fields import (
    BLOCKS,
    MESSAGES,
    TOOLS,
    MessagesRequest,
    check_refused,
)
from gateway.errors import Invalid

PAGE = Path(__file__).resolve().parents[4] / "docs" / "reference" / "anthropic.md"
_MESSAGE = 'struct { Role string "json:\\"role\\""; Content json.RawMessage "json:\\"content\\"" }'


def read(**body: Any) -> MessagesRequest:
    return MESSAGES.decode(json.dumps(body).encode())


def refused(body: Any) -> str:
    with pytest.raises(Invalid) as caught:
        MESSAGES.decode(json.dumps(body).encode())
    return caught.value.message


def test_what_is_right_is_read_as_it_is() -> None:
    body: dict[str, Any] = {
        "model": "m",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "temperature": 1,
        "top_p": 0.5,
        "stop_sequences": ["a"],
        "tools": [{"name": "now"}],
    }
    assert read(**body) == MessagesRequest(**body)


def test_unknown_fields_are_noted() -> None:
    request = read(model="m", future={"a": 1}, Model="n", other=None)
    assert request == MessagesRequest(model="n", unknown=("future", "other"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "value of type anthropic.MessagesRequest"),
        ({"model": 5}, "struct field MessagesRequest.model of type string"),
        ({"max_tokens": "5"}, "struct field MessagesRequest.max_tokens of type int"),
        ({"temperature": "x"}, "struct field MessagesRequest.temperature of type float64"),
        ({"top_p": True}, "struct field MessagesRequest.top_p of type float64"),
        ({"stream": "x"}, "struct field MessagesRequest.stream of type bool"),
        ({"stop_sequences": "x"}, "struct field MessagesRequest.stop_sequences of type []string"),
        ({"stop_sequences": [1]}, "struct field MessagesRequest.stop_sequences of type string"),
        ({"tools": {}}, "struct field MessagesRequest.tools of type []anthropic.Tool"),
        ({"tools": [1]}, "struct field MessagesRequest.tools of type anthropic.Tool"),
        (
            {"thinking": "on"},
            "struct field MessagesRequest.thinking of type anthropic.ThinkingConfig",
        ),
        (
            {"messages": "hi"},
            "struct field MessagesRequest.messages of type []anthropic.MessageParam",
        ),
        ({"messages": [5]}, f"struct field MessagesRequest.messages of type {_MESSAGE}"),
        (
            {"messages": [{"role": 5, "content": ""}]},
            "struct field MessagesRequest.messages of type string",
        ),
        (
            {"messages": [{"role": "user", "content": 5}]},
            "struct field MessagesRequest.messages of type []anthropic.ContentBlock",
        ),
        (
            {"messages": [{"role": "user", "content": [5]}]},
            "struct field MessagesRequest.messages of type anthropic.ContentBlock",
        ),
    ],
)
def test_a_wrong_type_is_refused_in_gos_words(body: Any, message: str) -> None:
    assert re.sub(r"^json: cannot unmarshal \w+ into Go ", "", refused(body)) == message


def test_a_message_must_have_content() -> None:
    assert refused({"messages": [{"role": "user"}]}) == "unexpected end of JSON input"


def test_nulls_are_empty_objects() -> None:
    assert read(messages=[None], tools=[None]) == MessagesRequest(messages=[{}], tools=[{}])


@pytest.mark.parametrize("name", [name for name, field in MESSAGES.fields.items() if field.refused])
def test_what_cannot_be_had_is_refused_by_name(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_refused(read(**{name: [{"type": "x"}]}))
    reason = MESSAGES.fields[name].doc.removeprefix("400: ")
    assert caught.value.message == f"{name}: not supported: {reason}"
    check_refused(read(**{name: []}))
    check_refused(read(**{name: None}))


def test_what_is_accepted_is_not_refused() -> None:
    check_refused(read(**{name: {"type": "x"} for name in ("metadata", "speed", "fallbacks")}))


# ---- the page


def table(title: str) -> dict[str, str]:
    """The rows below a heading: the name in backticks, and its description."""
    section = re.search(
        rf"^## {title}$(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    assert section
    return dict(re.findall(r"^\| `([^`]+)` \| (.*?) \|$", section[1], re.MULTILINE))


@pytest.mark.parametrize(
    ("title", "documented"),
    [
        ("Fields of a request", {name: field.doc for name, field in MESSAGES.fields.items()}),
        ("Content blocks", BLOCKS),
        ("Tools", TOOLS),
    ],
)
def test_the_page_says_what_the_code_does(title: str, documented: dict[str, str]) -> None:
    assert table(title) == documented
