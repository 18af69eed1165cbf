"""Which paths have a dialect of their own, and what every dialect's errors have in common."""

import json

import pytest
from starlette.routing import Route

from gateway.api.anthropic.errors import ANTHROPIC
from gateway.api.dialect import ApiError, Dialect
from gateway.api.openai_error import OPENAI
from gateway.app import ROUTES

PATHS = [route.path for route in ROUTES if isinstance(route, Route)]


def fitting(path: str) -> list[Dialect]:
    return [dialect for dialect in (ANTHROPIC, OPENAI) if path.startswith(dialect.prefixes)]


@pytest.mark.parametrize("path", PATHS)
def test_all_paths_but_ollamas_have_a_dialect(path: str) -> None:
    assert bool(fitting(path)) == path.startswith(("/v1/", "/v2/"))


def test_anthropics_paths_lie_below_openais_so_the_order_decides() -> None:
    assert fitting("/v1/messages/count_tokens") == [ANTHROPIC, OPENAI]
    assert fitting("/v1/chat/completions") == [OPENAI]


@pytest.mark.parametrize("dialect", [ANTHROPIC, OPENAI])
@pytest.mark.parametrize("status", [400, 403, 404, 499, 500, 503])
def test_every_error_body_is_json_with_the_message(dialect: Dialect, status: int) -> None:
    body = json.loads(json.dumps(dialect.error_body(ApiError("no <room>", status, "id"))))
    assert body["error"]["message"] == "no <room>"
    assert body["error"]["type"]
