"""Who may call: Origin and Host, decided as values and then applied to requests."""

import socket
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from gateway.http.guard import Decision, OriginGuard, OriginPolicy, hostname, named, own_address

LOCAL = "127.0.0.1:11434"
RULES = replace(OriginPolicy.of((), loopback=True), machine="box")
OPEN = replace(RULES, loopback=False)
METHODS = b"GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"


def allowed(origin: str) -> tuple[tuple[bytes, bytes], ...]:
    return (b"access-control-allow-origin", origin.encode()), (b"vary", b"Origin")


# ---- Host


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "LOCALHOST:80",
        "box",
        "Box:11434",
        "a.localhost",
        "x.local",
        "host.docker.internal:1",
        "127.0.0.1:11434",
        "127.1.2.3",
        "0.0.0.0",
        "192.168.1.7:80",
        "10.0.0.1",
        "[::1]:11434",
        "[::]",
        "[fd00::1]:1",
    ],
)
def test_a_host_that_is_this_machine_is_let_in(host: str) -> None:
    assert RULES.check("POST", host, None) == Decision()


@pytest.mark.parametrize(
    "host",
    [
        "evil.com",
        "8.8.8.8:11434",
        "[2001:4860::1]",
        "localhost.evil.com",
        "local",
        "127.1",
        "a:b:c",
    ],
)
def test_a_foreign_host_is_refused_on_loopback_only(host: str) -> None:
    assert RULES.check("GET", host, None) == Decision(403)
    assert OPEN.check("GET", host, None) == Decision()


def test_options_end_there_when_the_host_is_a_name() -> None:
    assert RULES.check("OPTIONS", "localhost:1", None) == Decision(204)
    assert RULES.check("OPTIONS", LOCAL, None) == Decision()
    assert OPEN.check("OPTIONS", "localhost:1", None) == Decision()
    assert RULES.check("OPTIONS", "evil.com", None) == Decision(403)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Example.COM:80", "example.com"),
        ("example.com", "example.com"),
        ("[::1]:80", "::1"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("", ""),
    ],
)
def test_a_host_header_loses_its_port(host: str, name: str) -> None:
    assert hostname(host) == name


def test_names_and_addresses_of_this_machine() -> None:
    assert [named(name, "box") for name in ("box", "x.internal", "internal", "boxer")] == [
        True,
        True,
        False,
        False,
    ]
    assert [own_address(name) for name in ("::1", "172.16.0.1", "1.1.1.1", "box", "")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_the_rules_know_this_machines_name() -> None:
    assert OriginPolicy.of((), loopback=True).machine == socket.gethostname().lower()


# ---- Origin


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost",
        "https://localhost:3000",
        "http://127.0.0.1:5173",
        "https://0.0.0.0",
        "app://obsidian.md",
        "file://",
        "tauri://localhost",
        "vscode-webview://0a1b",
        "vscode-file://vscode-app",
    ],
)
def test_local_and_app_origins_are_allowed_and_echoed(origin: str) -> None:
    assert RULES.check("POST", LOCAL, origin) == Decision(None, allowed(origin))


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.com",
        "null",
        "HTTP://LOCALHOST",
        "http://localhost:evil.com",
        "http://localhost.evil.com",
        "http://xlocalhost",
        "http://localhost:",
        "http://localhost:80/x",
        "chrome-extension://abc",
        "http://localhost\nhttp://localhost",
    ],
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_other_origins_are_refused_wherever_we_listen(method: str, origin: str) -> None:
    assert RULES.check(method, LOCAL, origin) == Decision(403)
    assert OPEN.check(method, "gpu.example.com", origin) == Decision(403)


@pytest.mark.parametrize("origin", [None, "", f"http://{LOCAL}", f"https://{LOCAL}"])
def test_our_own_origin_is_no_cross_origin_request(origin: str | None) -> None:
    assert RULES.check("GET", LOCAL, origin) == Decision()


def test_our_own_foreign_name_is_still_a_foreign_host() -> None:
    assert RULES.check("GET", "evil.com", "http://evil.com") == Decision(403)


def test_a_preflight_is_answered_whatever_the_host() -> None:
    decision = RULES.check("OPTIONS", "evil.com", "http://localhost")
    assert decision.status == 204
    assert decision.headers[:3] == (
        *allowed("http://localhost"),
        (b"access-control-allow-methods", METHODS),
    )
    names = dict(decision.headers)[b"access-control-allow-headers"].split(b",")
    assert (names[0], names[-1], len(names)) == (b"Authorization", b"X-Stainless-Timeout", 18)
    assert decision.headers[4:] == (
        (b"access-control-max-age", b"43200"),
        (b"vary", b"Access-Control-Request-Method"),
        (b"vary", b"Access-Control-Request-Headers"),
    )


def test_more_origins_can_be_allowed_with_a_star_for_anything() -> None:
    policy = replace(
        OriginPolicy.of(["https://a.com", "http://*.b.com:*"], loopback=True), machine="box"
    )
    for origin in ("https://a.com", "http://x.y.b.com:80", "http://localhost:1"):
        assert policy.check("GET", LOCAL, origin) == Decision(None, allowed(origin))
    for origin in ("https://a.com:1", "https://axcom", "http://b.com:80", "https://x.b.com:80"):
        assert policy.check("GET", LOCAL, origin) == Decision(403)


def test_a_star_allows_every_origin_and_nothing_varies() -> None:
    policy = replace(OriginPolicy.of(["https://a.com", "*"], loopback=True), machine="box")
    star = ((b"access-control-allow-origin", b"*"),)
    assert policy.check("GET", LOCAL, "http://evil.com") == Decision(None, star)
    decision = policy.check("OPTIONS", LOCAL, "null")
    assert (decision.status, decision.headers[0]) == (204, star[0])
    assert b"vary" not in dict(decision.headers)
    assert policy.check("GET", "evil.com", "http://x.com").status == 403


# ---- as middleware


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("inside", headers={"vary": "Accept"})(scope, receive, send)


async def ask(method: str, path: str = "/here", **headers: str) -> httpx.Response:
    guard = OriginGuard(app, RULES, lambda path: "HEAD, GET" if path == "/here" else "")
    transport = httpx.ASGITransport(guard)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.request(method, path, headers=headers)


@pytest.mark.anyio
async def test_a_refused_request_gets_an_empty_body_and_no_type() -> None:
    for headers in ({"host": "evil.com"}, {"origin": "http://evil.com"}):
        response = await ask("GET", **headers)
        assert (response.status_code, response.content) == (403, b"")
        assert dict(response.headers) == {"content-length": "0"}


@pytest.mark.anyio
async def test_an_allowed_origin_is_added_to_the_reply() -> None:
    response = await ask("GET", origin="http://localhost:3")
    assert (response.status_code, response.text) == (200, "inside")
    assert response.headers["access-control-allow-origin"] == "http://localhost:3"
    assert response.headers.get_list("vary") == ["Accept", "Origin"]


@pytest.mark.anyio
async def test_a_reply_without_an_origin_is_left_as_it_is() -> None:
    response = await ask("GET")
    assert response.text == "inside"
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.anyio
async def test_an_answer_to_options_lists_what_the_path_takes() -> None:
    known, unknown = await ask("OPTIONS"), await ask("OPTIONS", "/nowhere")
    assert (known.status_code, known.headers["allow"]) == (204, "HEAD, GET")
    assert (unknown.status_code, "allow" in unknown.headers) == (204, False)


@pytest.mark.anyio
async def test_a_refusal_lists_what_the_path_takes_if_the_method_is_not_of_it() -> None:
    refused = await ask("OPTIONS", origin="http://evil.com")
    assert (refused.status_code, refused.headers["allow"]) == (403, "HEAD, GET")
    posted = await ask("POST", origin="http://evil.com")
    assert (posted.status_code, posted.headers["allow"]) == (403, "HEAD, GET")


@pytest.mark.anyio
async def test_a_request_without_a_host_header_is_let_in() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError

    scope = {"type": "http", "method": "GET", "path": "/here", "headers": []}
    await OriginGuard(app, RULES, lambda path: "")(scope, receive, send)
    assert [message.get("status") for message in sent] == [200, None]


@pytest.mark.anyio
async def test_what_is_not_http_passes_unseen() -> None:
    seen: list[Any] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    await OriginGuard(inner, RULES, lambda path: "")({"type": "lifespan"}, nothing, nothing)
    assert seen == [{"type": "lifespan"}]
