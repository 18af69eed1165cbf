"""One blob: parts, resuming, sharing, and what ends it."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from gateway.errors import Broken
from gateway.registry import chunks as parts
from gateway.registry.chunks import Chunk
from gateway.registry.client import open_registry
from gateway.registry.download import Downloads, Listener
from gateway.registry.partial import Partial
from gateway.registry.retry import NotInRegistry, RetryPolicy
from gateway.store.blobs import Blobs
from tests.fakes.registry import FakeRegistry, Fault, running_registry

pytestmark = pytest.mark.anyio

DATA = bytes(range(256)) * 40
SIZE = len(DATA)
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
THREE = (Chunk(0, 0, 4000), Chunk(1, 4000, 4000), Chunk(2, 8000, SIZE - 8000))


@pytest.fixture
async def fake() -> AsyncIterator[FakeRegistry]:
    async with running_registry() as registry:
        registry.put(DATA)
        yield registry


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def begun(blobs: Blobs, *states: Chunk) -> Partial:
    """An earlier download, as it was left: bytes up to where each part is."""
    partial = Partial(blobs, DIGEST)
    partial.begin(states)
    data = bytearray(parts.total(states))
    for part in states:
        end = part.offset + part.completed
        data[part.offset : end] = DATA[part.offset : end]
    partial.data.write_bytes(data)
    return partial


@asynccontextmanager
async def waiting(
    fake: FakeRegistry, downloads: Downloads, *, size: int = SIZE, stall: float = 20.0
) -> AsyncIterator[Listener]:
    policy = RetryPolicy(pause=0, stall=stall)
    async with open_registry(fake.reference(), policy, None) as registry:
        async with downloads.wanted(registry, DIGEST, size) as listener:
            yield listener


def downloads_of(blobs: Blobs) -> Downloads:
    return Downloads(blobs, RetryPolicy(pause=0, stall=20.0))


async def fetch(fake: FakeRegistry, blobs: Blobs, **more: float) -> None:
    """The whole of it: complete and verify."""
    async with waiting(fake, downloads_of(blobs), stall=more.get("stall", 20.0)) as listener:
        await listener.complete()
        await listener.verify()


def names(blobs: Blobs) -> list[str]:
    return sorted(path.name for path in blobs.folder.iterdir())


def ranges(fake: FakeRegistry) -> list[str]:
    """The ranges that were requested, but for the probe."""
    ranges = [one.headers["range"].removeprefix("bytes=") for one in fake.of("GET")]
    return [text for text in ranges if text != "0-0"]


@pytest.mark.parametrize("redirects", [False, True])
async def test_a_blob_comes_whole(fake: FakeRegistry, blobs: Blobs, redirects: bool) -> None:
    fake.redirects = redirects
    await fetch(fake, blobs)
    assert blobs.read(DIGEST) == DATA
    assert names(blobs) == [DIGEST.replace(":", "-")]
    assert ranges(fake) == [f"0-{SIZE - 1}"]


async def test_a_blob_that_is_here_is_not_requested(fake: FakeRegistry, blobs: Blobs) -> None:
    blobs.store(DATA)
    async with waiting(fake, downloads_of(blobs), size=1) as listener:
        await listener.complete()
        await listener.verify()
        assert listener.look() == {
            "status": f"pulling {DIGEST[7:19]}",
            "digest": DIGEST,
            "total": SIZE,
            "completed": SIZE,
        }
    assert fake.requests == []


@pytest.mark.parametrize("redirects", [False, True])
async def test_a_download_goes_on_part_by_part(
    fake: FakeRegistry, blobs: Blobs, redirects: bool
) -> None:
    fake.redirects = redirects
    begun(blobs, Chunk(0, 0, 4000, 4000), Chunk(1, 4000, 4000, 1500), THREE[2])
    await fetch(fake, blobs)
    assert blobs.read(DIGEST) == DATA
    assert sorted(ranges(fake)) == ["5500-7999", f"8000-{SIZE - 1}"]
    assert fake.of("HEAD") == []


async def test_what_is_complete_is_only_verified(fake: FakeRegistry, blobs: Blobs) -> None:
    begun(blobs, Chunk(0, 0, SIZE, SIZE))
    await fetch(fake, blobs)
    assert blobs.read(DIGEST) == DATA
    assert fake.requests == []


async def test_an_empty_blob_is_one(fake: FakeRegistry, tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    digest = fake.put(b"")
    async with open_registry(fake.reference(), RetryPolicy(pause=0), None) as registry:
        async with downloads_of(blobs).wanted(registry, digest, 0) as listener:
            await listener.complete()
            await listener.verify()
    assert blobs.read(digest) == b""


@pytest.mark.parametrize("states", [(), THREE])
async def test_a_server_without_ranges_sends_it_whole(
    fake: FakeRegistry, blobs: Blobs, states: tuple[Chunk, ...]
) -> None:
    fake.ranges = False
    if states:
        begun(blobs, *states)
    await fetch(fake, blobs)
    assert blobs.read(DIGEST) == DATA


async def test_without_ranges_a_cut_part_starts_again(fake: FakeRegistry, blobs: Blobs) -> None:
    fake.ranges = False
    begun(blobs, Chunk(0, 0, SIZE, 5000))
    await fetch(fake, blobs)
    assert blobs.read(DIGEST) == DATA


async def test_a_registry_that_tells_no_size_is_believed_by_the_manifest(
    fake: FakeRegistry, blobs: Blobs
) -> None:
    fake.sizes = False
    await fetch(fake, blobs)
    assert blobs.read(DIGEST) == DATA


async def test_a_size_that_the_registry_tells_counts(fake: FakeRegistry, blobs: Blobs) -> None:
    async with waiting(fake, downloads_of(blobs), size=7) as listener:
        await listener.complete()
        await listener.verify()
        assert listener.download.total == SIZE
    assert blobs.read(DIGEST) == DATA


async def test_a_size_beyond_all_measure_is_refused(fake: FakeRegistry, blobs: Blobs) -> None:
    fake.sizes = False
    async with waiting(fake, downloads_of(blobs), size=(1 << 44) + 1) as listener:
        with pytest.raises(Broken, match=r"^a blob of 17592186044417 bytes is too large$"):
            await listener.complete()
    assert not blobs.folder.exists()


async def test_a_cut_connection_goes_on_where_it_was_cut(fake: FakeRegistry, blobs: Blobs) -> None:
    fake.faults = [Fault(DIGEST, 3000), Fault(DIGEST, 2000)]
    await fetch(fake, blobs)
    assert blobs.read(DIGEST) == DATA
    assert ranges(fake) == [f"{start}-{SIZE - 1}" for start in (0, 3000, 5000)]


async def test_six_cuts_are_the_end_and_their_bytes_stay(fake: FakeRegistry, blobs: Blobs) -> None:
    fake.faults = [Fault(DIGEST, 100)] * 6
    with pytest.raises(Broken, match=r"^max retries exceeded: "):
        await fetch(fake, blobs)
    state = json.loads((blobs.folder / f"{names(blobs)[0]}-0").read_text())
    assert state == {"N": 0, "Offset": 0, "Size": SIZE, "Completed": 600}
    await fetch(fake, blobs)
    assert ranges(fake)[-1] == f"600-{SIZE - 1}"
    assert blobs.read(DIGEST) == DATA


async def test_stalls_after_some_bytes_do_not_count(fake: FakeRegistry, blobs: Blobs) -> None:
    fake.faults = [Fault(DIGEST, 100, waits=True)] * 3
    downloads = Downloads(blobs, RetryPolicy(attempts=2, pause=0))
    async with waiting(fake, downloads, stall=0.3) as listener:
        await listener.complete()
        await listener.verify()
    assert blobs.read(DIGEST) == DATA


async def test_stalls_without_any_do(fake: FakeRegistry, blobs: Blobs) -> None:
    fake.faults = [Fault(DIGEST, 0, waits=True)] * 2
    downloads = Downloads(blobs, RetryPolicy(attempts=2, pause=0))
    async with waiting(fake, downloads, stall=0.1) as listener:
        with pytest.raises(Broken, match=r"^max retries exceeded: .* timed out$"):
            await listener.complete()


async def test_an_address_that_ran_out_is_requested_again(fake: FakeRegistry, blobs: Blobs) -> None:
    fake.redirects = True
    fake.refusals = [("GET /data/", 403, b"expired")]
    await fetch(fake, blobs)
    assert blobs.read(DIGEST) == DATA
    assert len(fake.of("GET", "/v2/")) == 2


async def test_a_blob_that_is_not_there_is_not_requested_twice(
    fake: FakeRegistry, blobs: Blobs
) -> None:
    fake.blobs.clear()
    with pytest.raises(NotInRegistry):
        await fetch(fake, blobs)
    assert len(fake.requests) == 1


async def test_wrong_bytes_are_dropped(fake: FakeRegistry, blobs: Blobs) -> None:
    other = bytes(SIZE)
    fake.blobs[DIGEST] = other
    with pytest.raises(Broken) as caught:
        await fetch(fake, blobs)
    got = hashlib.sha256(other).hexdigest()
    assert caught.value.message == (
        f"digest mismatch, file must be downloaded again: want {DIGEST}, got sha256:{got}"
    )
    assert names(blobs) == []


@pytest.mark.parametrize("size", [SIZE - 3000, SIZE + 3000])
async def test_a_blob_of_another_size_is_not_gone_on_with(
    fake: FakeRegistry, blobs: Blobs, size: int
) -> None:
    begun(blobs, Chunk(0, 0, size, SIZE - 3000 - 1))
    with pytest.raises(Broken, match=f"^the blob has {SIZE} bytes now, and had {size}$"):
        await fetch(fake, blobs)
    assert names(blobs) == []
    await fetch(fake, blobs)
    assert blobs.read(DIGEST) == DATA


async def test_bytes_past_the_end_are_not_requested_again(fake: FakeRegistry, blobs: Blobs) -> None:
    begun(blobs, Chunk(0, 0, SIZE, SIZE), Chunk(1, SIZE, 10))
    with pytest.raises(Broken, match=r"^unexpected status code 416$"):
        await fetch(fake, blobs)
    assert names(blobs) == []


async def test_who_leaves_leaves_what_came(fake: FakeRegistry, blobs: Blobs) -> None:
    fake.faults = [Fault(DIGEST, 3000, waits=True)]
    async with waiting(fake, downloads_of(blobs)) as listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.complete)
            await received(listener, 3000)
            tasks.cancel_scope.cancel()
    name = f"{DIGEST.replace(':', '-')}-partial"
    assert names(blobs) == [name, f"{name}-0"]
    state = (blobs.folder / f"{name}-0").read_bytes()
    assert state == b'{"N":0,"Offset":0,"Size":%d,"Completed":3000}\n' % SIZE
    assert (blobs.folder / name).read_bytes() == DATA[:3000] + bytes(SIZE - 3000)
    await fetch(fake, blobs)
    assert ranges(fake)[-1] == f"3000-{SIZE - 1}"
    assert blobs.read(DIGEST) == DATA


async def received(listener: Listener, count: int) -> None:
    with anyio.fail_after(20):
        while listener.download.completed < count:
            await anyio.lowlevel.checkpoint()


async def test_one_download_serves_all_who_wait(fake: FakeRegistry, blobs: Blobs) -> None:
    fake.faults = [Fault(DIGEST, 3000, waits=True)]
    downloads = downloads_of(blobs)
    async with AsyncExitStack() as stack:
        listeners = [await stack.enter_async_context(waiting(fake, downloads)) for _ in range(3)]
        async with anyio.create_task_group() as tasks:
            for listener in listeners:
                tasks.start_soon(listener.complete)
            await received(listeners[2], 3000)
            fake.go.set()
        for listener in listeners:
            assert listener.look()["completed"] == SIZE
            await listener.verify()
    assert ranges(fake) == [f"0-{SIZE - 1}"]
    assert blobs.read(DIGEST) == DATA


async def test_the_next_goes_on_when_the_first_leaves(fake: FakeRegistry, blobs: Blobs) -> None:
    fake.faults = [Fault(DIGEST, 3000, waits=True)]
    downloads = downloads_of(blobs)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(waiting(fake, downloads))
        second = await stack.enter_async_context(waiting(fake, downloads))
        assert first.download is second.download
        async with anyio.create_task_group() as tasks:
            leaving = anyio.CancelScope()

            async def leave() -> None:
                with leaving:
                    await first.complete()

            tasks.start_soon(leave)
            await received(first, 3000)
            tasks.start_soon(second.complete)
            leaving.cancel()
        await second.verify()
    assert blobs.read(DIGEST) == DATA
    assert ranges(fake) == [f"0-{SIZE - 1}", f"3000-{SIZE - 1}"]


async def test_all_who_wait_hear_of_one_failure(fake: FakeRegistry, blobs: Blobs) -> None:
    fake.faults = [Fault(DIGEST, 0)] * 6
    downloads = downloads_of(blobs)
    messages: list[str] = []

    async def want(listener: Listener) -> None:
        with pytest.raises(Broken) as caught:
            await listener.complete()
        messages.append(caught.value.message)

    async with waiting(fake, downloads) as first, waiting(fake, downloads) as second:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(want, first)
            tasks.start_soon(want, second)
    assert len(messages) == 2
    assert messages[0] == messages[1]
    assert messages[0].startswith("max retries exceeded: ")
    assert len(ranges(fake)) == 6


async def test_a_registry_without_an_address_gets_six_requests(
    fake: FakeRegistry, blobs: Blobs
) -> None:
    begun(blobs, *THREE)
    fake.refusals = [("GET", 500, b"")] * 20
    with pytest.raises(Broken, match=r"^max retries exceeded: unexpected status code 500$"):
        await fetch(fake, blobs)
    assert len(fake.requests) == 6


async def test_who_comes_after_a_failure_tries_anew(fake: FakeRegistry, blobs: Blobs) -> None:
    fake.blobs.clear()
    downloads = downloads_of(blobs)
    async with waiting(fake, downloads) as first:
        with pytest.raises(NotInRegistry):
            await first.complete()
        fake.put(DATA)
        async with waiting(fake, downloads) as second:
            await second.complete()
            await second.verify()
    assert blobs.read(DIGEST) == DATA


async def test_another_registry_may_have_what_the_first_has_not(
    fake: FakeRegistry, blobs: Blobs
) -> None:
    downloads = downloads_of(blobs)
    async with running_registry() as poor:
        async with waiting(poor, downloads) as first, waiting(fake, downloads) as second:
            with pytest.raises(NotInRegistry):
                await first.complete()
            await second.complete()
            await second.verify()
    assert blobs.read(DIGEST) == DATA


async def test_nobody_gets_what_one_found_to_be_wrong(fake: FakeRegistry, blobs: Blobs) -> None:
    fake.blobs[DIGEST] = bytes(SIZE)
    downloads = downloads_of(blobs)
    async with waiting(fake, downloads) as first, waiting(fake, downloads) as second:
        await first.complete()
        await second.complete()
        for listener in (first, second):
            with pytest.raises(Broken, match=r"^digest mismatch"):
                await listener.verify()


async def test_a_disk_that_is_full_is_no_reason_to_try_again(
    fake: FakeRegistry, blobs: Blobs
) -> None:
    blobs.folder.parent.mkdir(exist_ok=True)
    blobs.folder.write_text("no folder")
    with pytest.raises(OSError, match=r"."):
        await fetch(fake, blobs)
    assert ranges(fake) == []
