"""From meaning to status, and to a body in the dialect of the path."""

from typing import Any

import orjson
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway.api.anthropic.errors import ANTHROPIC
from gateway.api.errors import ErrorResponses, allow
from gateway.api.openai_error import OPENAI
from gateway.errors import Forbidden, Invalid, NotFound
from gateway.http.request_log import RequestRecord
from gateway.llama.errors import ContextOverflow, EngineError
from runners import BackingOff, Busy, Crashed, Stopped, TooLarge

APIS = ErrorResponses((ANTHROPIC, OPENAI))

pytestmark = pytest.mark.anyio


def request(path: str = "/api/chat", method: str = "POST") -> Request:
    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    state = {"record": RequestRecord("id", 0.0)}
    return Request({**scope, "server": ("localhost", 80), "scheme": "http", "state": state})


def body(response: Response) -> Any:
    return orjson.loads(bytes(response.body))


async def test_on_api_an_error_is_one_member() -> None:
    response = await APIS.answer(request(), NotFound("model 'é<' not found"))
    assert response.body == '{"error":"model \'é\\u003c\' not found"}'.encode()
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (Invalid("m"), 400, "invalid_request_error"),
        (NotFound("m"), 404, "not_found_error"),
        (Forbidden("m"), 403, "api_error"),
        (TooLarge("m"), 500, "api_error"),
        (EngineError("m", 500), 500, "api_error"),
    ],
)
async def test_on_v1_an_error_has_openais_envelope(
    error: Exception, status: int, kind: str
) -> None:
    response = await APIS.answer(request("/v1/models/x"), error)
    assert response.status_code == status
    assert body(response) == {"error": {"message": "m", "type": kind, "param": None, "code": None}}
    assert response.headers["content-type"] == "application/json"


async def test_a_prompt_that_is_too_long_has_a_code_on_v1() -> None:
    error = ContextOverflow.of(9, 4)
    assert body(await APIS.answer(request("/v1/completions"), error))["error"] == {
        "message": error.message,
        "type": "invalid_request_error",
        "param": None,
        "code": "context_length_exceeded",
    }
    assert body(await APIS.answer(request(), error)) == {"error": error.message}


async def test_below_messages_an_error_has_anthropics_envelope() -> None:
    response = await APIS.answer(request("/v1/messages"), NotFound("m"))
    assert body(response) == {
        "type": "error",
        "error": {"type": "not_found_error", "message": "m"},
        "request_id": "req_id",
    }
    overflow = await APIS.answer(request("/v1/messages"), ContextOverflow.of(3009, 1024))
    assert body(overflow)["error"]["message"] == ("prompt is too long: 3009 tokens > 1024 maximum")
    vague = ContextOverflow("it is too long", 400, 0, 0, 0)
    assert body(await APIS.answer(request("/v1/messages"), vague))["error"]["message"] == (
        "it is too long"
    )


@pytest.mark.parametrize(
    ("error", "after"),
    [
        (Busy("x"), "1"),
        (BackingOff(Crashed("x"), 0.2), "1"),
        (BackingOff(Crashed("x"), 7.6), "8"),
        (Stopped("x"), None),
        (Invalid("x"), None),
    ],
)
async def test_what_may_be_tried_again_says_when(error: Exception, after: str | None) -> None:
    response = await APIS.answer(request(), error)
    assert response.headers.get("retry-after") == after


async def test_only_errors_meant_for_the_client_are_answered() -> None:
    with pytest.raises(AssertionError):
        await APIS.answer(request(), ValueError("x"))


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
    response = await APIS.not_routed(request(path, method), HTTPException(404))
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
    response = await APIS.not_routed(request("/x"), error)
    assert (response.status_code, bytes(response.body).decode()) == (error.status_code, text)
    assert response.headers["content-type"] == "text/plain"
    assert response.headers.get("allow") == ("GET, POST" if error.headers else None)


async def test_another_failure_on_such_a_path_is_not_moved() -> None:
    response = await APIS.not_routed(request("/x/"), HTTPException(405))
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
    response = await APIS.disconnected(request(), ClientDisconnect())
    assert (response.status_code, body(response)) == (499, {"error": "request canceled"})


async def test_a_defect_does_not_tell_its_details() -> None:
    response = await APIS.internal(request(), KeyError("secret"))
    assert response.status_code == 500
    assert b"secret" not in bytes(response.body)


def test_every_kind_has_its_handler() -> None:
    assert {kind.__name__ for kind in APIS.handlers} == {
        "GatewayError",
        "RunnerError",
        "EngineError",
        "HTTPException",
        "ClientDisconnect",
        "Exception",
    }
