"""The route table and what stands around it: methods, redirects, guard and log."""

import logging
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.app import ROUTES, create_app, methods
from gateway.http.guard import OriginPolicy
from tests.fakes.server import open_gateway

pytestmark = pytest.mark.anyio

ALLOWED = {
    "/": "HEAD, GET",
    "/api/version": "HEAD, GET",
    "/api/status": "GET",
    "/api/ps": "GET",
    "/api/tags": "HEAD, GET",
    "/api/show": "POST",
    "/api/create": "POST",
    "/api/copy": "POST",
    "/api/delete": "DELETE",
    "/api/blobs/{digest}": "HEAD, POST",
    "/api/generate": "POST",
    "/api/chat": "POST",
    "/v1/chat/completions": "POST",
    "/v1/completions": "POST",
    "/v1/models": "GET",
    "/v1/models/{model:path}": "GET",
}
SAMPLES = {
    path: re.sub(r"\{(\w+)(:path)?\}", lambda result: "a/b" if result[2] else "a", path)
    for path in ALLOWED
}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with open_gateway() as gateway:
        yield gateway.client


def test_every_route_is_in_the_table_above_and_there_once() -> None:
    assert {route.path for route in ROUTES} >= ALLOWED.keys()
    assert len({route.path for route in ROUTES}) == len(ROUTES)


@pytest.mark.parametrize(("path", "allow"), ALLOWED.items())
def test_each_path_takes_its_methods(path: str, allow: str) -> None:
    assert methods(SAMPLES[path]) == allow


def test_a_path_that_is_not_there_takes_nothing() -> None:
    assert methods("/api/nope") == ""


@pytest.mark.parametrize(("path", "allow"), ALLOWED.items())
async def test_another_method_is_405_with_those_that_are_allowed(
    client: httpx.AsyncClient, path: str, allow: str
) -> None:
    response = await client.patch(SAMPLES[path])
    assert (response.status_code, response.text) == (405, "405 method not allowed")
    assert (response.headers["allow"], response.headers["content-type"]) == (allow, "text/plain")
    if "HEAD" not in allow:
        assert (await client.head(SAMPLES[path])).status_code == 405


@pytest.mark.parametrize(
    "path", ["/api", "/v1", "/API/tags", "/api/tags/x", "/favicon.ico", "/x/y"]
)
async def test_an_unknown_path_is_404_in_plain_text(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path)
    assert (response.status_code, response.text) == (404, "404 page not found")
    assert response.headers["content-type"] == "text/plain"


@pytest.mark.parametrize(
    ("method", "path", "status", "location"),
    [
        ("GET", "/api/tags/", 301, "/api/tags"),
        ("HEAD", "/api//tags", 301, "/api/tags"),
        ("GET", "/v1//models", 301, "/v1/models"),
        ("POST", "/api/chat/", 307, "/api/chat"),
        ("DELETE", "//api/delete", 307, "/api/delete"),
        ("GET", "//evil.com/", 301, "/evil.com"),
        ("GET", "/%E6%BC%A2%0d%0aX-Evil:%201/", 301, "/%E6%BC%A2%0D%0AX-Evil:%201"),
    ],
)
async def test_a_path_that_is_not_clean_leads_to_the_clean_one(
    client: httpx.AsyncClient, method: str, path: str, status: int, location: str
) -> None:
    url = httpx.URL(scheme="http", host="localhost", raw_path=path.encode())
    response = await client.send(client.build_request(method, url))
    assert (response.status_code, response.headers["location"]) == (status, location)
    assert "x-evil" not in response.headers


async def test_a_moved_get_says_where_in_html(client: httpx.AsyncClient) -> None:
    response = await client.get("/a&b/")
    assert response.text == '<a href="/a&amp;b">Moved Permanently</a>.\n\n'
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert (await client.post("/a/")).content == b""


async def test_every_reply_has_a_request_id_and_a_line(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "paddock")
    replies = [await client.get("/"), await client.get("/nope")]
    replies.append(await client.get("/", headers={"host": "evil.com"}))
    lines = [line for line in caplog.messages if line.startswith("request=")]
    assert [line.split(" status=")[1].split()[0] for line in lines] == ["200", "404", "403"]
    for reply, line in zip(replies, lines, strict=True):
        assert line.startswith(f"request={reply.headers['x-request-id']} ")


async def test_the_guard_stands_before_everything() -> None:
    async with open_gateway(policy=OriginPolicy.of(["http://a.com"], loopback=True)) as gateway:
        headers = {"origin": "http://a.com"}
        result = await gateway.client.options("/api/chat", headers=headers)
        assert (result.status_code, result.headers["allow"]) == (204, "POST")
        refused = await gateway.client.get("/nope", headers={"origin": "http://b.com"})
        assert (refused.status_code, refused.content) == (403, b"")


async def test_a_defect_is_500_and_keeps_its_details_to_itself() -> None:
    async def defect(request: Request) -> Response:
        raise KeyError("secret")

    async with open_gateway() as gateway:
        app = create_app(gateway.services, OriginPolicy.of((), loopback=True))
        app.router.routes = [Route("/v1/x", defect), Route("/x", defect)]
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            text = "internal error; the server's log says more"
            response = await client.get("/x")
            assert (response.status_code, response.json()) == (500, {"error": text})
            error = {"message": text, "type": "api_error", "param": None, "code": None}
            assert (await client.get("/v1/x")).json() == {"error": error}
