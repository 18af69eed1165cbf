"""Requests to a registry: tokens, redirects, statuses and lost connections."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway import __version__
from gateway.errors import Broken
from gateway.registry import client
from gateway.registry.client import BlobLocation, Registry, accept, open_registry
from gateway.registry.references import Reference
from gateway.registry.retry import (
    AccessDenied,
    ConnectionLost,
    ConnectionStalled,
    NotInRegistry,
    RetryPolicy,
)
from tests.fakes.registry import FakeRegistry, Fault, running_registry

pytestmark = pytest.mark.anyio

NOWHERE = "sha256:" + "0" * 64


@pytest.fixture
async def fake() -> AsyncIterator[FakeRegistry]:
    async with running_registry() as registry:
        yield registry


@asynccontextmanager
async def opened(fake: FakeRegistry, *, stall: float = 20.0) -> AsyncIterator[Registry]:
    async with open_registry(fake.reference(), RetryPolicy(pause=0, stall=stall), None) as registry:
        yield registry


async def test_a_manifest_comes_byte_for_byte(fake: FakeRegistry) -> None:
    data = fake.add("ns/m:latest")
    async with opened(fake) as registry:
        assert await registry.manifest() == data
    (request,) = fake.requests
    assert request.line == "GET /v2/ns/m/manifests/latest"
    assert request.headers["accept"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert request.headers["user-agent"] == client.agent()
    assert "authorization" not in request.headers


def test_registries_see_the_ollama_we_stand_for() -> None:
    assert client.agent().startswith("ollama/0.33.0 (")
    assert client.agent().endswith(f" paddock/{__version__}")


async def test_one_token_serves_a_whole_transfer(fake: FakeRegistry) -> None:
    fake.token = "T"
    fake.add("ns/m:latest")
    digest = fake.put(b"abc")
    async with opened(fake) as registry:
        await registry.manifest()
        assert await registry.size(digest) == 3
    assert fake.lines() == [
        "GET /v2/ns/m/manifests/latest",
        "GET /token",
        "GET /v2/ns/m/manifests/latest",
        f"HEAD /v2/ns/m/blobs/{digest}",
    ]
    assert fake.requests[1].query["scope"] == ["repository:a:pull", "push"]


async def test_a_token_that_does_not_help_is_a_refusal(fake: FakeRegistry) -> None:
    fake.add("ns/m:latest")
    fake.refusals = [("GET /v2", 401, b""), ("GET /v2", 401, b"")]
    fake.token = "T"
    async with opened(fake) as registry:
        with pytest.raises(Broken, match="realm host"):
            await registry.manifest()  # such a 401 does not say where to ask
    fake.refusals.clear()
    fake.refusals = [("GET /token", 200, b'{"token":"other"}')]
    async with opened(fake) as registry:
        with pytest.raises(AccessDenied):
            await registry.manifest()


async def test_a_realm_elsewhere_gets_no_request(fake: FakeRegistry) -> None:
    fake.token = "T"
    fake.realm = f"http://127.0.0.1:{fake.storage_port}/token"
    async with opened(fake) as registry:
        with pytest.raises(Broken) as caught:
            await registry.manifest()
    assert caught.value.message == (
        f'realm host "127.0.0.1:{fake.storage_port}" does not match original host "{fake.host}"'
    )
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (404, b"x", NotInRegistry, "file does not exist"),
        (403, b'{"errors":"denied"}', Broken, '403: {"errors":"denied"}'),
        (412, b"upgrade, please", Broken, "412: upgrade, please"),
        (500, b"", Broken, "500: "),
        (304, b"", Broken, "unexpected status code 304"),
    ],
)
async def test_a_refusal_keeps_the_registrys_words(
    fake: FakeRegistry, status: int, body: bytes, kind: type[Broken], message: str
) -> None:
    fake.refusals = [("GET /v2", status, body)]
    async with opened(fake) as registry:
        with pytest.raises(kind) as caught:
            await registry.manifest()
    assert caught.value.message == message


async def test_a_manifest_has_an_end(fake: FakeRegistry) -> None:
    fake.manifests["ns/m:latest"] = bytes(client.LARGEST_MANIFEST + 1)
    async with opened(fake) as registry:
        with pytest.raises(Broken, match=r"^the answer is longer than 16777216 bytes$"):
            await registry.manifest()


@pytest.mark.parametrize(("sizes", "size"), [(True, 5), (False, None)])
async def test_a_size_is_reported_or_not(fake: FakeRegistry, sizes: bool, size: int | None) -> None:
    fake.sizes = sizes
    digest = fake.put(b"12345")
    async with opened(fake) as registry:
        assert await registry.size(digest) == size
        with pytest.raises(NotInRegistry):
            await registry.size(NOWHERE)


async def test_a_blob_is_there_or_not(fake: FakeRegistry) -> None:
    digest = fake.put(b"1")
    async with opened(fake) as registry:
        assert await registry.has(digest)
        assert not await registry.has(NOWHERE)
        fake.refusals = [("HEAD", 403, b"")]
        with pytest.raises(Broken, match=r"^403: $"):
            await registry.has(digest)


async def test_a_blob_of_a_plain_registry_is_at_its_own_address(fake: FakeRegistry) -> None:
    digest = fake.put(b"abc")
    async with opened(fake) as registry:
        place = await registry.locate(digest)
        assert place == BlobLocation(fake.reference().blob(digest), own=True)
        with pytest.raises(NotInRegistry):
            await registry.locate(NOWHERE)
        assert await registry.locate(fake.put(b"")) is not None


async def test_the_storage_does_not_see_the_token(fake: FakeRegistry) -> None:
    fake.token, fake.redirects = "T", True
    digest = fake.put(b"abcdef")
    async with opened(fake) as registry:
        place = await registry.locate(digest)
        assert place == BlobLocation(
            f"http://127.0.0.1:{fake.storage_port}/data/{digest}", own=False
        )
        async with registry.ranged(place, 1, 3) as response:
            assert (response.status_code, await response.aread()) == (206, b"bcd")
    *_, request = fake.requests
    assert request.storage
    assert request.headers["range"] == "bytes=1-3"
    assert "authorization" not in request.headers


async def test_not_even_where_the_registry_sends_an_upload(fake: FakeRegistry) -> None:
    fake.token = "T"
    digest = fake.put(b"a")
    async with opened(fake) as registry:
        await registry.has(digest)
        url = f"http://127.0.0.1:{fake.storage_port}/part/x"
        async with registry.request("PUT", url, body=b"data") as response:
            assert response.status_code == 200
    *_, request = fake.requests
    assert (request.storage, request.body) == (True, b"data")
    assert "authorization" not in request.headers


async def test_a_registry_that_sends_us_in_circles_is_left(fake: FakeRegistry) -> None:
    fake.circles = True
    digest = fake.put(b"a")
    async with opened(fake) as registry:
        with pytest.raises(Broken, match=r"^maximum redirects exceeded \(10\) for directURL$"):
            await registry.locate(digest)
        with pytest.raises(Broken, match=r"^maximum redirects exceeded \(10\) for directURL$"):
            await registry.manifest()
    assert len(fake.of("GET", "/v2/ns/m/blobs")) == 10


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (500, ConnectionLost),
        (503, ConnectionLost),
        (429, ConnectionLost),
        (400, Broken),
        (403, Broken),
    ],
)
async def test_some_statuses_may_pass(fake: FakeRegistry, status: int, kind: type[Broken]) -> None:
    digest = fake.put(b"a")
    fake.refusals = [("GET", status, b"")]
    async with opened(fake) as registry:
        with pytest.raises(Broken) as caught:
            await registry.locate(digest)
    assert caught.value.message == f"unexpected status code {status}"
    assert type(caught.value) is kind


async def test_a_cut_connection_is_lost(fake: FakeRegistry) -> None:
    digest = fake.put(b"abcdef")
    fake.faults = [Fault(digest, 2)]
    async with opened(fake) as registry:
        place = await registry.locate(digest)
        with pytest.raises(ConnectionLost) as caught:
            async with registry.ranged(place, 0, 5) as response:
                await response.aread()
    assert caught.value.message.startswith(f'Get "{place.url}": ')
    assert not isinstance(caught.value, ConnectionStalled)


async def test_a_silent_connection_is_stalled(fake: FakeRegistry) -> None:
    digest = fake.put(b"abcdef")
    fake.faults = [Fault(digest, 2, waits=True)]
    async with opened(fake, stall=0.1) as registry:
        place = BlobLocation(fake.reference().blob(digest), own=True)
        with pytest.raises(ConnectionStalled, match=r"timed out$"):
            async with registry.ranged(place, 0, 5) as response:
                await response.aread()


async def test_nobody_there_is_an_error_with_the_address() -> None:
    async with running_registry() as gone:
        reference = gone.reference()
    async with open_registry(reference, RetryPolicy(pause=0), None) as registry:
        with pytest.raises(ConnectionLost) as caught:
            await registry.manifest()
    assert caught.value.message == (
        f'Get "http://{gone.host}/v2/ns/m/manifests/latest": connection refused'
    )


async def test_plain_http_where_tls_was_expected_is_reported(fake: FakeRegistry) -> None:
    reference = Reference(fake.reference().name, "https")
    async with open_registry(reference, RetryPolicy(pause=0), None) as registry:
        with pytest.raises(ConnectionLost) as caught:
            await registry.manifest()
    assert caught.value.message == (
        f'Get "https://{fake.host}/v2/ns/m/manifests/latest": '
        "http: server gave HTTP response to HTTPS client"
    )


async def test_an_accepted_answer_says_nothing(fake: FakeRegistry) -> None:
    fake.add("ns/m:latest")
    async with opened(fake) as registry:
        async with registry.request("GET", registry.reference.manifest) as response:
            await accept(response)
            assert response.status_code == 200
