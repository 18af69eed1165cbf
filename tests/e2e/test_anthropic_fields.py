"""Whatever Anthropic's own client can send: taken as the reference says, or refused by its name."""

import re
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import anthropic
import pytest
from anthropic.types import beta

from gateway.api.anthropic.fields import BLOCKS, MESSAGES, TOOLS
from tests.fakes.claude import HI, WEATHER, ask, connected, text_of
from tests.fakes.process import Gateway
from tests.fakes.scripts import PLAIN

pytestmark = pytest.mark.engine

FIELDS = MESSAGES.fields

SAMPLES: dict[str, Any] = {
    "cache_control": {"type": "ephemeral", "ttl": "1h"},
    "context_management": {"edits": []},
    "diagnostics": {"previous_message_id": None},
    "fallbacks": [{"model": "plain"}],
    "metadata": {"user_id": "u"},
    "output_config": {"effort": "low", "task_budget": {"type": "tokens", "total": 20000}},
    "service_tier": "standard_only",
    "speed": "fast",
    "stop_sequences": ["never"],
    "system": [{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}],
    "temperature": 0.5,
    "thinking": {"type": "enabled", "budget_tokens": 1024, "display": "updates"},
    "tool_choice": {"type": "none"},
    "tools": [],
    "top_k": 5,
    "top_p": 0.9,
}
"""What fields hold where a text would be refused."""


@pytest.fixture
def claude(served: Gateway) -> Iterator[anthropic.Anthropic]:
    with connected(served.url) as client:
        yield client


def kinds(union: Any) -> list[str]:
    """The types of blocks or of tools that the client can send."""
    sent = [one for one in get_args(union) if hasattr(one, "__required_keys__")]
    types = [get_type_hints(one)["type"] for one in sent]
    literals = [get_args(kind)[0] if type(None) in get_args(kind) else kind for kind in types]
    return sorted({kind for literal in literals for kind in get_args(literal)})


def field_names() -> set[str]:
    return {
        name
        for params in get_args(beta.message_create_params.MessageCreateParams)
        for name in get_type_hints(params)
    }


def test_every_field_of_the_client_is_in_the_reference() -> None:
    assert field_names() - {"betas"} <= FIELDS.keys()
    assert len(field_names()) > 20


@pytest.mark.parametrize(
    "name", sorted(FIELDS.keys() - {"model", "max_tokens", "messages", "stream", "output_format"})
)
def test_every_field_is_taken_or_refused_by_name(claude: anthropic.Anthropic, name: str) -> None:
    body = {name: SAMPLES.get(name, "5m")}
    if FIELDS[name].refused:
        with pytest.raises(anthropic.BadRequestError, match=f"{name}: not supported: "):
            ask(claude, model="plain", extra_body=body)
    else:
        assert text_of(ask(claude, model="plain", extra_body=body)) == PLAIN.text


BLOCK_KINDS, TOOL_KINDS = kinds(beta.BetaContentBlockParam), kinds(beta.BetaToolUnionParam)


def test_the_client_knows_all_that_the_reference_does() -> None:
    assert BLOCKS.keys() - {"tool_reference"} <= set(BLOCK_KINDS)
    assert TOOLS.keys() <= {re.sub(r"_\d{8}$", "", kind) for kind in TOOL_KINDS}


@pytest.mark.parametrize("kind", sorted(set(BLOCK_KINDS) - BLOCKS.keys()))
def test_every_other_block_is_refused_by_name(claude: anthropic.Anthropic, kind: str) -> None:
    messages: Any = [HI, {"role": "assistant", "content": [{"type": kind}]}, HI]
    for count in (False, True):
        with pytest.raises(anthropic.BadRequestError, match=f"blocks of type '{kind}' are not"):
            _send(claude, count, messages=messages)


@pytest.mark.parametrize(
    "kind", [kind for kind in TOOL_KINDS if re.sub(r"_\d{8}$", "", kind) not in TOOLS]
)
def test_every_other_tool_is_refused_by_name(claude: anthropic.Anthropic, kind: str) -> None:
    tools: Any = [WEATHER, {"type": kind, "name": "x"}]
    for count in (False, True):
        with pytest.raises(anthropic.BadRequestError, match=f"tools of type '{kind}' are not"):
            _send(claude, count, messages=[HI], tools=tools)


def _send(claude: anthropic.Anthropic, count: bool, **body: Any) -> None:
    if count:
        claude.messages.count_tokens(model="tools", **body)
    else:
        claude.messages.create(model="tools", max_tokens=5, **body)
