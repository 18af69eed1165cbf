"""Whole pulls and pushes between a library and a registry."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway import names
from gateway.errors import Broken, NotFound
from gateway.names import Name
from gateway.registry.retry import RetryPolicy
from gateway.registry.transfers import Transfers
from gateway.store.library import Library
from tests.fakes.registry import FakeRegistry, Fault, running_registry

pytestmark = pytest.mark.anyio

WEIGHTS = bytes(range(256)) * 20


@pytest.fixture
async def fake() -> AsyncIterator[FakeRegistry]:
    async with running_registry() as registry:
        yield registry


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "models")


@pytest.fixture
def transfers(library: Library) -> Transfers:
    return Transfers(library, policy=RetryPolicy(pause=0, stall=20.0), key=None)


class Lines(list[Mapping[str, Any]]):
    """The lines of one transfer."""

    async def __call__(self, line: Mapping[str, Any]) -> None:
        self.append(line)

    def words(self) -> list[str]:
        """Every status; that of a layer once."""
        return list(dict.fromkeys(str(line["status"]) for line in self))


def ends(progress: Lines) -> list[tuple[str, int, int]]:
    """Digest, total and completed of the last line of every layer."""
    last = {line["digest"]: line for line in progress if "digest" in line}
    return [(digest, line["total"], line["completed"]) for digest, line in last.items()]


def here(fake: FakeRegistry, name: str = "ns/m") -> Name:
    return names.parse(f"{fake.host}/{name}")


def short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def blobs(library: Library) -> set[str]:
    return {path.name.replace("-", ":", 1) for path in library.blobs.folder.iterdir()}


async def pull(transfers: Transfers, name: Name) -> Lines:
    progress = Lines()
    await transfers.pull(name, "http", progress)
    return progress


@pytest.mark.parametrize("redirects", [False, True])
@pytest.mark.parametrize("token", ["", "T"])
async def test_a_pull_tells_its_steps_and_leaves_a_model(
    fake: FakeRegistry, library: Library, transfers: Transfers, redirects: bool, token: str
) -> None:
    fake.redirects, fake.token = redirects, token
    weights, system = fake.layer("model", WEIGHTS), fake.layer("system", b"Be kind.")
    data = fake.add("ns/m:latest", weights, system)
    progress = await pull(transfers, here(fake))
    (config,) = fake.blobs.keys() - {weights["digest"], system["digest"]}
    digests = [weights["digest"], system["digest"], config]
    assert progress.words() == [
        "pulling manifest",
        *(f"pulling {short(digest)}" for digest in digests),
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]
    assert ends(progress) == [
        (digest, len(fake.blobs[digest]), len(fake.blobs[digest])) for digest in digests
    ]
    assert library.manifests.path(here(fake)).read_bytes() == data
    assert blobs(library) == set(digests)
    assert library.get(here(fake)).system == "Be kind."


async def test_a_second_pull_only_looks_at_the_manifest(
    fake: FakeRegistry, transfers: Transfers
) -> None:
    fake.add("ns/m:latest", fake.layer("model", WEIGHTS))
    await pull(transfers, here(fake))
    fake.requests.clear()
    progress = await pull(transfers, here(fake))
    assert fake.lines() == ["GET /v2/ns/m/manifests/latest"]
    assert [(total, completed) for _, total, completed in ends(progress)] == [
        (len(WEIGHTS), len(WEIGHTS)),
        (69, 69),
    ]
    assert progress.words()[-3:] == ["verifying sha256 digest", "writing manifest", "success"]


async def test_names_of_hugging_faces_kind_keep_their_case(
    fake: FakeRegistry, library: Library, transfers: Transfers
) -> None:
    fake.add("Org/Model-3.2-1B-GGUF:Q4_K_M", fake.layer("model", WEIGHTS))
    name = here(fake, "Org/Model-3.2-1B-GGUF:Q4_K_M")
    await pull(transfers, name)
    assert library.find(name) == name
    assert fake.lines()[0] == "GET /v2/Org/Model-3.2-1B-GGUF/manifests/Q4_K_M"


async def test_a_model_is_requested_by_its_stored_spelling(
    fake: FakeRegistry, library: Library, transfers: Transfers
) -> None:
    fake.add("Ns/M:T", fake.layer("model", WEIGHTS))
    await pull(transfers, here(fake, "Ns/M:T"))
    await pull(transfers, here(fake, "ns/m:t"))
    assert fake.lines()[-1] == "GET /v2/Ns/M/manifests/T"
    assert [entry.name for entry in library.entries()] == [here(fake, "Ns/M:T")]


async def test_what_the_old_manifest_alone_used_is_removed(
    fake: FakeRegistry, library: Library, transfers: Transfers
) -> None:
    weights, old = fake.layer("model", WEIGHTS), fake.layer("system", b"old")
    fake.add("ns/m:latest", weights, old)
    await pull(transfers, here(fake))
    new = fake.layer("system", b"new")
    fake.add("ns/m:latest", weights, new)
    progress = await pull(transfers, here(fake))
    assert progress.words()[-2:] == ["removing unused layers", "success"]
    assert not library.blobs.exists(old["digest"])
    assert library.blobs.exists(weights["digest"])
    assert library.get(here(fake)).system == "new"


async def test_or_kept_where_that_is_wanted(fake: FakeRegistry, tmp_path: Path) -> None:
    library = Library(tmp_path / "models", prune=False)
    transfers = Transfers(library, key=None)
    old = fake.layer("system", b"old")
    fake.add("ns/m:latest", fake.layer("model", WEIGHTS), old)
    await pull(transfers, here(fake))
    fake.add("ns/m:latest", fake.layer("model", WEIGHTS))
    progress = await pull(transfers, here(fake))
    assert "removing unused layers" not in progress.words()
    assert library.blobs.exists(old["digest"])


async def test_a_model_that_is_not_there_is_an_error_in_ollamas_words(
    fake: FakeRegistry, library: Library, transfers: Transfers
) -> None:
    progress = Lines()
    with pytest.raises(Broken, match=r"^pull model manifest: file does not exist$"):
        await transfers.pull(here(fake), "http", progress)
    assert progress.words() == ["pulling manifest"]
    assert library.entries() == []


async def test_a_failed_pull_leaves_the_model_as_it_was(
    fake: FakeRegistry, library: Library, transfers: Transfers
) -> None:
    system = fake.layer("system", b"old")
    data = fake.add("ns/m:latest", fake.layer("model", WEIGHTS), system)
    await pull(transfers, here(fake))
    wrong = fake.layer("system", b"new")
    fake.add("ns/m:latest", fake.layer("model", WEIGHTS), wrong)
    fake.blobs[wrong["digest"]] = b"bad"
    with pytest.raises(Broken) as caught:
        await pull(transfers, here(fake))
    got = hashlib.sha256(b"bad").hexdigest()
    assert caught.value.message == (
        f"digest mismatch, file must be downloaded again: want {wrong['digest']}, got sha256:{got}"
    )
    assert library.manifests.path(here(fake)).read_bytes() == data
    assert library.get(here(fake)).system == "old"
    assert wrong["digest"] not in blobs(library)


async def test_two_pulls_at_once_download_once(
    fake: FakeRegistry, library: Library, transfers: Transfers
) -> None:
    weights = fake.layer("model", WEIGHTS)
    for name in ("ns/m:latest", "ns/n:latest"):
        fake.add(name, weights)
    fake.faults = [Fault(weights["digest"], 1000, waits=True)]
    reports: list[Lines] = []

    async def one(name: str) -> None:
        reports.append(await pull(transfers, here(fake, name)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one, "ns/m")
        tasks.start_soon(one, "ns/n")
        await fake.until_waiting()
        await fake.until_requested("GET /v2/ns/m/manifests/latest", "GET /v2/ns/n/manifests/latest")
        fake.go.set()
    assert [one.words()[-1] for one in reports] == ["success"] * 2
    requests = [one for one in fake.of("GET") if one.path.endswith(weights["digest"])]
    assert [one.headers["range"] for one in requests] == [
        "bytes=0-0",
        f"bytes=0-{len(WEIGHTS) - 1}",
    ]
    assert len(library.entries()) == 2


async def test_a_blob_that_is_deleted_meanwhile_is_fetched_again(
    fake: FakeRegistry, library: Library, transfers: Transfers
) -> None:
    weights = fake.layer("model", WEIGHTS)
    fake.add("ns/m:latest", weights)
    progress = Lines()

    async def report(line: Mapping[str, Any]) -> None:
        await progress(line)
        if line["status"] == "writing manifest" and progress.count(line) == 1:
            library.blobs.remove(weights["digest"])

    await transfers.pull(here(fake), "http", report)
    assert progress.count({"status": "writing manifest"}) == 2
    assert library.blobs.read(weights["digest"]) == WEIGHTS


async def test_one_that_is_deleted_again_and_again_is_given_up(
    fake: FakeRegistry, library: Library, transfers: Transfers
) -> None:
    weights = fake.layer("model", WEIGHTS)
    fake.add("ns/m:latest", weights)

    async def report(line: Mapping[str, Any]) -> None:
        if line["status"] == "writing manifest":
            library.blobs.remove(weights["digest"])

    with pytest.raises(Broken, match=r"are deleted while it is pulled$"):
        await transfers.pull(here(fake), "http", report)
    assert library.entries() == []


async def test_a_push_sends_what_the_registry_lacks(
    fake: FakeRegistry, library: Library, transfers: Transfers
) -> None:
    weights, system = fake.layer("model", WEIGHTS), fake.layer("system", b"Be kind.")
    data = fake.add("ns/m:latest", weights, system)
    await pull(transfers, here(fake))
    kept = fake.blobs.pop(weights["digest"])
    fake.manifests.clear()
    fake.requests.clear()
    progress = Lines()
    await transfers.push(here(fake), "http", progress)
    words = progress.words()
    assert words[:2] == ["retrieving manifest", f"pushing {short(weights['digest'])}"]
    assert words[-2:] == ["pushing manifest", "success"]
    assert [(total, completed) for _, total, completed in ends(progress)] == [
        (len(WEIGHTS), len(WEIGHTS)),
        (8, 8),
        (69, 69),
    ]
    assert fake.blobs[weights["digest"]] == kept
    assert fake.manifests == {"ns/m:latest": data}
    assert len(fake.of("POST")) == 1
    assert fake.requests[-1].headers["content-type"] == (
        "application/vnd.docker.distribution.manifest.v2+json"
    )


async def test_a_model_survives_a_journey(
    fake: FakeRegistry, library: Library, transfers: Transfers, tmp_path: Path
) -> None:
    fake.add("ns/m:latest", fake.layer("model", WEIGHTS), fake.layer("system", b"S"))
    await pull(transfers, here(fake))
    await transfers.push(here(fake), "http", Lines())
    other = Library(tmp_path / "other")
    await pull(Transfers(other, key=None), here(fake))
    assert other.get(here(fake)).digest == library.get(here(fake)).digest


async def test_a_copy_of_a_model_is_mounted(
    fake: FakeRegistry, library: Library, transfers: Transfers
) -> None:
    weights = fake.layer("model", WEIGHTS) | {"from": f"{fake.host}/other/base:latest"}
    fake.add("ns/m:latest", weights)
    await pull(transfers, here(fake))
    fake.refusals = [("HEAD", 404, b"")]
    await transfers.push(here(fake), "http", Lines())
    (request,) = fake.of("POST")
    assert request.query["from"] == ["other/base"]


async def test_a_push_of_nothing_sends_nothing(fake: FakeRegistry, transfers: Transfers) -> None:
    progress = Lines()
    with pytest.raises(NotFound):
        await transfers.push(here(fake), "http", progress)
    assert progress.words() == ["retrieving manifest"]
    assert fake.requests == []


async def test_a_push_of_a_damaged_model_sends_nothing(
    fake: FakeRegistry, library: Library, transfers: Transfers
) -> None:
    weights = fake.layer("model", WEIGHTS)
    fake.add("ns/m:latest", weights)
    await pull(transfers, here(fake))
    library.blobs.remove(weights["digest"])
    fake.requests.clear()
    with pytest.raises(NotFound):
        await transfers.push(here(fake), "http", Lines())
    assert fake.requests == []


async def test_a_refused_manifest_is_reported(fake: FakeRegistry, transfers: Transfers) -> None:
    fake.add("ns/m:latest", fake.layer("model", WEIGHTS))
    await pull(transfers, here(fake))
    fake.refusals = [("PUT /v2/ns/m/manifests", 403, b'{"errors":"denied"}')]
    with pytest.raises(Broken) as caught:
        await transfers.push(here(fake), "http", Lines())
    assert caught.value.message == '403: {"errors":"denied"}'
