"""/api/pull and /api/push over HTTP: statuses, lines, and clients that leave."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest

from gateway import names
from gateway.names import Name
from gateway.registry.reporting import ProgressSink
from gateway.registry.retry import RetryPolicy
from gateway.registry.transfers import Transfers
from gateway.store.library import Library
from runners.build.scripted_model import write
from tests.fakes.registry import FakeRegistry, Fault, running_registry
from tests.fakes.server import Gateway, open_gateway, running_gateway

pytestmark = pytest.mark.anyio

WEIGHTS = bytes(range(256)) * 20
NDJSON = "application/x-ndjson"


def eager(gateway: Gateway) -> Gateway:
    """The same, with transfers that do not wait before they try again."""
    gateway.services.transfers = Transfers(
        gateway.services.library, policy=RetryPolicy(pause=0, stall=20.0), key=None
    )
    return gateway


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with open_gateway() as opened:
        yield eager(opened)


@pytest.fixture
async def fake() -> AsyncIterator[FakeRegistry]:
    async with running_registry() as registry:
        yield registry


@asynccontextmanager
async def listening() -> AsyncIterator[Gateway]:
    async with running_gateway() as running:
        yield eager(running)


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in response.content.splitlines()]


def error(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]


async def post(gateway: Gateway, path: str, **body: Any) -> httpx.Response:
    return await gateway.client.post(f"/api/{path}", json=body)


@pytest.mark.parametrize("member", ["model", "name"])
async def test_a_pull_is_a_line_a_step(gateway: Gateway, fake: FakeRegistry, member: str) -> None:
    weights = fake.layer("model", WEIGHTS)
    fake.add("ns/m:latest", weights)
    body = {member: f" {fake.host}/ns/m", "insecure": True}
    response = await gateway.client.post("/api/pull", json=body)
    assert response.status_code == 200
    assert response.headers["content-type"] == NDJSON
    progress = lines(response)
    assert progress[0] == {"status": "pulling manifest"}
    assert {
        "status": f"pulling {weights['digest'][7:19]}",
        "digest": weights["digest"],
        "total": len(WEIGHTS),
        "completed": len(WEIGHTS),
    } in progress
    assert [line["status"] for line in progress[-3:]] == [
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]
    listed = (await gateway.client.get("/api/tags")).json()["models"]
    assert [model["name"] for model in listed] == [f"{fake.host}/ns/m:latest"]


async def test_without_a_stream_success_is_all(gateway: Gateway, fake: FakeRegistry) -> None:
    fake.add("ns/m:latest", fake.layer("model", WEIGHTS))
    response = await post(
        gateway, "pull", model=f"http://{fake.host}/ns/m", insecure=True, stream=False
    )
    assert (response.status_code, response.content) == (200, b'{"status":"success"}')
    assert response.headers["content-type"] == "application/json"
    response = await post(gateway, "push", model=f"{fake.host}/ns/m", insecure=True, stream=False)
    assert (response.status_code, response.content) == (200, b'{"status":"success"}')


async def test_a_push_is_a_line_a_step(gateway: Gateway, fake: FakeRegistry) -> None:
    fake.add("ns/m:latest", fake.layer("model", WEIGHTS))
    await post(gateway, "pull", model=f"{fake.host}/ns/m", insecure=True)
    fake.blobs.clear()
    response = await post(gateway, "push", model=f"{fake.host}/NS/M", insecure=True)
    progress = lines(response)
    assert (response.status_code, response.headers["content-type"]) == (200, NDJSON)
    assert progress[0] == {"status": "retrieving manifest"}
    assert [line["status"] for line in progress[-2:]] == ["pushing manifest", "success"]
    assert WEIGHTS in fake.blobs.values()
    assert list(fake.manifests) == ["ns/m:latest"]


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("pull", {}, 400, "invalid model name"),
        ("pull", {"model": "  "}, 400, "invalid model name"),
        ("pull", {"model": "a b"}, 400, "invalid model name"),
        ("pull", {"model": "http://h/n/m"}, 400, "insecure protocol http"),
        ("pull", {"model": "ftp://h/n/m"}, 400, 'unsupported protocol "ftp"'),
        (
            "pull",
            {"model": "a:cloud:local"},
            400,
            'use either :local or :cloud, not both: "a:cloud:local"',
        ),
        (
            "pull",
            {"model": "m", "insecure": "x"},
            400,
            "json: cannot unmarshal string into Go struct field PullRequest.insecure of type bool",
        ),
        ("push", {}, 400, "model is required"),
        ("push", {"model": "a b"}, 400, "invalid model name"),
        ("push", {"model": "ns/nope"}, 404, "model 'ns/nope:latest' not found"),
        ("push", {"model": "http://h/n/m"}, 400, "insecure protocol http"),
    ],
)
async def test_what_cannot_be_right_is_refused_at_once(
    gateway: Gateway, path: str, body: dict[str, Any], status: int, text: str
) -> None:
    assert error(await post(gateway, path, **body)) == (status, text)


async def test_an_error_in_the_stream_is_its_last_line(
    gateway: Gateway, fake: FakeRegistry
) -> None:
    text = "pull model manifest: file does not exist"
    name = f"{fake.host}/ns/nope"
    response = await post(gateway, "pull", model=name, insecure=True)
    assert response.status_code == 200
    assert lines(response) == [{"status": "pulling manifest"}, {"error": text}]
    response = await post(gateway, "pull", model=name, insecure=True, stream=False)
    assert error(response) == (500, text)


async def test_a_refused_push_keeps_the_registrys_words(
    gateway: Gateway, fake: FakeRegistry
) -> None:
    fake.add("ns/m:latest", fake.layer("model", WEIGHTS))
    await post(gateway, "pull", model=f"{fake.host}/ns/m", insecure=True)
    fake.refusals = [("HEAD", 404, b""), ("POST", 403, b'{"errors":"denied"}')]
    response = await post(gateway, "push", model=f"{fake.host}/ns/m", insecure=True)
    assert lines(response) == [
        {"status": "retrieving manifest"},
        {"error": '403: {"errors":"denied"}'},
    ]


class InTheClear(Transfers):
    """Speaks http, for the registry here knows nothing else."""

    def __init__(self, library: Library) -> None:
        super().__init__(library, policy=RetryPolicy(pause=0, stall=20.0), key=None)
        self.schemes: list[str] = []

    async def pull(self, name: Name, scheme: str, report: ProgressSink) -> None:
        self.schemes.append(scheme)
        await super().pull(name, "http", report)


async def test_a_model_is_created_from_one_that_is_pulled_first(
    gateway: Gateway, fake: FakeRegistry
) -> None:
    path = gateway.folder / "w.gguf"
    write(path, ("Hi ",))
    fake.add("ns/m:latest", fake.layer("model", path.read_bytes()))
    gateway.services.transfers = transfers = InTheClear(gateway.services.library)
    body = {"model": "made", "from": f"{fake.host}/ns/m", "system": "Be kind."}
    progress = [line["status"] for line in lines(await post(gateway, "create", **body))]
    assert progress[0] == "pulling manifest"
    assert progress.index("success") < progress.index("writing manifest", progress.index("success"))
    assert progress[-1] == "success"
    assert transfers.schemes == ["https"]
    made = gateway.services.library.get(names.parse("made"))
    assert (made.system, made.parent) == ("Be kind.", f"{fake.host}/ns/m:latest")
    progress = [line["status"] for line in lines(await post(gateway, "create", **body))]
    assert "pulling manifest" not in progress


async def test_a_base_that_cannot_be_pulled_makes_nothing(
    gateway: Gateway, fake: FakeRegistry
) -> None:
    body = {"model": "made", "from": f"{fake.host}/ns/m"}
    text = (
        f'pull model manifest: Get "https://{fake.host}/v2/ns/m/manifests/latest": '
        "http: server gave HTTP response to HTTPS client"
    )
    response = await post(gateway, "create", **body)
    assert lines(response) == [{"status": "pulling manifest"}, {"error": text}]
    assert error(await post(gateway, "create", **body, stream=False)) == (500, text)
    assert gateway.services.library.entries() == []


async def test_a_client_that_leaves_ends_its_pull_and_another_goes_on(
    fake: FakeRegistry,
) -> None:
    weights = fake.layer("model", WEIGHTS)
    digest = weights["digest"]
    fake.add("ns/m:latest", weights)
    fake.faults = [Fault(digest, 3000, waits=True)]
    async with listening() as gateway:
        body = {"model": f"{fake.host}/ns/m", "insecure": True}
        async with gateway.connect() as client:
            await client.post("/api/pull", body)
            await client.until(b'"completed":3000')
        blobs = gateway.services.library.blobs
        state = blobs.folder / f"sha256-{digest[7:]}-partial-0"

        def saved() -> bool:
            return b'"Completed":3000}' in state.read_bytes()

        await gateway.until(saved)
        assert not blobs.exists(digest)
        assert gateway.services.library.entries() == []
        response = await gateway.client.post("/api/pull", json=body)
        assert blobs.read(digest) == WEIGHTS
    assert lines(response)[-1] == {"status": "success"}
    *_, last = [one for one in fake.of("GET") if one.path.endswith(digest)]
    assert last.headers["range"] == f"bytes=3000-{len(WEIGHTS) - 1}"


async def test_of_two_clients_one_may_leave(fake: FakeRegistry) -> None:
    weights = fake.layer("model", WEIGHTS)
    fake.add("ns/m:latest", weights)
    fake.faults = [Fault(weights["digest"], 3000, waits=True)]
    answers: list[httpx.Response] = []
    async with listening() as gateway:
        body = {"model": f"{fake.host}/ns/m", "insecure": True}

        async def stay() -> None:
            answers.append(await gateway.client.post("/api/pull", json=body))

        async with anyio.create_task_group() as tasks:
            async with gateway.connect() as client:
                await client.post("/api/pull", body)
                await client.until(b'"completed":3000')
                tasks.start_soon(stay)
                await gateway.until(lambda: len(fake.of("GET", "/v2/ns/m/manifests")) == 2)
    assert lines(answers[0])[-1] == {"status": "success"}
    sent = [one.headers["range"] for one in fake.of("GET") if weights["digest"] in one.path]
    assert sent[-1] == f"bytes=3000-{len(WEIGHTS) - 1}"


async def test_a_disk_that_refuses_is_reported(gateway: Gateway, fake: FakeRegistry) -> None:
    fake.add("ns/m:latest", fake.layer("model", WEIGHTS))
    folder = gateway.services.library.blobs.folder
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("no folder")
    response = await post(gateway, "pull", model=f"{fake.host}/ns/m", insecure=True)
    assert lines(response)[-1] == {"error": "the model cannot be stored: Not a directory"}
