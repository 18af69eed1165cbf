"""Models in the OpenAI dialect."""

import os
from collections.abc import AsyncIterator

import pytest

from tests.fakes.server import Gateway, open_gateway

pytestmark = pytest.mark.anyio


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with open_gateway() as gateway:
        yield gateway


async def test_models_are_listed_newest_first(gateway: Gateway) -> None:
    response = await gateway.client.get("/v1/models")
    assert response.json() == {"object": "list", "data": []}
    assert response.headers["content-type"] == "application/json"
    for name, written in (("a", 1000), ("ns/b:t", 3000), ("c", 2000)):
        model = gateway.add(name)
        os.utime(gateway.services.library.manifests.path(model.name), (written, written))
    listed = (await gateway.client.get("/v1/models?limit=1")).json()["data"]
    assert [entry["id"] for entry in listed] == ["ns/b:t", "c:latest", "a:latest"]
    assert listed[0] == {"id": "ns/b:t", "object": "model", "created": 3000, "owned_by": "ns"}
    assert listed[1]["owned_by"] == "library"


@pytest.mark.parametrize("name", ["M", "m:latest", "library/m", "library%2Fm", "local/m"])
async def test_a_model_is_told_under_the_name_it_was_asked_for(gateway: Gateway, name: str) -> None:
    gateway.add()
    gateway.add("local/m")
    response = await gateway.client.get(f"/v1/models/{name}")
    assert response.status_code == 200
    owner = "local" if name.startswith("local") else "library"
    assert response.json()["id"] == name.replace("%2F", "/")
    assert response.json()["owned_by"] == owner


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("nope", 404, "model 'nope:latest' not found"),
        ("ns/Nope:1", 404, "model 'ns/Nope:1' not found"),
        ("a%20b", 400, "invalid model name"),
        ("x:cloud", 403, "ollama cloud is disabled: remote model details are unavailable"),
    ],
)
async def test_a_model_that_is_not_here(
    gateway: Gateway, name: str, status: int, message: str
) -> None:
    response = await gateway.client.get(f"/v1/models/{name}")
    kind = {400: "invalid_request_error", 404: "not_found_error"}.get(status, "api_error")
    error = {"message": message, "type": kind, "param": None, "code": None}
    assert (response.status_code, response.json()) == (status, {"error": error})
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("path", "to"),
    [("/v1/models/", "/v1/models"), ("/v1/models/ns/m/", "/v1/models/ns/m")],
)
async def test_a_slash_at_the_end_leads_to_the_path_without_it(
    gateway: Gateway, path: str, to: str
) -> None:
    gateway.add("ns/m")
    response = await gateway.client.get(path)
    assert (response.status_code, response.headers["location"]) == (301, to)
    assert (await gateway.client.get(to)).status_code == 200
