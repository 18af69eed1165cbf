"""From meaning to status, and to a body in the dialect of the path."""

from typing import Any

import orjson
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway import errors as meanings
from gateway.api import errors
from gateway.api.errors import HANDLERS, STATUS, allow, answer, status_of
from gateway.errors import Broken, DigestMismatch, Forbidden, Invalid, NotFound, Unavailable
from gateway.http.request_log import Facts
from gateway.inference.types import EngineError
from runners import (
    Busy,
    Cause,
    CoolingDown,
    Crashed,
    Refused,
    RunnerError,
    StartFailed,
    Stopped,
    TooLarge,
)

FULL = "exceed_context_size_error"
CASES: list[tuple[Exception, int]] = [
    (Invalid("x"), 400),
    (DigestMismatch("x"), 400),
    (Forbidden("x"), 403),
    (NotFound("x"), 404),
    (Unavailable("x"), 503),
    (Broken("x"), 500),
    (Busy("x"), 503),
    (CoolingDown("x", 1.0), 503),
    (Stopped("x"), 503),
    (TooLarge("x"), 500),
    (StartFailed("x", Cause.MEMORY), 500),
    (Crashed("x"), 500),
    (RunnerError("x"), 500),
    (Refused("x", 400, FULL), 400),
    (Refused("x", 503, "unavailable_error"), 503),
    (Refused("x", 501, "not_supported_error"), 400),
    (Refused("Failed to parse tools: x", 500, "server_error"), 400),
    (EngineError("x", 500), 500),
    (EngineError("x", 400), 400),
    (ValueError("x"), 500),
]

pytestmark = pytest.mark.anyio


def request(path: str = "/api/chat", method: str = "POST") -> Request:
    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    state = {"facts": Facts("id", 0.0)}
    return Request({**scope, "server": ("localhost", 80), "scheme": "http", "state": state})


def body(response: Response) -> Any:
    return orjson.loads(bytes(response.body))


@pytest.mark.parametrize(("error", "status"), CASES)
def test_each_meaning_has_its_status(error: Exception, status: int) -> None:
    assert status_of(error) == status


def test_no_meaning_is_without_a_status() -> None:
    leaves = [kind for kind in vars(meanings).values() if isinstance(kind, type)]
    named = [kind for kind in leaves if kind is not meanings.GatewayError]
    assert all(any(base in STATUS for base in kind.__mro__) for kind in named)
    kinds = set(RunnerError.__subclasses__()) - {Refused}
    assert kinds <= STATUS.keys()


async def test_on_api_an_error_is_one_member() -> None:
    response = await answer(request(), NotFound("model 'é<' not found"))
    assert response.body == '{"error":"model \'é\\u003c\' not found"}'.encode()
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (Invalid("m"), 400, "invalid_request_error"),
        (NotFound("m"), 404, "not_found_error"),
        (Forbidden("m"), 403, "api_error"),
        (Crashed("m"), 500, "api_error"),
        (EngineError("m", 500), 500, "api_error"),
    ],
)
async def test_on_v1_an_error_has_openais_envelope(
    error: Exception, status: int, kind: str
) -> None:
    response = await answer(request("/v1/models/x"), error)
    assert response.status_code == status
    assert body(response) == {"error": {"message": "m", "type": kind, "param": None, "code": None}}
    assert response.headers["content-type"] == "application/json"


async def test_a_prompt_that_is_too_long_has_a_code_on_v1() -> None:
    error = Refused("request (9 tokens) exceeds the available context size (4 tokens)", 400, FULL)
    assert body(await answer(request("/v1/completions"), error))["error"] == {
        "message": error.message,
        "type": "invalid_request_error",
        "param": None,
        "code": "context_length_exceeded",
    }
    assert body(await answer(request(), error)) == {"error": error.message}


@pytest.mark.parametrize(
    ("error", "after"),
    [
        (Busy("x"), "1"),
        (CoolingDown("x", 0.2), "1"),
        (CoolingDown("x", 7.6), "8"),
        (Stopped("x"), None),
        (Invalid("x"), None),
    ],
)
async def test_what_may_be_tried_again_says_when(error: Exception, after: str | None) -> None:
    response = await answer(request(), error)
    assert response.headers.get("retry-after") == after


async def test_only_errors_meant_for_the_client_are_answered() -> None:
    with pytest.raises(AssertionError):
        await answer(request(), ValueError("x"))


# ---- routing


@pytest.mark.parametrize(
    ("path", "method", "status", "location"),
    [
        ("/x/", "GET", 301, "/x"),
        ("/x/", "HEAD", 301, "/x"),
        ("/x/", "POST", 307, "/x"),
        ("//evil.com", "GET", 301, "/evil.com"),
        ("/a/../b/./c", "PUT", 307, "/b/c"),
        ("/a\r\nb: c/", "GET", 301, "/a%0D%0Ab:%20c"),
        ("/漢/", "POST", 307, "/%E6%BC%A2"),
        ("/a%b?/", "POST", 307, "/a%25b%3F"),
    ],
)
async def test_a_path_that_can_be_cleaned_is_moved(
    path: str, method: str, status: int, location: str
) -> None:
    response = await errors.http(request(path, method), HTTPException(404))
    assert (response.status_code, response.headers["location"]) == (status, location)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (HTTPException(404), "404 page not found"),
        (HTTPException(405, headers={"Allow": "GET, POST"}), "405 method not allowed"),
        (HTTPException(405), "405 method not allowed"),
        (HTTPException(418, "tea"), "tea"),
    ],
)
async def test_other_failures_of_the_router_are_plain_text(error: HTTPException, text: str) -> None:
    response = await errors.http(request("/x"), error)
    assert (response.status_code, bytes(response.body).decode()) == (error.status_code, text)
    assert response.headers["content-type"] == "text/plain"
    assert response.headers.get("allow") == ("GET, POST" if error.headers else None)


async def test_another_failure_on_such_a_path_is_not_moved() -> None:
    response = await errors.http(request("/x/"), HTTPException(405))
    assert response.status_code == 405


@pytest.mark.parametrize(
    ("methods", "listed"),
    [
        (["GET", "HEAD"], "HEAD, GET"),
        (["POST"], "POST"),
        ({"DELETE", "PUT", "POST", "GET", "HEAD"}, "HEAD, GET, POST, PUT, DELETE"),
        ([], ""),
        (iter(["POST", "HEAD"]), "HEAD, POST"),
    ],
)
def test_allowed_methods_are_listed_in_ollamas_order(methods: Any, listed: str) -> None:
    assert allow(methods) == listed


# ---- what is nobody's fault, and what is ours


async def test_a_client_that_left_while_it_sent_is_noted_as_499() -> None:
    response = await errors.gone(request(), ClientDisconnect())
    assert (response.status_code, body(response)) == (499, {"error": "request canceled"})


async def test_a_defect_does_not_tell_its_details() -> None:
    response = await errors.broken(request(), KeyError("secret"))
    assert response.status_code == 500
    assert b"secret" not in bytes(response.body)


def test_every_kind_has_its_handler() -> None:
    assert {kind.__name__ for kind in HANDLERS} == {
        "GatewayError",
        "RunnerError",
        "EngineError",
        "HTTPException",
        "ClientDisconnect",
        "Exception",
    }
