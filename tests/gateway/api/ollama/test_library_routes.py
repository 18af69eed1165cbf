"""The model routes over HTTP: statuses, bodies and headers."""

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.api.ollama import library_routes as routes
from gateway.api.reply import json_reply
from gateway.errors import Broken, Forbidden, GatewayError, Invalid, NotFound
from gateway.store.library import Library
from tests.fakes import gguf
from tests.fakes.store import Store

pytestmark = pytest.mark.anyio

LIBRARY = "registry.ollama.ai/library"
HELLO = hashlib.sha256(b"hello").hexdigest()
STATUS = {Invalid: 400, Forbidden: 403, NotFound: 404, Broken: 500}


async def refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
    return json_reply({"error": error.message}, status)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def app(store: Store) -> Starlette:
    app = Starlette(
        routes=[
            Route("/api/tags", routes.tags, methods=["GET"]),
            Route("/api/show", routes.show, methods=["POST"]),
            Route("/api/copy", routes.copy, methods=["POST"]),
            Route("/api/delete", routes.delete, methods=["DELETE"]),
            Route("/api/create", routes.create, methods=["POST"]),
            Route("/api/blobs/{digest}", routes.blob, methods=["HEAD", "POST"]),
        ],
        exception_handlers={GatewayError: refuse},
    )
    app.state.services = SimpleNamespace(library=Library(store.root))
    return app


@pytest.fixture
async def client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def blobs(store: Store) -> set[str]:
    return {path.name for path in (store.root / "blobs").iterdir()}


def error(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]


# ---- tags


async def test_tags_of_an_empty_store(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/tags")
    assert response.content == b'{"models":[]}'
    assert response.headers["content-type"] == "application/json; charset=utf-8"


async def test_tags_list_every_model(store: Store, client: httpx.AsyncClient) -> None:
    path = store.put(f"{LIBRARY}/m/latest")
    store.put("other.host/ns/alias/v2")
    models = (await client.get("/api/tags")).json()["models"]
    assert sorted(model["name"] for model in models) == ["m:latest", "other.host/ns/alias:v2"]
    found = next(model for model in models if model["name"] == "m:latest")
    assert found["digest"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found["details"]["context_length"] == 512
    assert found["capabilities"] == ["completion"]


# ---- show


async def test_show_describes_a_model(store: Store, client: httpx.AsyncClient) -> None:
    store.put(f"{LIBRARY}/m/latest", store.text("system", "S"))
    body = (await client.post("/api/show", json={"model": " M "})).json()
    assert body["system"] == "S"
    assert f"\nFROM {store.blob_path(store.weights)}\n" in body["modelfile"]
    assert body["model_info"]["general.parameter_count"] == 256
    assert body["model_info"]["tokenizer.ggml.tokens"] is None
    assert body["tensors"][1] == {"name": "output_norm.weight", "type": "F32", "shape": [64]}


async def test_show_writes_floats_as_go_does(tmp_path: Path) -> None:
    store = Store(tmp_path / "other", {**gguf.LLAMA, "llama.eps": 1e-05, "llama.scores": [-1000.0]})
    store.put(f"{LIBRARY}/m/latest")
    app = Starlette(routes=[Route("/api/show", routes.show, methods=["POST"])])
    app.state.services = SimpleNamespace(library=Library(store.root))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
        response = await client.post("/api/show", json={"model": "m", "verbose": True})
    assert b'"llama.eps":0.00001,' in response.content
    assert b'"llama.scores":[-1000],' in response.content
    assert b'"tokenizer.ggml.tokens":["\\u003cs\\u003e","a","b"]' in response.content


async def test_a_verbose_show_reads_the_projector_too(
    store: Store, client: httpx.AsyncClient
) -> None:
    path = gguf.write(store.root / "p", {"general.architecture": "clip", "clip.mean": [0.5, 1.0]})
    projector = store.layer("projector", store.blob(path.read_bytes()))
    store.put(f"{LIBRARY}/m/latest", projector)
    body = (await client.post("/api/show", json={"model": "m", "verbose": True})).json()
    assert body["projector_info"]["clip.mean"] == [0.5, 1]


async def test_show_lays_the_request_over_the_model(
    store: Store, client: httpx.AsyncClient
) -> None:
    store.put(f"{LIBRARY}/m/latest")
    request = {"name": "m", "system": "other", "options": {"seed": 1}, "template": "ignored"}
    body = (await client.post("/api/show", json=request)).json()
    assert body["system"] == "other"
    assert "\nPARAMETER seed 1\n" in body["modelfile"]
    assert "parameters" not in body


async def test_one_client_gets_a_basename(store: Store, client: httpx.AsyncClient) -> None:
    store.put(f"{LIBRARY}/m/latest")
    headers = {"user-agent": "GitHubCopilotChat/1.0"}
    body = (await client.post("/api/show", json={"model": "M"}, headers=headers)).json()
    assert body["model_info"]["general.basename"] == "M"


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 400, "model is required"),
        ({"model": "  "}, 400, "model is required"),
        ({"model": "a b"}, 400, "invalid model name"),
        ({"model": "nope"}, 404, "model 'nope:latest' not found"),
        (
            {"model": "m:cloud"},
            403,
            "ollama cloud is disabled: remote model details are unavailable",
        ),
        (
            {"model": "m", "verbose": "x"},
            400,
            "json: cannot unmarshal string into Go struct field ShowRequest.verbose of type bool",
        ),
    ],
)
async def test_show_refuses(
    client: httpx.AsyncClient, body: dict[str, Any], status: int, text: str
) -> None:
    assert error(await client.post("/api/show", json=body)) == (status, text)


async def test_a_damaged_model_is_ours_to_answer_for(
    store: Store, client: httpx.AsyncClient
) -> None:
    store.put(f"{LIBRARY}/m/latest").write_text("{")
    assert error(await client.post("/api/show", json={"model": "m"}))[0] == 500


# ---- copy and delete


async def test_copy_answers_with_nothing(store: Store, client: httpx.AsyncClient) -> None:
    store.put(f"{LIBRARY}/m/latest")
    response = await client.post("/api/copy", json={"source": "M", "destination": "ns/alias:V3"})
    assert (response.status_code, response.content) == (200, b"")
    assert "content-type" not in response.headers
    assert response.headers["content-length"] == "0"
    assert store.manifest_path("registry.ollama.ai/ns/alias/V3").exists()


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 400, 'source "" is invalid'),
        ({"source": "<x>&"}, 400, 'source "<x>&" is invalid'),
        ({"source": "m"}, 400, 'destination "" is invalid'),
        ({"source": "m", "destination": "a b"}, 400, 'destination "a b" is invalid'),
        ({"source": "Nope", "destination": "b"}, 404, 'model "Nope" not found'),
    ],
)
async def test_copy_refuses(
    client: httpx.AsyncClient, body: dict[str, Any], status: int, text: str
) -> None:
    assert error(await client.post("/api/copy", json=body)) == (status, text)


@pytest.mark.parametrize("member", ["model", "name"])
async def test_delete_answers_with_nothing(
    store: Store, client: httpx.AsyncClient, member: str
) -> None:
    store.put(f"{LIBRARY}/m/latest")
    response = await client.request("DELETE", "/api/delete", json={member: "M:local"})
    assert (response.status_code, response.content) == (200, b"")
    assert "content-type" not in response.headers
    assert blobs(store) == set()


async def test_a_cloud_name_can_be_deleted(store: Store, client: httpx.AsyncClient) -> None:
    path = store.put(f"{LIBRARY}/m/20b-cloud", config={"remote_host": "h"}, weights=False)
    response = await client.request("DELETE", "/api/delete", json={"model": "m:20b:cloud"})
    assert response.status_code == 200
    assert not path.exists()


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"", 400, "missing request body"),
        (b"{}", 400, "model is required"),
        (b'{"model":"a b"}', 400, 'name "a b" is invalid'),
        (
            b'{"model":"m:cloud:local"}',
            400,
            'use either :local or :cloud, not both: "m:cloud:local"',
        ),
        (b'{"model":"Nope"}', 404, "model 'Nope' not found"),
    ],
)
async def test_delete_refuses(
    client: httpx.AsyncClient, body: bytes, status: int, text: str
) -> None:
    assert error(await client.request("DELETE", "/api/delete", content=body)) == (status, text)


# ---- create


async def test_create_streams_its_progress(store: Store, client: httpx.AsyncClient) -> None:
    body = {"model": "made", "files": {"m.gguf": store.weights}}
    response = await client.post("/api/create", json=body)
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.content.endswith(b"\n")
    assert [json.loads(line) for line in response.content.splitlines()] == [
        {"status": "parsing GGUF"},
        {"status": "verifying conversion"},
        {"status": f"using existing layer {store.weights}"},
        {"status": "writing manifest"},
        {"status": "success"},
    ]


async def test_create_without_a_stream_gives_the_last_line(
    store: Store, client: httpx.AsyncClient
) -> None:
    body = {"name": "made", "files": {"m.gguf": store.weights}, "stream": False}
    response = await client.post("/api/create", json=body)
    assert response.headers["content-type"] == "application/json"
    assert response.content == b'{"status":"success"}'


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 400, "invalid model name"),
        ({"model": "made:"}, 400, "invalid model name"),
        ({"model": "made"}, 400, "neither 'from' or 'files' was specified"),
        ({"model": "made", "files": {"../m": "x"}}, 400, "file path must be relative"),
        (
            {"model": "made", "files": {"m.gguf": f"sha256:{'1' * 64}"}},
            404,
            f'blob "sha256:{"1" * 64}" not found',
        ),
    ],
)
async def test_create_refuses_before_it_streams(
    client: httpx.AsyncClient, body: dict[str, Any], status: int, text: str
) -> None:
    assert error(await client.post("/api/create", json=body)) == (status, text)


# ---- blobs


async def test_a_blob_is_uploaded_once(store: Store, client: httpx.AsyncClient) -> None:
    url = f"/api/blobs/sha256:{HELLO}"
    missing = await client.head(url)
    assert missing.status_code == 404
    assert missing.headers["content-type"] == "application/json; charset=utf-8"
    first = await client.post(url, content=b"hello")
    assert (first.status_code, first.content) == (201, b"")
    assert "content-type" not in first.headers
    assert (await client.head(url)).status_code == 200
    again = await client.post(url, content=b"something else")
    assert (again.status_code, again.content) == (200, b"")
    assert store.blob_path(f"sha256:{HELLO}").read_bytes() == b"hello"


@pytest.mark.parametrize("spelling", [f"sha256-{HELLO}", f"sha256:{HELLO.upper()}"])
async def test_every_spelling_of_a_digest_means_the_same_blob(
    store: Store, client: httpx.AsyncClient, spelling: str
) -> None:
    response = await client.post(f"/api/blobs/{spelling}", content=b"hello")
    assert response.status_code == 201
    assert f"sha256-{HELLO}" in blobs(store)


async def test_an_empty_body_is_a_blob(store: Store, client: httpx.AsyncClient) -> None:
    digest = hashlib.sha256(b"").hexdigest()
    assert (await client.post(f"/api/blobs/sha256:{digest}")).status_code == 201
    assert f"sha256-{digest}" in blobs(store)


async def test_a_mismatch_is_refused_and_dropped(store: Store, client: httpx.AsyncClient) -> None:
    before = blobs(store)
    digest = f"sha256:{'3' * 64}"
    assert error(await client.post(f"/api/blobs/{digest}", content=b"hello")) == (
        400,
        f'digest mismatch, expected "{digest}", got "sha256:{HELLO}"',
    )
    assert blobs(store) == before


@pytest.mark.parametrize("digest", ["sha256:xyz", f"md5:{HELLO}"])
async def test_a_malformed_digest_is_refused(client: httpx.AsyncClient, digest: str) -> None:
    url = f"/api/blobs/{digest}"
    assert (await client.head(url)).status_code == 400
    assert error(await client.post(url, content=b"x")) == (400, "invalid digest format")


async def test_a_large_upload_arrives_in_pieces(store: Store, client: httpx.AsyncClient) -> None:
    chunk = bytes(range(256)) * 256
    data = chunk * 40 + b"end"

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield chunk
        yield b"end"

    digest = hashlib.sha256(data).hexdigest()
    response = await client.post(f"/api/blobs/sha256:{digest}", content=chunks())
    assert response.status_code == 201
    assert store.blob_path(f"sha256:{digest}").read_bytes() == data


async def test_a_client_that_leaves_midway_leaves_nothing(app: Starlette, store: Store) -> None:
    before = blobs(store)
    seen: list[set[str]] = []

    def parts() -> Iterator[dict[str, Any]]:
        for _ in range(2):
            yield {"type": "http.request", "body": bytes(routes.PIECE), "more_body": True}
        seen.append(blobs(store) - before)
        yield {"type": "http.disconnect"}

    messages = parts()

    async def receive() -> dict[str, Any]:
        return next(messages)

    path_params = {"digest": f"sha256:{HELLO}"}
    scope = {
        "type": "http",
        "method": "POST",
        "app": app,
        "path_params": path_params,
        "headers": [],
    }
    with pytest.raises(ClientDisconnect):
        await routes.blob(Request(scope, receive))
    assert len(seen[0]) == 1
    assert blobs(store) == before


async def test_a_disk_that_fails_is_ours_to_answer_for(
    store: Store, client: httpx.AsyncClient
) -> None:
    for path in (store.root / "blobs").iterdir():
        path.unlink()
    (store.root / "blobs").rmdir()
    (store.root / "blobs").write_text("in the way")
    status, text = error(await client.post(f"/api/blobs/sha256:{HELLO}", content=b"hello"))
    assert status == 500
    assert text.startswith("the blob cannot be stored: ")
