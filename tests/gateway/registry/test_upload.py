"""One blob to a registry: mounted, in parts, to a storage, tried again."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.errors import Broken
from gateway.registry.chunks import Chunk, plan
from gateway.registry.client import open_registry
from gateway.registry.retry import RetryPolicy
from gateway.registry.upload import Upload
from gateway.store.blobs import Blobs
from gateway.store.manifests import Layer
from tests.fakes.registry import FakeRegistry, running_registry

pytestmark = pytest.mark.anyio

DATA = b"0123456789" * 30
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
EAGER = RetryPolicy(pause=0, stall=20.0)


@pytest.fixture
async def fake() -> AsyncIterator[FakeRegistry]:
    async with running_registry() as registry:
        yield registry


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    store = Blobs(tmp_path / "blobs")
    store.store(DATA)
    return store


def thirds(total: int) -> tuple[Chunk, ...]:
    """Three parts of a hundred bytes."""
    assert total == len(DATA)
    return tuple(Chunk(number, 100 * number, 100) for number in range(3))


async def send(
    fake: FakeRegistry, blobs: Blobs, *, mount: str = "", digest: str = DIGEST, cut: bool = True
) -> dict[str, object]:
    """Send the blob; its last line."""
    async with open_registry(fake.reference(), EAGER, None) as registry:
        layer = Layer("x", digest, 1)
        sending = Upload(registry, blobs, layer, mount, EAGER, thirds if cut else plan)
        await sending.send()
        return dict(sending.look())


async def test_a_blob_goes_part_by_part(fake: FakeRegistry, blobs: Blobs) -> None:
    last = await send(fake, blobs)
    assert fake.blobs == {DIGEST: DATA}
    assert last == {
        "status": f"pushing {DIGEST[7:19]}",
        "digest": DIGEST,
        "total": 300,
        "completed": 300,
    }
    patches = fake.of("PATCH")
    assert [one.headers["content-range"] for one in patches] == ["0-99", "100-199", "200-299"]
    assert [one.query["n"] for one in patches] == [["0"], ["1"], ["2"]]
    assert {one.headers["x-redirect-uploads"] for one in patches} == {"1"}
    assert {one.headers["content-length"] for one in patches} == {"100"}
    assert {one.headers["content-type"] for one in patches} == {"application/octet-stream"}
    (commit,) = fake.of("PUT")
    hashes = b"".join(hashlib.md5(DATA[at : at + 100]).digest() for at in (0, 100, 200))
    assert commit.query["etag"] == [f"{hashlib.md5(hashes).hexdigest()}-3"]


async def test_parts_may_be_wanted_elsewhere(fake: FakeRegistry, blobs: Blobs) -> None:
    fake.redirects, fake.token = True, "T"
    last = await send(fake, blobs)
    assert fake.blobs == {DIGEST: DATA}
    assert last["completed"] == 300
    stored = [one for one in fake.requests if one.storage]
    assert sorted(one.body for one in stored) == [DATA[:100]] * 3
    assert [one.headers.get("authorization") for one in stored] == [None] * 3


async def test_a_small_blob_is_one_part(fake: FakeRegistry, blobs: Blobs) -> None:
    await send(fake, blobs, cut=False)
    assert fake.blobs == {DIGEST: DATA}
    assert len(fake.of("PATCH")) == 1


async def test_an_empty_blob_has_none(fake: FakeRegistry, blobs: Blobs) -> None:
    digest, _ = blobs.store(b"")
    await send(fake, blobs, digest=digest, cut=False)
    assert fake.blobs == {digest: b""}
    assert fake.of("PATCH") == []


async def test_what_the_registry_has_is_not_sent(fake: FakeRegistry, blobs: Blobs) -> None:
    fake.put(DATA)
    last = await send(fake, blobs)
    assert last["completed"] == 300
    assert [one.method for one in fake.requests] == ["HEAD"]


async def test_what_another_repository_has_is_mounted(fake: FakeRegistry, blobs: Blobs) -> None:
    fake.refusals = [("HEAD", 404, b"")]
    fake.put(DATA)
    last = await send(fake, blobs, mount="other/m")
    assert last["completed"] == 300
    (request,) = fake.of("POST")
    assert (request.query["mount"], request.query["from"]) == ([DIGEST], ["other/m"])
    assert len(fake.requests) == 2


async def test_a_mount_that_is_refused_is_an_upload(fake: FakeRegistry, blobs: Blobs) -> None:
    fake.mounts = False
    await send(fake, blobs, mount="other/m")
    assert fake.blobs == {DIGEST: DATA}


@pytest.mark.parametrize("redirects", [False, True])
async def test_what_fails_once_is_sent_again(
    fake: FakeRegistry, blobs: Blobs, redirects: bool
) -> None:
    fake.redirects = redirects
    fake.refusals = [
        ("PATCH", 500, b""),
        ("PUT /part", 503, b""),
        ("PUT /v2/up", 502, b""),
        ("PATCH", 429, b""),
    ]
    last = await send(fake, blobs)
    assert fake.blobs == {DIGEST: DATA}
    assert last["completed"] == 300
    assert len(fake.refusals) == (0 if redirects else 1)


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (("HEAD", 403, b""), "403: "),
        (("POST", 403, b'{"errors":"denied"}'), '403: {"errors":"denied"}'),
        (("PATCH", 413, b"too big"), "http status 413 Request Entity Too Large: too big"),
        (("PATCH", 404, b""), "http status 404 Not Found: file does not exist"),
        (("PUT", 400, b"digest"), "400: digest"),
    ],
)
async def test_a_refusal_is_reported(
    fake: FakeRegistry, blobs: Blobs, refusal: tuple[str, int, bytes], message: str
) -> None:
    fake.refusals = [refusal]
    with pytest.raises(Broken) as caught:
        await send(fake, blobs)
    assert caught.value.message == message
    assert fake.blobs == {}


async def test_the_sixth_failure_ends_it(fake: FakeRegistry, blobs: Blobs) -> None:
    fake.refusals = [("PUT /part", 500, b"no")] * 30
    fake.redirects = True
    with pytest.raises(Broken) as caught:
        await send(fake, blobs)
    assert caught.value.message == (
        "max retries exceeded: http status 500 Internal Server Error: no"
    )


async def test_a_session_without_an_address_is_reported(fake: FakeRegistry, blobs: Blobs) -> None:
    fake.refusals = [("POST", 202, b"")]
    with pytest.raises(Broken, match=r"^http: no Location header in response$"):
        await send(fake, blobs)


async def test_a_blob_that_has_gone_cannot_be_sent(fake: FakeRegistry, blobs: Blobs) -> None:
    blobs.remove(DIGEST)
    with pytest.raises(FileNotFoundError):
        await send(fake, blobs)
