"""Tokens: requests with a key or without, and the error when there is none."""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.errors import Broken
from gateway.registry.auth import fetch_token, load
from gateway.registry.keys import parse
from gateway.registry.references import Challenge

pytestmark = pytest.mark.anyio

SEED = bytes(range(32))
WANTED = Challenge("https://h/token", "s", ("repository:n/m:pull",))
ORIGIN = "https://h/v2/n/m/manifests/t"


def key_file(folder: Path) -> Path:
    """A key as ssh-keygen writes it."""
    path = folder / "id_ed25519"
    path.write_bytes(
        Ed25519PrivateKey.from_private_bytes(SEED).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    return path


class Service:
    """Gives a fixed response and keeps the requests."""

    def __init__(self, status: int = 200, text: str = '{"token":"T"}') -> None:
        self.status, self.text = status, text
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.status, text=self.text)


async def ask(
    service: Callable[[httpx.Request], httpx.Response],
    *,
    key: Path | None = None,
    wanted: Challenge = WANTED,
) -> str:
    async with httpx.AsyncClient(transport=httpx.MockTransport(service)) as http:
        return await fetch_token(http, wanted, ORIGIN, key)


async def test_without_a_key_nobody_signs(tmp_path: Path) -> None:
    service = Service()
    assert await ask(service, key=tmp_path / "none") == "T"
    (request,) = service.requests
    assert "authorization" not in request.headers
    parameters = dict(request.url.params)
    assert (parameters.pop("ts").isdecimal(), len(parameters.pop("nonce"))) == (True, 22)
    assert parameters == {"service": "s", "scope": "repository:n/m:pull"}


async def test_with_a_key_the_whole_address_is_signed(tmp_path: Path) -> None:
    service = Service()
    assert await ask(service, key=key_file(tmp_path)) == "T"
    (request,) = service.requests
    nothing = base64.b64encode(hashlib.sha256(b"").hexdigest().encode()).decode()
    text = f"GET,{request.url},{nothing}"
    key = parse(key_file(tmp_path).read_text())
    assert request.headers["authorization"] == key.authorization(text)


async def test_every_request_has_its_own_nonce() -> None:
    service = Service()
    await ask(service)
    await ask(service)
    first, second = (request.url.params["nonce"] for request in service.requests)
    assert first != second


async def test_the_other_spelling_of_a_token_is_taken() -> None:
    assert await ask(Service(text='{"access_token":"A"}')) == "A"


@pytest.mark.parametrize(
    ("service", "wanted", "message"),
    [
        (Service(403, "who?"), WANTED, "403: who?"),
        (Service(text="x" * 70000), WANTED, "the answer is longer than 65536 bytes"),
        (Service(text="{}"), WANTED, "the registry's answer has no token"),
        (Service(text="[]"), WANTED, "the registry's answer has no token"),
        (Service(text="no"), WANTED, "the registry's answer has no token"),
        (
            Service(),
            Challenge("https://other/t", "", ()),
            'realm host "other" does not match original host "h"',
        ),
        (Service(), Challenge("http://[", "", ()), "Invalid IPv6 URL"),
        (Service(), Challenge("", "", ()), 'realm host "" does not match original host "h"'),
    ],
)
async def test_no_token_is_an_error(service: Service, wanted: Challenge, message: str) -> None:
    with pytest.raises(Broken) as caught:
        await ask(service, wanted=wanted)
    assert caught.value.message == message


def test_a_key_is_loaded(tmp_path: Path) -> None:
    key = load(key_file(tmp_path))
    assert key is not None
    public = Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw()
    assert base64.b64decode(key.public_text).endswith(public)
    assert load(tmp_path / "none") is None


def test_a_key_that_is_none_is_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "id_ed25519"
    path.write_text("no")
    assert load(path) is None
    assert "the key id_ed25519 cannot be used: it is not an OpenSSH private key" in caplog.text
